/* More frequent lines: Postfix' queue and deliveries, postscreen, Amavis, Dovecot. */

#ifndef REPZONE_QUEUE_H
#define REPZONE_QUEUE_H

#include "forms.h"

/* Give the message of a line, and its client: DONE with both, or with no message where there is nothing to tell. It is
 * `here` when the id must not be so old that it may name another message. */
static Fate find_clean(Skimmer *self, const Line *line, Slice queue, bool here, Entry **message, Entry **who)
{
    Buffer buffer;
    Slice key = put_queue(&buffer, line, queue);
    *message = here ? find_message(self, key, line->at) : table_find(&self->messages->table, key);
    if (*message == NULL)
        return DONE;
    if ((*message)->object != NULL)
        return OTHER;
    *who = know_client(self, client_of(*message));
    if (*who == NULL)
        return FAILED;
    if ((*who)->of.client_.reserved)
        *message = NULL;
    return DONE;
}

/* cleanup: `QUEUE: message-id=<…>` */
static Fate on_cleanup(Skimmer *self, const Line *line)
{
    Slice text = line->message, queue, mid;
    Entry *message, *who;
    if (!take_queue(&text, &queue) || !SKIP(&text, "message-id=<") || !take_some(&text, MID, 1, 1000, &mid)
        || !IS(text, ">") || PyObject_Size(self->owed) != 0)
        return OTHER;
    Fate fate = find_clean(self, line, queue, false, &message, &who);
    return fate == DONE && message != NULL ? note_mid(self, mid, message) : fate;
}

/* qmgr: `QUEUE: removed`, and `QUEUE: from=<…>, size=1, nrcpt=1 (queue active)` */
static Fate on_qmgr(Skimmer *self, const Line *line)
{
    Slice text = line->message, queue, sender;
    Entry *message, *who;
    Buffer buffer;
    if (!take_queue(&text, &queue))
        return OTHER;
    if (IS(text, "removed"))
        return remove_message(self, put_queue(&buffer, line, queue), line->at);
    if (!SKIP(&text, "from=<") || !take_some(&text, ENVELOPE, 0, SIZE_MAX, &sender) || !SKIP(&text, ">, size=")
        || is_empty(take(&text, DIGIT)) || !SKIP(&text, ", nrcpt=") || is_empty(take(&text, DIGIT))
        || !IS(text, " (queue active)"))
        return OTHER;
    Fate fate = find_clean(self, line, queue, true, &message, &who);
    if (fate != DONE || message == NULL)
        return fate;
    hash_texts(self, &sender, 1, message->of.message.sender);
    message->of.message.has_sender = true;
    if (message->of.message.accepted)
        return DONE;
    message->of.message.accepted = true;
    return count_traffic(self, line, who, 0, 1);
}

/* smtp, lmtp, …: `QUEUE: to=<…>, orig_to=<…>, relay=…` */
static Fate on_delivery(Skimmer *self, const Line *line)
{
    Slice text = line->message, queue, letter[2];
    Entry *message, *who;
    char digits[HEX];
    if (!take_queue(&text, &queue) || !SKIP(&text, "to=<") || !take_some(&text, ENVELOPE, 0, SIZE_MAX, &letter[1])
        || !SKIP(&text, ">, "))
        return OTHER;
    if (SKIP(&text, "orig_to=<")) {
        Slice original;
        if (!take_some(&text, ENVELOPE, 0, SIZE_MAX, &original) || !SKIP(&text, ">, "))
            return OTHER;
        if (!is_empty(original))
            letter[1] = original;
    }
    if (!BEGINS(text, "relay="))
        return OTHER;
    Fate fate = find_clean(self, line, queue, false, &message, &who);
    if (fate != DONE || message == NULL || !message->of.message.has_sender || is_empty(letter[1]))
        return fate;
    letter[0] = slice_of(message->of.message.sender, HEX);
    hash_texts(self, letter, 2, digits);
    return tell_closed(self, line, who, digits);
}

/* Take what postscreen found out, up to `from ` or `for `; give the reason, NULL for nothing that is known. */
static PyObject *take_test(Slice *text, Slice *detail)
{
    detail->start = text->start;
    if (SKIP(text, "DNSBL rank ")) {
        bool ranked = !is_empty(take(text, DIGIT));
        detail->end = text->start;
        return ranked && SKIP(text, " for ") ? words.dnsbl_listed : NULL;
    }
    bool early = SKIP(text, "PREGREET ");
    if (early ? is_empty(take(text, DIGIT)) || !SKIP(text, " ") : !SKIP(text, "HANGUP "))
        return NULL;
    if (!SKIP(text, "after ") || is_empty(take(text, FRACTION)))
        return NULL;
    detail->end = text->start;
    return SKIP(text, " from ") ? early ? words.pregreet : words.dropped_connection : NULL;
}

/* postscreen: what it says of `[ADDRESS]:PORT`, which names the session too */
static Fate on_postscreen(Skimmer *self, const Line *line)
{
    Slice text = line->message, client, port, detail = text, who = {line->host.start, line->program.end};
    bool connect = SKIP(&text, "CONNECT from ");
    bool ends = !connect && (SKIP(&text, "DISCONNECT ") || SKIP(&text, "PASS NEW ") || SKIP(&text, "PASS OLD "));
    PyObject *reason = connect || ends ? NULL : take_test(&text, &detail);
    if (!connect && !ends && reason == NULL)
        return OTHER;
    Slice peer = text;
    if (!SKIP(&text, "[") || !take_some(&text, ADDRESS, 2, LONGEST_CLIENT, &client) || !SKIP(&text, "]:")
        || !take_some(&text, DIGIT, 1, 5, &port) || (reason != NULL && BEGINS(text, " ")))
        return OTHER;
    peer.end = text.start;
    Buffer buffer;
    Slice key = join(&buffer, who, peer);
    if (reason != NULL)
        return offend(self, line, key, client, reason, words.postscreen, to_text(detail));
    Entry *session = table_find(&self->sessions->table, key);
    if (connect)
        return is_loopback(client) ? DONE : begin(self, key, client, line->at, true, &session);
    if (session != NULL && session->object != NULL)
        return OTHER;
    if (session != NULL)
        table_remove(&self->sessions->table, session);
    return DONE;
}

typedef struct {
    Slice detail, client, queue;
    bool blocked, tagged;
} Verdict;

/* Take `Blocked SPAM {…}, [ADDRESS]:PORT [TRACE] <FROM> -> <TO>, Queue-ID: QUEUE`, of no user of ours. */
static bool take_verdict(Slice text, Verdict *verdict)
{
    Slice taken, actions = {text.end, text.end};
    verdict->detail.start = text.start;
    verdict->blocked = SKIP(&text, "Blocked ");
    if (!verdict->blocked && !SKIP(&text, "Passed "))
        return false;
    verdict->tagged = SKIP(&text, "SPAMMY");
    if (!verdict->tagged && !SKIP(&text, "SPAM"))
        return false;
    verdict->detail.end = text.start;
    if (SKIP(&text, " {") && (!take_some(&text, ACTIONS, 0, SIZE_MAX, &actions) || !SKIP(&text, "}")))
        return false;
    if (FIND(actions, "Outbound") || !SKIP(&text, ", [")
        || !take_some(&text, ADDRESS, 2, LONGEST_CLIENT, &verdict->client) || !SKIP(&text, "]"))
        return false;
    if (SKIP(&text, ":") && !take_some(&text, DIGIT, 1, 5, &taken))
        return false;
    if (SKIP(&text, " [") && (!take_some(&text, NAME, 0, SIZE_MAX, &taken) || !SKIP(&text, "]")))
        return false;
    if (!SKIP(&text, " <") || holds_twice(text, ", Queue-ID: ", 12))
        return false;
    text.start = FIND(text, ", Queue-ID: ");
    return text.start != NULL && SKIP(&text, ", Queue-ID: ") && take_some(&text, QUEUE, 5, 32, &verdict->queue)
           && (is_empty(text) || BEGINS(text, ",") || BEGINS(text, " "));
}

/* Amavis: `(ID) Blocked SPAM …` (amavis.parse) */
static Fate on_amavis(Skimmer *self, const Line *line)
{
    Slice text = line->message, id;
    Verdict verdict;
    if (!SKIP(&text, "(") || !take_some(&text, DOTTED, 1, 40, &id) || !SKIP(&text, ") "))
        return OTHER;
    if (BEGINS(text, "Passed CLEAN "))
        return DONE;
    if (!take_verdict(text, &verdict))
        return OTHER;
    Buffer buffer;
    Slice key = put_queue(&buffer, line, verdict.queue);
    Entry *message = find_message(self, key, line->at);
    if (message != NULL && (message->object != NULL || !are_equal(client_of(message), verdict.client)))
        return OTHER;
    Entry *who = know_client(self, verdict.client);
    if (who == NULL || who->object == Py_None)
        return who == NULL ? FAILED : DONE;
    if (message != NULL && message->of.message.login)
        return DONE;
    if (message == NULL && take_message(self, key, verdict.client, line->at, false, &message) == FAILED)
        return FAILED;
    int64_t judged = message->of.message.judged;
    message->of.message.judged = line->at;
    if (judged > 0 && llabs(line->at - judged) < REUSED)
        return DONE;
    PyObject *reason = verdict.tagged && !verdict.blocked ? words.spam_tagged : words.spam_detected;
    return tell_event(self, line, who, reason, 1, words.amavis, to_text(verdict.detail));
}

/* Dovecot: what its sessions say, and `imap-login: Login: user=<…>, method=…, rip=ADDRESS, …` (dovecot._login) */
static Fate on_dovecot(Skimmer *self, const Line *line)
{
    Slice text = line->message, taken, client, key = {NULL, NULL};
    if (BEGINS(text, "imap(") || BEGINS(text, "pop3(") || BEGINS(text, "lmtp("))
        return DONE;
    if (!(SKIP(&text, "imap") || SKIP(&text, "pop3")) || !SKIP(&text, "-login: Login: user=<")
        || !take_some(&text, ENVELOPE, 0, SIZE_MAX, &taken) || !SKIP(&text, ">, method=")
        || !take_some(&text, WORD, 1, 40, &taken) || !SKIP(&text, ", rip=")
        || !take_some(&text, ADDRESS, 2, LONGEST_CLIENT, &client) || !BEGINS(text, ", ") || FIND(text, "rip=")
        || length_of(line->message) > 4096)
        return OTHER;
    Buffer buffer;
    const char *bracket = memchr(text.start, '<', length_of(text));
    if (bracket != NULL) {
        Slice session = {bracket + 1, text.end};
        if (!take_some(&session, ENVELOPE, 1, 128, &taken) || !IS(session, ">") || bracket - text.start < 9
            || memcmp(bracket - 9, " session=", 9) != 0)
            return OTHER;
        key = join(&buffer, line->host, taken);
        text.end = bracket;
    }
    if (memchr(text.start, '>', length_of(text)))
        return OTHER;
    Entry *who = know_client(self, client), *session;
    if (who == NULL)
        return FAILED;
    if (key.start != NULL) {
        Fate fate = open_session(self, key, client, line->at, &session);
        if (fate != DONE)
            return fate;
        session->of.session.login = true;
    }
    return who->of.client_.reserved ? DONE : count_traffic(self, line, who, 1, 0);
}

#endif
