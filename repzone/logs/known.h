/* The type `Table` of Python: what the reading of a log remembers of one kind, over table.h.
 *
 * A value that Python asks for is made an object, of which C then no longer knows the fields. Removed messages (their
 * instants) and Message-IDs (client and queue id) are values that nobody changes: those are made anew each time.
 */

#ifndef REPZONE_KNOWN_H
#define REPZONE_KNOWN_H

#include "table.h"

typedef enum { SESSIONS, MESSAGES, GONE, MIDS, ATTEMPTS } Kind;

typedef struct {
    PyObject_HEAD
    Table table;
    Kind kind;
    PyObject *class, *fields; /* of its values; gives all fields of one */
} Known;

static const char *const BREAKS[] = {"", "dropped_connection", "timeout"};

static bool to_slice(PyObject *text, Slice *slice)
{
    Py_ssize_t length;
    const char *start = PyUnicode_AsUTF8AndSize(text, &length);
    if (start == NULL)
        return false;
    *slice = slice_of(start, (size_t)length);
    return true;
}

static PyObject *to_text(Slice slice)
{
    return PyUnicode_FromStringAndSize(slice.start, (Py_ssize_t)length_of(slice));
}

/* Give the fields of a compact value as Python's dataclasses have them: state.Session, state.Message, Attempts. */
static PyObject *entry_fields(const Known *known, const Entry *entry)
{
    Py_ssize_t client = entry->client_length;
    switch (known->kind) {
    case SESSIONS:
        return Py_BuildValue("(s#LNLLOOLOsis)", entry->client, client, (long long)entry->at,
                             PyBool_FromLong(entry->of.session.whole), (long long)entry->of.session.auth,
                             (long long)entry->of.session.unknown, Py_False,
                             entry->of.session.login ? Py_True : Py_False, (long long)entry->of.session.told, Py_False,
                             "", 0, BREAKS[entry->of.session.broken]);
    case MESSAGES:
        return Py_BuildValue("(s#LNLNs#s#O)", entry->client, client, (long long)entry->at,
                             PyBool_FromLong(entry->of.message.login), (long long)entry->of.message.judged,
                             PyBool_FromLong(entry->of.message.accepted), entry->of.message.sender,
                             (Py_ssize_t)(entry->of.message.has_sender ? HEX : 0), entry->of.message.mid,
                             (Py_ssize_t)(entry->of.message.has_mid ? SHORT_HEX : 0), Py_False);
    case GONE:
        return Py_BuildValue("(L)", (long long)entry->at);
    case MIDS:
        return Py_BuildValue("([s#s#])", entry->client, client, entry->of.mid.queue,
                             (Py_ssize_t)entry->of.mid.queue_length);
    default:
        return Py_BuildValue("(LLLL{})", (long long)entry->at, (long long)entry->of.attempts.services,
                             (long long)entry->of.attempts.databases, (long long)entry->of.attempts.asked_at);
    }
}

/* Give the value as an object, which stands for the fields from now on. A new reference. */
static PyObject *entry_object(const Known *known, Entry *entry)
{
    if (entry->object != NULL)
        return Py_NewRef(entry->object);
    PyObject *fields = entry_fields(known, entry), *object;
    if (fields == NULL)
        return NULL;
    if (known->kind == GONE || known->kind == MIDS) {
        object = Py_XNewRef(PyTuple_GetItem(fields, 0));
    } else {
        object = PyObject_CallObject(known->class, fields);
        entry->object = Py_XNewRef(object);
    }
    Py_DECREF(fields);
    return object;
}

static Entry *known_find(const Known *known, PyObject *key)
{
    Slice text;
    return to_slice(key, &text) ? table_find(&known->table, text) : NULL;
}

/* Set what an entry holds from an object; false with an exception. */
static bool entry_set(const Known *known, Entry *entry, PyObject *value)
{
    if (known->kind == MIDS) {
        const char *client, *queue;
        Py_ssize_t client_length, queue_length;
        PyObject *pair = PySequence_Tuple(value);
        bool good = pair != NULL && PyArg_ParseTuple(pair, "s#s#", &client, &client_length, &queue, &queue_length);
        if (good && client_length > LONGEST_CLIENT) {
            entry->object = Py_NewRef(value);
        } else if (good) {
            set_client(entry, slice_of(client, (size_t)client_length));
            entry->of.mid.queue = malloc((size_t)queue_length + 1);
            good = entry->of.mid.queue != NULL || PyErr_NoMemory() != NULL;
            entry->of.mid.queue_length = (size_t)queue_length;
            if (good)
                memcpy(entry->of.mid.queue, queue, (size_t)queue_length);
        }
        Py_XDECREF(pair);
        return good;
    }
    PyObject *at = known->kind == GONE ? Py_NewRef(value) : PyObject_GetAttrString(value, "at");
    if (at == NULL)
        return false;
    entry->at = PyLong_AsLongLong(at);
    Py_DECREF(at);
    if (known->kind != GONE)
        entry->object = Py_NewRef(value);
    return !PyErr_Occurred();
}

/* Give when an entry's value was; an object may have changed it. -1 with an exception. */
static int64_t entry_at(const Entry *entry)
{
    if (entry->object == NULL)
        return entry->at;
    PyObject *at = PyObject_GetAttrString(entry->object, "at");
    int64_t instant = at != NULL ? PyLong_AsLongLong(at) : -1;
    Py_XDECREF(at);
    return instant;
}

/* Take out what stands in front and is from before an instant; false with an exception. */
static bool known_drop_before(Known *known, int64_t at)
{
    for (Entry *entry = table_oldest(&known->table); entry != NULL; entry = table_oldest(&known->table)) {
        int64_t instant = entry_at(entry);
        if (instant == -1 && PyErr_Occurred())
            return false;
        if (instant >= at)
            break;
        table_remove(&known->table, entry);
    }
    return true;
}

static PyObject *known_get(Known *self, PyObject *arguments)
{
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTuple(arguments, "U|O", &key, &otherwise))
        return NULL;
    Entry *entry = known_find(self, key);
    if (entry == NULL)
        return PyErr_Occurred() ? NULL : Py_NewRef(otherwise);
    return entry_object(self, entry);
}

static PyObject *known_pop(Known *self, PyObject *arguments)
{
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTuple(arguments, "U|O", &key, &otherwise))
        return NULL;
    Entry *entry = known_find(self, key);
    if (entry == NULL)
        return PyErr_Occurred() ? NULL : Py_NewRef(otherwise);
    PyObject *object = entry_object(self, entry);
    if (object != NULL)
        table_remove(&self->table, entry);
    return object;
}

static PyObject *known_keep(Known *self, PyObject *arguments)
{
    PyObject *key, *value;
    Slice text;
    if (!PyArg_ParseTuple(arguments, "UO", &key, &value) || !to_slice(key, &text))
        return NULL;
    Entry *entry = table_keep(&self->table, text);
    if (entry == NULL)
        return PyErr_NoMemory();
    if (!entry_set(self, entry, value)) {
        table_remove(&self->table, entry);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *known_first(Known *self, PyObject *unused)
{
    (void)unused;
    Entry *entry = table_oldest(&self->table);
    return entry != NULL ? to_text(key_of(entry)) : Py_NewRef(Py_None);
}

static PyObject *known_drop(Known *self, PyObject *at)
{
    int64_t instant = PyLong_AsLongLong(at);
    if ((instant == -1 && PyErr_Occurred()) || !known_drop_before(self, instant))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *known_rows(Known *self, PyObject *unused)
{
    (void)unused;
    PyObject *rows = PyList_New(0);
    for (Entry *entry = table_oldest(&self->table); rows != NULL && entry != NULL;
         entry = table_newer(&self->table, entry)) {
        PyObject *object = entry->object, *key = to_text(key_of(entry));
        PyObject *fields = object == NULL       ? entry_fields(self, entry)
                           : self->kind == MIDS ? PyTuple_Pack(1, object)
                                                : PyObject_CallFunctionObjArgs(self->fields, object, NULL);
        PyObject *row = fields != NULL ? PySequence_List(fields) : NULL;
        bool good = row != NULL && key != NULL && PyList_Insert(row, 0, key) == 0 && PyList_Append(rows, row) == 0;
        Py_XDECREF(fields);
        Py_XDECREF(row);
        Py_XDECREF(key);
        if (!good)
            Py_CLEAR(rows);
    }
    return rows;
}

static Py_ssize_t known_length(Known *self)
{
    return (Py_ssize_t)self->table.count;
}

static int known_contains(Known *self, PyObject *key)
{
    if (!PyUnicode_Check(key))
        return 0;
    Entry *entry = known_find(self, key);
    return entry != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static PyObject *known_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    int kind;
    unsigned int limit;
    PyObject *class, *fields;
    if (!PyArg_ParseTuple(arguments, "iIOO", &kind, &limit, &class, &fields))
        return NULL;
    if (kind < SESSIONS || kind > ATTEMPTS || limit == 0 || limit > 1u << 24)
        return PyErr_Format(PyExc_ValueError, "no table of kind %d and limit %u", kind, limit);
    PyObject *seed = PyUnicode_FromString("a log's tables"); /* hashed with the secret of this process */
    Known *self = seed != NULL ? (Known *)PyType_GenericAlloc(type, 0) : NULL;
    if (self != NULL) {
        table_init(&self->table, limit, (uint64_t)PyObject_Hash(seed));
        self->table.holds_mids = kind == MIDS;
        self->kind = (Kind)kind;
        self->class = Py_NewRef(class);
        self->fields = Py_NewRef(fields);
    }
    Py_XDECREF(seed);
    return (PyObject *)self;
}

static void known_free(Known *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    table_free(&self->table);
    Py_XDECREF(self->class);
    Py_XDECREF(self->fields);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef known_methods[] = {
    {"get", (PyCFunction)known_get, METH_VARARGS, "Give the value of a key, else the second argument."},
    {"pop", (PyCFunction)known_pop, METH_VARARGS, "Take out a key and give its value, else the second argument."},
    {"keep", (PyCFunction)known_keep, METH_VARARGS, "Put a value behind all others; beyond the limit the oldest goes."},
    {"first", (PyCFunction)known_first, METH_NOARGS, "Give the oldest key; None when there is none."},
    {"drop_before", (PyCFunction)known_drop, METH_O, "Take out what stands in front and is from before an instant."},
    {"rows", (PyCFunction)known_rows, METH_NOARGS, "Give a list of each key and the fields of its value."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot known_slots[] = {
    {Py_tp_doc, "Values by key, the oldest first, bounded: kind, limit, class of the values, what gives their fields."},
    {Py_tp_new, known_new},
    {Py_tp_dealloc, known_free},
    {Py_tp_methods, known_methods},
    {Py_sq_length, known_length},
    {Py_sq_contains, known_contains},
    {0, NULL},
};

static PyType_Spec known_spec = {"repzone.logs._skim.Table", sizeof(Known), 0, Py_TPFLAGS_DEFAULT, known_slots};

#endif
