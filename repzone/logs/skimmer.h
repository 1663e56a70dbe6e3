/* What the forms of lines have in common: the skimmer, the line that it is at, and how to tell what it completes. */

#ifndef REPZONE_SKIMMER_H
#define REPZONE_SKIMMER_H

#include "known.h"

enum { HOUR = 3600, LONGEST_HOST = 255, LONGEST_STAMP = 32, MOST = 10000, CLIENTS = 20000, VERDICTS = 4096, HELD = 13 };

/* What became of a line: an exception, nothing so far (its component's parser is to read it), all that it tells. */
typedef enum { FAILED = -1, OTHER, DONE } Fate;

typedef struct {
    PyObject_HEAD
    union {
        PyObject *held[HELD]; /* what it was made of, and owns */
        struct {
            Known *sessions, *messages, *gone, *mids, *attempts;
            PyObject *owed, *instants, *tags, *judge, *about;
            PyTypeObject *event, *wait, *traffic;
        };
    };
    PyObject *read, *read_tagged; /* while a block is being read */
    Blake2b hash;     /* begun with the key */
    Table clients;    /* the client of an address; None for none */
    Table verdicts;   /* what `judge` said */
    PyObject *found;  /* what the block completes, so far */
    PyObject *at;     /* the instant of the last stamp; None for none */
    char stamp[LONGEST_STAMP];
    size_t stamp_length;
} Skimmer;

typedef struct {
    Slice whole, host, program; /* `program` without its process */
    Slice tag;                  /* host, program and process */
    Slice service;              /* of Postfix: `submission` of `postfix/submission/smtpd` */
    Slice message;
    int64_t at, number;
} Line;

#define WORDS(X)                                                                                                       \
    X(at) X(client) X(reason) X(count) X(component) X(detail) X(id) X(line) X(letter) X(closed) X(connections)         \
    X(messages) X(mid) X(dropped_connection) X(timeout) X(too_many_errors) X(improper_pipelining) X(bare_newline)      \
    X(unknown_command) X(auth_failed) X(auth_not_offered) X(pregreet) X(dnsbl_listed)                                  \
    X(spam_detected) X(spam_tagged)

static struct {
#define X(word) PyObject *word;
    WORDS(X)
#undef X
    PyObject *smtpd, *postscreen, *qmgr, *amavis, *broken;
} words;

static bool words_init(void)
{
#define X(word)                                                                                                        \
    if ((words.word = PyUnicode_InternFromString(#word)) == NULL)                                                      \
        return false;
    WORDS(X)
#undef X
    return (words.smtpd = PyUnicode_InternFromString("postfix/smtpd"))
           && (words.postscreen = PyUnicode_InternFromString("postfix/postscreen"))
           && (words.qmgr = PyUnicode_InternFromString("postfix/qmgr"))
           && (words.amavis = PyUnicode_InternFromString("amavis"))
           && (words.broken = PyUnicode_InternFromString("connection broken without a login"));
}

typedef struct {
    PyObject *name, *value; /* borrowed, and owned: NULL where there was no memory for it */
} Field;

/* Append a frozen value of Python's, all of whose fields are given, to what was found. */
static Fate tell(Skimmer *self, PyTypeObject *class, const Field *fields, size_t count)
{
    PyObject *made = PyType_GenericAlloc(class, 0);
    bool good = made != NULL;
    for (size_t at = 0; at < count; at++) {
        good = good && fields[at].value != NULL
               && PyObject_GenericSetAttr(made, fields[at].name, fields[at].value) == 0;
        Py_XDECREF(fields[at].value);
    }
    good = good && PyList_Append(self->found, made) == 0;
    Py_XDECREF(made);
    return good ? DONE : FAILED;
}

#define TELL(self, class, fields) tell((self), (class), (fields), sizeof(fields) / sizeof *(fields))

/* Tell an offence; `detail` is taken over. */
static Fate tell_event(Skimmer *self, const Line *line, const Entry *who, PyObject *reason, int64_t count,
                       PyObject *component, PyObject *detail)
{
    Field fields[] = {
        {words.at, Py_NewRef(self->at)},
        {words.client, Py_NewRef(who->object)},
        {words.reason, Py_NewRef(reason)},
        {words.count, PyLong_FromLongLong(count < MOST ? count : MOST)},
        {words.component, Py_NewRef(component)},
        {words.detail, detail},
        {words.id, Py_NewRef(Py_None)},
        {words.line, PyLong_FromLongLong(line->number)},
    };
    return TELL(self, self->event, fields);
}

/* Tell that a letter came again, or came through. */
static Fate tell_closed(Skimmer *self, const Line *line, const Entry *who, const char letter[HEX])
{
    Field fields[] = {
        {words.at, Py_NewRef(self->at)},
        {words.client, Py_NewRef(who->object)},
        {words.letter, PyUnicode_FromStringAndSize(letter, HEX)},
        {words.closed, Py_NewRef(Py_True)},
        {words.component, Py_NewRef(words.qmgr)},
        {words.line, PyLong_FromLongLong(line->number)},
    };
    return TELL(self, self->wait, fields);
}

/* Tell the clean traffic of a client that was counted and not told yet. */
static bool tell_traffic(Skimmer *self, Entry *who)
{
    if (!who->of.client_.counted)
        return true;
    Field fields[] = {
        {words.at, PyLong_FromLongLong(who->of.client_.hour)},
        {words.client, Py_NewRef(who->object)},
        {words.connections, PyLong_FromLongLong(who->of.client_.connections)},
        {words.messages, PyLong_FromLongLong(who->of.client_.messages)},
    };
    who->of.client_.counted = false;
    who->of.client_.connections = who->of.client_.messages = 0;
    return TELL(self, self->traffic, fields) == DONE;
}

static bool tell_all_traffic(Skimmer *self)
{
    for (Entry *who = table_oldest(&self->clients); who != NULL; who = table_newer(&self->clients, who))
        if (!tell_traffic(self, who))
            return false;
    return true;
}

/* Count clean traffic of a client, who is not reserved. */
static Fate count_traffic(Skimmer *self, const Line *line, Entry *who, int connections, int messages)
{
    int64_t hour = line->at - line->at % HOUR;
    if (who->of.client_.hour != hour && !tell_traffic(self, who))
        return FAILED;
    who->of.client_.hour = hour;
    who->of.client_.counted = true;
    who->of.client_.connections += connections;
    who->of.client_.messages += messages;
    return DONE;
}

/* Give what is known of an address: its object is Python's client, None where it is no address; whether it is reserved,
 * which what is none is too. It holds until the next call; NULL with an exception. */
static Entry *know_client(Skimmer *self, Slice client)
{
    Entry *who = table_find(&self->clients, client);
    if (who != NULL)
        return who;
    if (self->clients.count == CLIENTS) {
        if (!tell_all_traffic(self))
            return NULL;
        table_clear(&self->clients);
    }
    PyObject *text = to_text(client);
    PyObject *known = text != NULL ? PyObject_CallFunctionObjArgs(self->about, text, NULL) : NULL, *object;
    int reserved;
    Py_XDECREF(text);
    if (known != NULL && PyArg_ParseTuple(known, "Op", &object, &reserved)) {
        who = table_keep(&self->clients, client);
        if (who != NULL) {
            who->object = Py_NewRef(object);
            who->of.client_.reserved = reserved != 0;
        } else {
            PyErr_NoMemory();
        }
    }
    Py_XDECREF(known);
    return who;
}

/* Hash texts as state.State.hash does. */
static void hash_texts(const Skimmer *self, const Slice *texts, size_t count, char digits[HEX])
{
    Blake2b hash = self->hash;
    for (size_t number = 0; number < count; number++) {
        char small[64];
        if (number > 0)
            blake2b_update(&hash, "", 1);
        for (const char *at = texts[number].start; at < texts[number].end;) {
            size_t length = 0;
            for (; length < sizeof small && at < texts[number].end; at++)
                small[length++] = (char)(*at >= 'A' && *at <= 'Z' ? *at + ('a' - 'A') : *at);
            blake2b_update(&hash, small, length);
        }
    }
    blake2b_digits(&hash, digits);
}

#endif
