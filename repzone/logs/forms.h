/* The most frequent lines of a mail log: those of Postfix' smtpd. Others are in queue.h.
 *
 * Each form is a part of what the component's parser knows, and what it tells is what the parser and join tell. What
 * differs from it in the least gives OTHER, before anything has changed.
 */

#ifndef REPZONE_FORMS_H
#define REPZONE_FORMS_H

#include "state.h"

static Slice put_queue(Buffer *buffer, const Line *line, Slice queue)
{
    return join(buffer, line->host, queue);
}

static bool is_loopback(Slice client)
{
    return IS(client, "127.0.0.1") || IS(client, "::1");
}

static bool take_queue(Slice *text, Slice *queue)
{
    return take_some(text, QUEUE, 5, 32, queue) && SKIP(text, ": ");
}

/* Tell an offence of a session, unless its client proved to be a user of ours; `detail` is taken over. */
static Fate offend(Skimmer *self, const Line *line, Slice key, Slice client, PyObject *reason, PyObject *component,
                   PyObject *detail)
{
    Entry *who = detail != NULL ? know_client(self, client) : NULL, *session;
    bool somebody = who != NULL && who->object != Py_None;
    Fate fate = who == NULL ? FAILED : somebody ? open_session(self, key, client, line->at, &session) : DONE;
    if (fate != DONE || !somebody || session->of.session.login) {
        Py_XDECREF(detail);
        return fate;
    }
    session->of.session.told++;
    return tell_event(self, line, who, reason, 1, component, detail);
}

/* smtpd: `connect from NAME[ADDRESS]` */
static Fate on_connect(Skimmer *self, const Line *line, Slice text)
{
    Slice client;
    Entry *session;
    if (!take_client(&text, &client) || !is_empty(text))
        return OTHER;
    if (is_loopback(client))
        return DONE;
    Entry *who = know_client(self, client);
    if (who == NULL || begin(self, line->tag, client, line->at, true, &session) == FAILED)
        return FAILED;
    return who->of.client_.reserved ? DONE : count_traffic(self, line, who, 1, 0);
}

typedef struct {
    int64_t auth, unknown; /* that failed */
    bool login;
} Counters;

/* Take smtpd's counters of commands: ` ehlo=1 auth=0/2 quit=1`. */
static bool take_counters(Slice text, Counters *counters)
{
    while (!is_empty(text)) {
        Slice name, digits;
        int64_t good, total;
        if (!SKIP(&text, " ") || !take_some(&text, WORD, 1, SIZE_MAX, &name) || !SKIP(&text, "="))
            return false;
        bool auth = IS(name, "auth");
        if (!auth && !IS(name, "unknown")) {
            if (is_empty(take(&text, DIGIT)))
                return false;
            if (SKIP(&text, "/") && !take_some(&text, DIGIT, 1, SIZE_MAX, &digits))
                return false;
            continue;
        }
        if (!take_number(&text, &good))
            return false;
        total = good;
        if (SKIP(&text, "/") && !take_number(&text, &total))
            return false;
        *(auth ? &counters->auth : &counters->unknown) = total > good ? total - good : 0;
        counters->login |= auth && good > 0;
    }
    return true;
}

static Fate tell_failed_logins(Skimmer *self, const Line *line, const Entry *who, Slice key, const Entry *session,
                               int64_t auth)
{
    int64_t more = count_untold(self, key, auth - session->of.session.auth, line->at);
    if (more <= 0)
        return more == 0 ? DONE : FAILED;
    bool offered = !session->of.session.whole || session->of.session.auth > 0;
    return tell_event(self, line, who, offered ? words.auth_failed : words.auth_not_offered, more, words.smtpd,
                      PyUnicode_FromFormat("disconnect: %lld failed AUTH", (long long)auth));
}

/* smtpd: `disconnect from NAME[ADDRESS] ehlo=1 …` */
static Fate on_disconnect(Skimmer *self, const Line *line, Slice text)
{
    Slice client;
    Counters counters = {0};
    if (!take_client(&text, &client) || !take_counters(text, &counters))
        return OTHER;
    Entry *known = table_find(&self->sessions->table, line->tag), session = {0};
    Buffer buffer;
    Slice key = attempts_key(&buffer, line, client);
    if ((known != NULL && known->object != NULL) || !may_count(self, key))
        return OTHER;
    if (known != NULL && are_equal(client_of(known), client))
        session.of = known->of;
    if (known != NULL)
        table_remove(&self->sessions->table, known);
    bool nothing = counters.auth <= session.of.session.auth && counters.unknown <= session.of.session.unknown
                   && session.of.session.broken == UNBROKEN;
    if (nothing || session.of.session.login || counters.login)
        return DONE;
    Entry *who = know_client(self, client);
    if (who == NULL || who->object == Py_None)
        return who == NULL ? FAILED : DONE;
    Fate fate = DONE;
    if (counters.auth > session.of.session.auth)
        fate = tell_failed_logins(self, line, who, key, &session, counters.auth);
    else if (session.of.session.broken != UNBROKEN && session.of.session.auth == 0)
        fate = tell_event(self, line, who,
                          session.of.session.broken == DROPPED ? words.dropped_connection : words.timeout, 1,
                          words.smtpd, Py_NewRef(words.broken));
    if (fate == DONE && counters.unknown > session.of.session.unknown)
        fate = tell_event(self, line, who, words.unknown_command, counters.unknown - session.of.session.unknown,
                          words.smtpd,
                          PyUnicode_FromFormat("disconnect: %lld unknown commands", (long long)counters.unknown));
    return fate;
}

/* smtpd: `QUEUE: client=NAME[ADDRESS]`, and `, sasl_method=…` for a user of ours */
static Fate on_queued(Skimmer *self, const Line *line, Slice queue, Slice text)
{
    Slice client;
    Entry *session, *message;
    if (PyObject_Size(self->owed) != 0 || IS(queue, "NOQUEUE") || !take_client(&text, &client))
        return OTHER;
    bool login = BEGINS(text, ", sasl_method=");
    if (!login && !is_empty(text))
        return OTHER;
    session = table_find(&self->sessions->table, line->tag);
    if (session != NULL && session->object != NULL)
        return OTHER;
    if (login) {
        if (open_session(self, line->tag, client, line->at, &session) != DONE)
            return FAILED;
        session->of.session.login = true;
    } else if (session != NULL && are_equal(client_of(session), client)) {
        login = session->of.session.login;
    }
    Buffer buffer;
    return take_message(self, put_queue(&buffer, line, queue), client, line->at, login, &message);
}

typedef struct {
    Slice stage, client, code, dsn, body;
    Slice lead; /* code and DSN as the line has them, with the blanks behind */
} Refusal;

/* Take `550 5.1.1 `. */
static bool take_codes(Slice *text, Refusal *refusal)
{
    Slice number;
    refusal->lead.start = refusal->code.start = text->start;
    if (!take_some(text, DIGIT, 3, 3, &refusal->code) || !SKIP(text, " "))
        return false;
    refusal->dsn.start = text->start;
    if (!take_some(text, DIGIT, 1, 1, &number) || !SKIP(text, ".") || !take_some(text, DIGIT, 1, 3, &number)
        || !SKIP(text, ".") || !take_some(text, DIGIT, 1, 3, &number))
        return false;
    refusal->dsn.end = text->start;
    refusal->lead.end = text->start + 1;
    return SKIP(text, " ") && strchr("245", *refusal->code.start) && strchr("245", *refusal->dsn.start);
}

/* Cut a refusal of which it is certain where its text begins and ends (postfix_reply.parse). */
static bool take_refusal(Slice text, Refusal *refusal)
{
    Slice named;
    if (!take_some(&text, UPPER, 1, 20, &refusal->stage) || !SKIP(&text, " from ")
        || !take_client(&text, &refusal->client) || !SKIP(&text, ": ") || FIND(text, "sasl_username=<")
        || !take_codes(&text, refusal) || BEGINS(text, ": "))
        return false;
    if (BEGINS(text, "<")
        && (holds_twice(text, ">: ", 3) || !SKIP(&text, "<") || !take_some(&text, ENVELOPE, 0, SIZE_MAX, &named)
            || !SKIP(&text, ">: ")))
        return false;
    refusal->body = text;
    for (const char *end = FIND(text, "; "); end != NULL; end = find((Slice){end + 2, text.end}, "; ", 2)) {
        Slice tail = {end + 2, text.end};
        if (BEGINS(tail, "from=<") || BEGINS(tail, "to=<") || BEGINS(tail, "proto=")) {
            refusal->body.end = end;
            break;
        }
    }
    return length_of(refusal->body) <= LONGEST_BODY && !FIND(refusal->body, "blocked");
}

/* Give what Python says of a refusal, which it is asked once; NULL with an exception. */
static Entry *judge(Skimmer *self, const Refusal *refusal)
{
    Buffer buffer;
    Slice key = join(&buffer, refusal->stage, refusal->lead);
    memcpy(buffer.octets + length_of(key), refusal->body.start, length_of(refusal->body));
    key.end += length_of(refusal->body);
    Entry *verdict = table_find(&self->verdicts, key);
    if (verdict != NULL)
        return verdict;
    PyObject *said = PyObject_CallFunction(
        self->judge, "s#s#s#s#", refusal->stage.start, (Py_ssize_t)length_of(refusal->stage), refusal->code.start,
        (Py_ssize_t)length_of(refusal->code), refusal->dsn.start, (Py_ssize_t)length_of(refusal->dsn),
        refusal->body.start, (Py_ssize_t)length_of(refusal->body));
    if (said == NULL)
        return NULL;
    verdict = table_keep(&self->verdicts, key);
    if (verdict == NULL) {
        Py_DECREF(said);
        PyErr_NoMemory();
        return NULL;
    }
    verdict->object = said;
    return verdict;
}

/* smtpd: `NOQUEUE: reject: STAGE from NAME[ADDRESS]: 550 5.1.1 <…>: TEXT; from=<…> …` */
static Fate on_reject(Skimmer *self, const Line *line, Slice text)
{
    Refusal refusal;
    PyObject *reason, *detail;
    if (!take_refusal(text, &refusal))
        return OTHER;
    Entry *verdict = judge(self, &refusal);
    if (verdict == NULL)
        return FAILED;
    if (verdict->object == Py_None)
        return OTHER;
    if (!PyArg_ParseTuple(verdict->object, "UU", &reason, &detail))
        return FAILED;
    return offend(self, line, line->tag, refusal.client, reason, words.smtpd, Py_NewRef(detail));
}

/* smtpd: `lost connection after STAGE from NAME[ADDRESS]`, and the like */
static Fate on_break(Skimmer *self, const Line *line, PyObject *reason, Slice text)
{
    Slice stage, octets, client;
    bool lost = reason == words.dropped_connection || reason == words.timeout;
    if (!take_some(&text, UPPER, 1, 20, &stage))
        return OTHER;
    Slice detail = {line->message.start, stage.end};
    if (SKIP(&text, " (") && (!take_some(&text, DIGIT, 1, SIZE_MAX, &octets) || !SKIP(&text, " bytes)")))
        return OTHER;
    if (!SKIP(&text, " from ") || !take_client(&text, &client) || !(is_empty(text) || (!lost && BEGINS(text, ": "))))
        return OTHER;
    if (lost && (IS(stage, "DATA") || IS(stage, "BDAT")))
        return DONE;
    bool users = IS(line->service, "submission") || IS(line->service, "submissions") || IS(line->service, "smtps")
                 || IS(line->service, "msa") || IS(line->service, "587") || IS(line->service, "465");
    bool auth = IS(stage, "AUTH");
    if (!lost || !(auth || users))
        return offend(self, line, line->tag, client, reason, words.smtpd, to_text(detail));
    Entry *who = know_client(self, client), *session;
    if (who == NULL || who->object == Py_None)
        return who == NULL ? FAILED : DONE;
    Fate fate = open_session(self, line->tag, client, line->at, &session);
    if (fate != DONE || session->of.session.login)
        return fate;
    if (!auth && !session->of.session.whole)
        return offend(self, line, line->tag, client, reason, words.smtpd, to_text(detail));
    if (session->of.session.broken == UNBROKEN)
        session->of.session.broken = reason == words.timeout ? TIMED_OUT : DROPPED;
    return DONE;
}

/* smtpd: `warning: NAME[ADDRESS]: SASL MECHANISM authentication failed: …` (postfix_smtpd._sasl) */
static Fate on_failed_login(Skimmer *self, const Line *line, Slice text)
{
    Slice client, mechanism;
    if (!take_client(&text, &client) || !SKIP(&text, ": SASL ") || !take_some(&text, WORD, 1, 20, &mechanism)
        || !SKIP(&text, " authentication "))
        return OTHER;
    const char *how = SKIP(&text, "failed") ? "failed" : SKIP(&text, "aborted") ? "aborted" : NULL;
    /* What a trouble of ours, or an unknown mechanism, begins with. */
    if (how == NULL || (length_of(text) > 2 && BEGINS(text, ": ") && strchr("CcGgTtIiNn", text.start[2])))
        return OTHER;
    Buffer buffer;
    Slice key = attempts_key(&buffer, line, client);
    const Entry *known = table_find(&self->sessions->table, line->tag);
    if ((known != NULL && known->object != NULL) || !may_count(self, key))
        return OTHER;
    Entry *who = know_client(self, client), *session;
    if (who == NULL || who->object == Py_None)
        return who == NULL ? FAILED : DONE;
    if (open_session(self, line->tag, client, line->at, &session) == FAILED)
        return FAILED;
    if (session->of.session.login)
        return DONE;
    session->of.session.auth++;
    session->of.session.told++;
    int64_t count = count_untold(self, key, 1, line->at);
    if (count <= 0)
        return count == 0 ? DONE : FAILED;
    char name[21] = {0};
    for (size_t at = 0; at < length_of(mechanism); at++)
        name[at] = (char)(mechanism.start[at] >= 'a' && mechanism.start[at] <= 'z' ? mechanism.start[at] - ('a' - 'A')
                                                                                 : mechanism.start[at]);
    return tell_event(self, line, who, words.auth_failed, count, words.smtpd,
                      PyUnicode_FromFormat("SASL %s authentication %s", name, how));
}

static Fate on_smtpd(Skimmer *self, const Line *line)
{
    Slice text = line->message, queue;
    if (SKIP(&text, "connect from "))
        return on_connect(self, line, text);
    if (SKIP(&text, "disconnect from "))
        return on_disconnect(self, line, text);
    if (SKIP(&text, "NOQUEUE: reject: "))
        return on_reject(self, line, text);
    if (SKIP(&text, "warning: "))
        return on_failed_login(self, line, text);
    if (SKIP(&text, "lost connection after "))
        return on_break(self, line, words.dropped_connection, text);
    if (SKIP(&text, "timeout after "))
        return on_break(self, line, words.timeout, text);
    if (SKIP(&text, "too many errors after "))
        return on_break(self, line, words.too_many_errors, text);
    if (SKIP(&text, "improper command pipelining after "))
        return on_break(self, line, words.improper_pipelining, text);
    if (SKIP(&text, "bare <LF> received after "))
        return on_break(self, line, words.bare_newline, text);
    if ((SKIP(&text, "Anonymous") || SKIP(&text, "Untrusted") || SKIP(&text, "Trusted") || SKIP(&text, "Verified")))
        return SKIP(&text, " TLS connection established from ") ? DONE : OTHER;
    if (take_queue(&text, &queue) && SKIP(&text, "client="))
        return on_queued(self, line, queue, text);
    return OTHER;
}

#endif
