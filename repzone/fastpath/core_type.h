/* `_dns.Core` for Python: the table behind repzone.fastpath.table, and `answer` as the threads run it. */

#ifndef REPZONE_CORE_TYPE_H
#define REPZONE_CORE_TYPE_H

#include "change.h"
#include "core.h"

typedef struct {
    PyObject_HEAD
    Core *core;
} CoreObject;

static inline Core *core_of(PyObject *self)
{
    return ((CoreObject *)self)->core;
}

/* Python's own place among the readers: its lock lets one in at a time. */
static inline Reader *python_reader(Core *core)
{
    return &core->table.readers[0];
}

static bool read_reserved(Table *table, const uint8_t *octets, Py_ssize_t size)
{
    if (size % NETWORK_OCTETS || size / NETWORK_OCTETS > RESERVED_MOST)
        return false;
    for (; table->reserved_count < (unsigned)(size / NETWORK_OCTETS); octets += NETWORK_OCTETS)
        table->reserved[table->reserved_count++] = read_client(octets[0], octets[1], octets + 2);
    return true;
}

static PyObject *core_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    const char *reserved;
    Py_ssize_t size;
    uint64_t seed;
    (void)names;
    if (!PyArg_ParseTuple(arguments, "y#:Core", &reserved, &size))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    CoreObject *self = (CoreObject *)allocate(type, 0);
    if (!self)
        return NULL;
    Core *core = aligned_alloc(64, (sizeof *core + 63) / 64 * 64);
    if (!core || getrandom(&seed, sizeof seed, 0) != sizeof seed || !table_init(&core->table, seed)) {
        free(core);
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_store(&core->zones, NULL);
    atomic_store(&core->serial, 0);
    atomic_store(&core->fresh_until, 0);
    atomic_store(&core->stale_from, 0);
    self->core = core;
    if (!read_reserved(&core->table, (const uint8_t *)reserved, size)) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_ValueError, "reserved: version, length and 16 octets each");
        return NULL;
    }
    return (PyObject *)self;
}

static void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static void core_dealloc(PyObject *self)
{
    Core *core = core_of(self);
    if (core)
        core_end(core);
    free(core);
    free_object(self);
}

/* Take the writer's lock. Nobody ever waits for it while he has Python's: a dump of millions may have it. */
static void lock_writing(Table *table)
{
    if (pthread_mutex_trylock(&table->writing) == 0)
        return;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&table->writing);
    Py_END_ALLOW_THREADS
}

static PyObject *core_apply(PyObject *self, PyObject *arguments)
{
    const char *octets;
    Py_ssize_t size;
    Row row;
    bool room = true;
    Table *table = &core_of(self)->table;
    if (!PyArg_ParseTuple(arguments, "y#:apply", &octets, &size))
        return NULL;
    if (size != ROW_OCTETS || !read_row((const uint8_t *)octets, &row)) {
        PyErr_SetString(PyExc_ValueError, "a row is 32 octets");
        return NULL;
    }
    lock_writing(table);
    if (needs_room(table, &row)) {
        Py_BEGIN_ALLOW_THREADS
        room = make_room(table, &row);
        if (room)
            table_apply(table, &row);
        pthread_mutex_unlock(&table->writing);
        Py_END_ALLOW_THREADS
    } else {
        table_apply(table, &row);
        pthread_mutex_unlock(&table->writing);
    }
    if (!room)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *core_load(PyObject *self, PyObject *arguments)
{
    Py_buffer rows;
    State *state = NULL;
    Table *table = &core_of(self)->table;
    if (!PyArg_ParseTuple(arguments, "y*:load", &rows))
        return NULL;
    if (rows.len % ROW_OCTETS == 0) {
        Py_BEGIN_ALLOW_THREADS
        state = build_state(rows.buf, (size_t)rows.len / ROW_OCTETS, table->seed);
        if (state) {
            pthread_mutex_lock(&table->writing);
            State *old = publish_state(table, state);
            pthread_mutex_unlock(&table->writing);
            state_free(old);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&rows);
    if (state)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "rows of 32 octets that are sound, and memory for them, are wanted");
    return NULL;
}

static PyObject *core_sweep(PyObject *self, PyObject *arguments)
{
    unsigned int now;
    size_t gone;
    Table *table = &core_of(self)->table;
    if (!PyArg_ParseTuple(arguments, "I:sweep", &now))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&table->writing);
    gone = table_sweep(table, now);
    pthread_mutex_unlock(&table->writing);
    Py_END_ALLOW_THREADS
    return PyLong_FromSize_t(gone);
}

/* Put the listings of one index at the end of a list, as (category, offence, begins, ends, prefix length). */
static bool append_listings(PyObject *list, const Index *index, const Client *client, uint32_t now)
{
    Entry found[CATEGORIES];
    unsigned count = find_listings(index, client, now, found);
    for (unsigned number = 0; number < count; number++) {
        Entry entry = found[number];
        PyObject *made = Py_BuildValue("IIIII", tag_category(entry.tag), tag_offence(entry.tag), entry.begins,
                                       entry.ends, (unsigned)index->length);
        if (!made || PyList_Append(list, made) < 0) {
            Py_XDECREF(made);
            return false;
        }
        Py_DECREF(made);
    }
    return true;
}

/* Give listings, exemption (begins, ends, prefix length) or None, and whether the space is reserved. */
static PyObject *core_lookup(PyObject *self, PyObject *arguments)
{
    const char *octets;
    Py_ssize_t size;
    unsigned int now;
    unsigned char version, length;
    unsigned exempt_length;
    Entry exempt;
    Core *core = core_of(self);
    if (!PyArg_ParseTuple(arguments, "bby#I:lookup", &version, &length, &octets, &size, &now))
        return NULL;
    if (size != ADDRESS_OCTETS || (version != V4 && version != V6) || length > address_width(version)) {
        PyErr_SetString(PyExc_ValueError, "an address is 4 or 6, a length and 16 octets");
        return NULL;
    }
    Client client = read_client(version, length, (const uint8_t *)octets);
    PyObject *listings = PyList_New(0);
    if (!listings)
        return NULL;
    enter(&core->table, python_reader(core));
    const State *state = atomic_load(&core->table.state);
    const Family *family = &state->families[LISTED][family_number(version)];
    bool whole = true;
    for (unsigned number = 0; whole && number < family->count; number++)
        if (family->indexes[number]->length <= length)
            whole = append_listings(listings, family->indexes[number], &client, now);
    bool exempted = find_exempt(state, &client, now, &exempt, &exempt_length);
    leave(python_reader(core));
    if (!whole) {
        Py_DECREF(listings);
        return NULL;
    }
    PyObject *exemption = exempted ? Py_BuildValue("III", exempt.begins, exempt.ends, exempt_length)
                                   : Py_BuildValue("");
    return Py_BuildValue("NNN", listings, exemption, PyBool_FromLong(is_reserved(&core->table, &client)));
}

static PyObject *core_counts(PyObject *self, PyObject *none)
{
    uint32_t counts[CATEGORIES];
    Core *core = core_of(self);
    (void)none;
    enter(&core->table, python_reader(core));
    State *state = atomic_load(&core->table.state);
    for (unsigned category = 0; category < CATEGORIES; category++)
        counts[category] = atomic_load_explicit(&state->counts[category], memory_order_relaxed);
    leave(python_reader(core));
    return Py_BuildValue("(IIIII)", counts[0], counts[1], counts[2], counts[3], counts[4]);
}

static PyObject *core_count_exempt(PyObject *self, PyObject *arguments)
{
    unsigned int now;
    uint32_t counts[CATEGORIES] = {0};
    Table *table = &core_of(self)->table;
    if (!PyArg_ParseTuple(arguments, "I:count_exempt", &now))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&table->writing);
    count_exempt(atomic_load(&table->state), now, counts);
    pthread_mutex_unlock(&table->writing);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(IIIII)", counts[0], counts[1], counts[2], counts[3], counts[4]);
}

/* Write the entries of one kind that hold at that instant as rows; gives how many octets that are, or would be. */
static size_t write_rows(const State *state, unsigned kind, uint32_t now, uint8_t *rows)
{
    size_t size = 0;
    uint32_t key[4];
    for (unsigned place = 0; place < 2; place++)
        for (unsigned number = 0; number < state->families[kind][place].count; number++) {
            const Index *index = state->families[kind][place].indexes[number];
            for (uint32_t slot = 0; slot < index->capacity; slot++) {
                Entry entry = entry_at(index, slot);
                bool holds = entry.tag == EXEMPT ? entry.begins <= now && (now < entry.ends || entry.ends == FOREVER)
                                                 : entry.tag != 0 && now < entry.ends;
                if (!holds)
                    continue;
                if (rows) {
                    key_at(index, slot, key);
                    write_row(rows + size, index, key, entry);
                }
                size += ROW_OCTETS;
            }
        }
    return size;
}

static PyObject *core_dump(PyObject *self, PyObject *arguments)
{
    int exempted;
    unsigned int now;
    Table *table = &core_of(self)->table;
    uint8_t *rows;
    size_t size;
    if (!PyArg_ParseTuple(arguments, "pI:dump", &exempted, &now))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&table->writing);
    const State *state = atomic_load(&table->state);
    size = write_rows(state, exempted ? EXEMPTED : LISTED, now, NULL);
    rows = malloc(size + 1);
    if (rows)
        write_rows(state, exempted ? EXEMPTED : LISTED, now, rows);
    pthread_mutex_unlock(&table->writing);
    Py_END_ALLOW_THREADS
    PyObject *dumped = rows ? PyBytes_FromStringAndSize((const char *)rows, (Py_ssize_t)size) : PyErr_NoMemory();
    free(rows);
    return dumped;
}

static PyObject *core_set_zones(PyObject *self, PyObject *arguments)
{
    const char *octets;
    Py_ssize_t size;
    unsigned int number;
    Core *core = core_of(self);
    if (!PyArg_ParseTuple(arguments, "y#I:set_zones", &octets, &size, &number))
        return NULL;
    Zones *zones = number > ZONES_MOST ? NULL : zones_read((const uint8_t *)octets, (size_t)size, number);
    if (!zones) {
        PyErr_SetString(PyExc_ValueError, "these are no compiled zones");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&core->table.writing);
    publish_zones(core, zones);
    pthread_mutex_unlock(&core->table.writing);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *core_set_status(PyObject *self, PyObject *arguments)
{
    unsigned int serial;
    long long fresh_for, stale_in;
    Core *core = core_of(self);
    if (!PyArg_ParseTuple(arguments, "ILL:set_status", &serial, &fresh_for, &stale_in))
        return NULL;
    int64_t now = read_clock(CLOCK_MONOTONIC);
    atomic_store_explicit(&core->serial, serial, memory_order_relaxed);
    atomic_store_explicit(&core->fresh_until, now + fresh_for * SECOND, memory_order_relaxed);
    atomic_store_explicit(&core->stale_from, now + stale_in * SECOND, memory_order_relaxed);
    Py_RETURN_NONE;
}

/* Give the reply, None for silence, NotImplemented for what is handed over. */
static PyObject *core_answer(PyObject *self, PyObject *arguments)
{
    const char *packet, *octets;
    Py_ssize_t size, address_size;
    unsigned int now;
    unsigned char version;
    uint8_t written[REPLY_MOST];
    Reply reply = {.octets = written};
    Core *core = core_of(self);
    if (!PyArg_ParseTuple(arguments, "y#Iby#:answer", &packet, &size, &now, &version, &octets, &address_size))
        return NULL;
    if (address_size != ADDRESS_OCTETS || (version != V4 && version != V6)) {
        PyErr_SetString(PyExc_ValueError, "an address is 4 or 6, and 16 octets");
        return NULL;
    }
    Client client = read_client(version, address_width(version), (const uint8_t *)octets);
    enter(&core->table, python_reader(core));
    View view = view_core(core, now, read_clock(CLOCK_MONOTONIC));
    Verdict verdict = answer(&view, &client, (const uint8_t *)packet, (size_t)size, &reply);
    leave(python_reader(core));
    if (verdict == ANSWERED)
        return PyBytes_FromStringAndSize((const char *)written, (Py_ssize_t)reply.size);
    PyObject *other = verdict == SILENT ? Py_None : Py_NotImplemented;
    Py_INCREF(other);
    return other;
}

static PyMethodDef core_methods[] = {
    {"apply", core_apply, METH_VARARGS, NULL},
    {"load", core_load, METH_VARARGS, NULL},
    {"sweep", core_sweep, METH_VARARGS, NULL},
    {"lookup", core_lookup, METH_VARARGS, NULL},
    {"counts", core_counts, METH_NOARGS, NULL},
    {"count_exempt", core_count_exempt, METH_VARARGS, NULL},
    {"dump", core_dump, METH_VARARGS, NULL},
    {"set_zones", core_set_zones, METH_VARARGS, NULL},
    {"set_status", core_set_status, METH_VARARGS, NULL},
    {"answer", core_answer, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot core_slots[] = {
    {Py_tp_new, core_new},
    {Py_tp_dealloc, core_dealloc},
    {Py_tp_methods, core_methods},
    {0, NULL},
};

static PyType_Spec core_spec = {"repzone.fastpath._dns.Core", sizeof(CoreObject), 0, Py_TPFLAGS_DEFAULT, core_slots};

#endif
