/* What lines do to the state: the methods of state.State of the same names, on compact entries.
 *
 * Each of them that may meet a value that Python has gives OTHER then, before it has changed anything.
 */

#ifndef REPZONE_STATE_H
#define REPZONE_STATE_H

#include "skimmer.h"

enum { LINGER = 60, REUSED = 3600, LEAVES = 200, LONGEST_BODY = 400 };

typedef struct {
    char octets[2 * LONGEST_HOST + LONGEST_BODY];
} Buffer;

/* Put two texts that are not too long together, with a blank between them. */
static Slice join(Buffer *buffer, Slice one, Slice other)
{
    size_t length = length_of(one);
    memcpy(buffer->octets, one.start, length);
    buffer->octets[length++] = ' ';
    memcpy(buffer->octets + length, other.start, length_of(other));
    return slice_of(buffer->octets, length + length_of(other));
}

static Fate begin(Skimmer *self, Slice key, Slice client, int64_t at, bool whole, Entry **begun)
{
    Entry *session = table_keep(&self->sessions->table, key);
    if (session == NULL)
        return PyErr_NoMemory(), FAILED;
    session->at = at;
    session->of.session.whole = whole;
    set_client(session, client);
    *begun = session;
    return known_drop_before(self->sessions, at - REUSED) ? DONE : FAILED;
}

/* Give the client's session, a new one if need be. */
static Fate open_session(Skimmer *self, Slice key, Slice client, int64_t at, Entry **session)
{
    *session = table_find(&self->sessions->table, key);
    if (*session != NULL && (*session)->object != NULL)
        return OTHER;
    if (*session != NULL && are_equal(client_of(*session), client))
        return DONE;
    return begin(self, key, client, at, false, session);
}

/* Forget the Message-ID of a message that is to go; false with an exception. */
static bool forget_mid(Skimmer *self, const Entry *message)
{
    Slice mid = slice_of(message->of.message.mid, message->of.message.has_mid ? SHORT_HEX : 0), queue;
    PyObject *text = NULL, *held = NULL;
    bool good = true;
    if (message->object != NULL) {
        text = PyObject_GetAttr(message->object, words.mid);
        good = text != NULL && to_slice(text, &mid);
    }
    Entry *named = good ? table_find(&self->mids->table, mid) : NULL;
    if (named != NULL && named->object != NULL) {
        held = PySequence_GetItem(named->object, 1);
        good = held != NULL && to_slice(held, &queue);
    } else if (named != NULL) {
        queue = slice_of(named->of.mid.queue, named->of.mid.queue_length);
    }
    if (good && named != NULL && are_equal(queue, key_of(message)))
        table_remove(&self->mids->table, named);
    Py_XDECREF(text);
    Py_XDECREF(held);
    return good;
}

static bool forget(Skimmer *self, Slice queue)
{
    Entry *message = table_find(&self->messages->table, queue), *gone = table_find(&self->gone->table, queue);
    if (message != NULL) {
        if (!forget_mid(self, message))
            return false;
        table_remove(&self->messages->table, message);
    }
    if (gone != NULL)
        table_remove(&self->gone->table, gone); /* last: `queue` may be its key */
    return true;
}

static Fate take_message(Skimmer *self, Slice queue, Slice client, int64_t at, bool login, Entry **taken)
{
    if (!forget(self, queue))
        return FAILED;
    Entry *message = table_keep(&self->messages->table, queue);
    if (message == NULL)
        return PyErr_NoMemory(), FAILED;
    message->at = at;
    message->of.message.login = login;
    set_client(message, client);
    *taken = message;
    return known_drop_before(self->messages, at - REUSED) ? DONE : FAILED;
}

static Fate remove_message(Skimmer *self, Slice queue, int64_t at)
{
    if (table_find(&self->messages->table, queue) != NULL) {
        Entry *gone = table_keep(&self->gone->table, queue);
        if (gone == NULL)
            return PyErr_NoMemory(), FAILED;
        gone->at = at;
    }
    for (Entry *gone = table_oldest(&self->gone->table); gone != NULL; gone = table_oldest(&self->gone->table)) {
        if (llabs(at - gone->at) < LINGER)
            break;
        if (!forget(self, key_of(gone)))
            return FAILED;
    }
    return DONE;
}

/* Note whose a Message-ID is; the message's client is not reserved. */
static Fate note_mid(Skimmer *self, Slice mid, Entry *message)
{
    char digits[HEX];
    hash_texts(self, &mid, 1, digits);
    Slice key = slice_of(digits, SHORT_HEX), client = client_of(message), nobody = {client.start, client.start};
    Entry *known = table_find(&self->mids->table, key);
    if (known != NULL && known->object != NULL)
        return OTHER;
    if (message->of.message.login || (known != NULL && !are_equal(client_of(known), client)))
        client = nobody;
    char *queue = malloc(message->key_length + 1);
    Entry *named = queue != NULL ? table_keep(&self->mids->table, key) : NULL;
    if (named == NULL)
        return free(queue), PyErr_NoMemory(), FAILED;
    memcpy(queue, message->key, message->key_length);
    named->of.mid.queue = queue;
    named->of.mid.queue_length = message->key_length;
    set_client(named, client);
    message->of.message.has_mid = true;
    memcpy(message->of.message.mid, digits, SHORT_HEX);
    return DONE;
}

/* Give the message that a queue id names at that instant; NULL when it is gone, or so old that it may be another's. */
static Entry *find_message(const Skimmer *self, Slice queue, int64_t at)
{
    Entry *message = table_find(&self->messages->table, queue);
    if (message == NULL || message->object != NULL)
        return message;
    const Entry *gone = table_find(&self->gone->table, queue);
    if (llabs(at - message->at) >= REUSED || (gone != NULL && llabs(at - gone->at) >= LINGER))
        return NULL;
    return message;
}

/* Where the failed logins of a line's client at its server are counted. */
static Slice attempts_key(Buffer *buffer, const Line *line, Slice client)
{
    SKIP(&client, "::ffff:");
    return join(buffer, line->host, client);
}

static bool may_count(const Skimmer *self, Slice key)
{
    const Entry *attempts = table_find(&self->attempts->table, key);
    return attempts == NULL || attempts->object == NULL;
}

/* Give how many of `count` failed logins no line before has told (attempts.py); -1 with an exception. */
static int64_t count_untold(Skimmer *self, Slice key, int64_t count, int64_t at)
{
    const Entry *known = table_find(&self->attempts->table, key);
    Entry was = {.at = at};
    if (known != NULL)
        was = *known;
    Entry *attempts = table_keep(&self->attempts->table, key);
    if (attempts == NULL)
        return PyErr_NoMemory(), -1;
    attempts->at = was.at;
    attempts->of = was.of;
    if (!known_drop_before(self->attempts, at - REUSED))
        return -1;
    int64_t services = was.of.attempts.services, databases = was.of.attempts.databases;
    if (llabs(at - was.at) > LEAVES)
        services = databases = 0;
    int64_t before = services > databases ? services : databases;
    services += count;
    attempts = table_find(&self->attempts->table, key);
    if (attempts != NULL) { /* it may have been from long ago itself */
        attempts->at = at;
        attempts->of.attempts.services = services;
        attempts->of.attempts.databases = databases;
    }
    return (services > databases ? services : databases) - before;
}

#endif
