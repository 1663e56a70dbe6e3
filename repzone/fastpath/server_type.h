/* `_dns.Server` for Python: the threads, and what they hand over to the general path. */

#ifndef REPZONE_SERVER_TYPE_H
#define REPZONE_SERVER_TYPE_H

#include <arpa/inet.h>
#include <unistd.h>

#include "core_type.h"
#include "worker.h"

typedef struct {
    PyObject_HEAD
    PyObject *core;
    Shared shared;
    Worker **workers;
    unsigned count;
    unsigned taking; /* the worker whose queue `take` gave something from, until `reply` */
    bool taken;
} ServerObject;

static bool add_worker(ServerObject *self, int socket, bool wildcard)
{
    Worker *worker = calloc(1, sizeof *worker);
    Reader *reader = reader_take(&self->shared.core->table);
    if (!worker || !reader) {
        free(worker);
        if (reader)
            reader_give_back(reader);
        PyErr_NoMemory();
        return false;
    }
    worker->shared = &self->shared;
    worker->reader = reader;
    worker->socket = socket;
    worker->wildcard = wildcard;
    self->workers[self->count++] = worker;
    return true;
}

static bool add_workers(ServerObject *self, PyObject *sockets)
{
    Py_ssize_t number = PyList_Size(sockets);
    self->workers = calloc((size_t)number + 1, sizeof *self->workers);
    if (!self->workers) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t place = 0; place < number; place++) {
        int socket, wildcard;
        if (!PyArg_ParseTuple(PyList_GetItem(sockets, place), "ip", &socket, &wildcard) ||
            !add_worker(self, socket, wildcard))
            return false;
    }
    return true;
}

/* Server(core, [(file descriptor, wildcard), ...]): blocking sockets, which stay the caller's. */
static PyObject *server_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    PyObject *core, *sockets;
    (void)names;
    PyObject *core_type = PyObject_GetAttrString((PyObject *)type, "core_type");
    if (!core_type)
        return NULL;
    bool parsed = PyArg_ParseTuple(arguments, "O!O!:Server", core_type, &core, &PyList_Type, &sockets);
    Py_DECREF(core_type);
    if (!parsed)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ServerObject *self = (ServerObject *)allocate(type, 0);
    if (!self)
        return NULL;
    Py_INCREF(core);
    self->core = core;
    self->shared.core = core_of(core);
    self->shared.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->shared.wake < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    if (self->shared.wake < 0 || !add_workers(self, sockets)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Tell the threads to end and wait for them; what they handed over stays in the queues, nobody is woken for it. */
static void end_workers(ServerObject *self)
{
    atomic_store(&self->shared.ending, true);
    Py_BEGIN_ALLOW_THREADS
    for (unsigned number = 0; number < self->count; number++)
        if (self->workers[number]->started) {
            pthread_join(self->workers[number]->thread, NULL);
            self->workers[number]->started = false;
        }
    Py_END_ALLOW_THREADS
    if (self->shared.wake >= 0)
        close(self->shared.wake);
    self->shared.wake = -1;
}

static void server_dealloc(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;
    end_workers(self);
    for (unsigned number = 0; number < self->count; number++) {
        reader_give_back(self->workers[number]->reader);
        free(self->workers[number]);
    }
    free(self->workers);
    Py_XDECREF(self->core);
    free_object(object);
}

static PyObject *server_start(PyObject *object, PyObject *none)
{
    ServerObject *self = (ServerObject *)object;
    (void)none;
    for (unsigned number = 0; number < self->count; number++) {
        int failed = worker_start(self->workers[number]);
        if (failed) {
            end_workers(self);
            errno = failed;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *server_stop(PyObject *object, PyObject *none)
{
    (void)none;
    end_workers((ServerObject *)object);
    Py_RETURN_NONE;
}

/* Tell the threads what instant it is, instead of the clock; 0: the clock again. */
static PyObject *server_tell(PyObject *object, PyObject *arguments)
{
    unsigned int now;
    if (!PyArg_ParseTuple(arguments, "I:tell", &now))
        return NULL;
    atomic_store_explicit(&((ServerObject *)object)->shared.told, now, memory_order_relaxed);
    Py_RETURN_NONE;
}

/* Hand over that share of the hits, 0 to 1, so that the general path can log them. */
static PyObject *server_sample(PyObject *object, PyObject *arguments)
{
    double share;
    if (!PyArg_ParseTuple(arguments, "d:sample", &share))
        return NULL;
    uint64_t sampled = share <= 0 ? 0 : (uint64_t)((share < 1 ? share : 1) * 4294967296.0);
    atomic_store_explicit(&((ServerObject *)object)->shared.sampled, sampled, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *make_taken(const Packet *packet)
{
    char host[INET6_ADDRSTRLEN];
    int family = packet->address.any.sa_family;
    const void *address = family == AF_INET ? (const void *)&packet->address.v4.sin_addr
                                            : (const void *)&packet->address.v6.sin6_addr;
    if (!inet_ntop(family, address, host, sizeof host))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("y#s", (const char *)packet->octets, (Py_ssize_t)packet->size, host);
}

/* Give a packet that was handed over and its sender, the queues in turn, or None; `reply` must follow. */
static PyObject *server_take(PyObject *object, PyObject *none)
{
    ServerObject *self = (ServerObject *)object;
    (void)none;
    for (unsigned tries = 0; tries < self->count && !self->taken; tries++) {
        self->taking = (self->taking + 1) % self->count;
        const Packet *packet = queue_first(&self->workers[self->taking]->queue);
        if (packet) {
            self->taken = true;
            return make_taken(packet);
        }
    }
    Py_RETURN_NONE;
}

/* Send the reply to what `take` gave, from the socket that it came to; None is silence. */
static PyObject *server_reply(PyObject *object, PyObject *arguments)
{
    ServerObject *self = (ServerObject *)object;
    const char *octets;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "z#:reply", &octets, &size))
        return NULL;
    if (self->taken) {
        Worker *worker = self->workers[self->taking];
        Packet *packet = queue_first(&worker->queue);
        if (octets)
            send_reply(worker, packet, octets, (size_t)size);
        queue_drop(&worker->queue);
        self->taken = false;
    }
    Py_RETURN_NONE;
}

static unsigned long long read_counter(Counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Put (zone, type, rcode, number) at the end of a list for all that a thread answered. */
static bool append_answered(PyObject *list, Tally *tally)
{
    for (unsigned zone = 0; zone < ZONES_MOST; zone++)
        for (unsigned place = 0; place < 2 * COUNTED_TYPES; place++) {
            unsigned type = place / 2;
            unsigned long long number = read_counter(&tally->answered[zone][type][place % 2]);
            if (number == 0)
                continue;
            PyObject *made = Py_BuildValue("IIIK", zone, type, place % 2 ? NXDOMAIN : NOERROR, number);
            if (!made || PyList_Append(list, made) < 0) {
                Py_XDECREF(made);
                return false;
            }
            Py_DECREF(made);
        }
    return true;
}

/* Give what each thread did: answered, handed over, failed, dropped, unsent, batches, packets. */
static PyObject *server_tallies(PyObject *object, PyObject *none)
{
    ServerObject *self = (ServerObject *)object;
    (void)none;
    PyObject *all = PyList_New(0);
    for (unsigned number = 0; all && number < self->count; number++) {
        Tally *tally = &self->workers[number]->tally;
        PyObject *answered = PyList_New(0), *one = NULL;
        if (answered && append_answered(answered, tally))
            one = Py_BuildValue("OKKKKKK", answered, read_counter(&tally->handed_over), read_counter(&tally->failed),
                                read_counter(&tally->dropped), read_counter(&tally->unsent),
                                read_counter(&tally->batches), read_counter(&tally->packets));
        if (!one || PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_XDECREF(answered);
        Py_XDECREF(one);
    }
    return all;
}

static PyObject *server_wake(PyObject *object, void *none)
{
    (void)none;
    return PyLong_FromLong(((ServerObject *)object)->shared.wake);
}

static PyMethodDef server_methods[] = {
    {"start", server_start, METH_NOARGS, NULL},
    {"stop", server_stop, METH_NOARGS, NULL},
    {"tell", server_tell, METH_VARARGS, NULL},
    {"sample", server_sample, METH_VARARGS, NULL},
    {"take", server_take, METH_NOARGS, NULL},
    {"reply", server_reply, METH_VARARGS, NULL},
    {"tallies", server_tallies, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef server_attributes[] = {
    {"wake", server_wake, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {Py_tp_getset, server_attributes},
    {0, NULL},
};

static PyType_Spec server_spec = {"repzone.fastpath._dns.Server", sizeof(ServerObject), 0, Py_TPFLAGS_DEFAULT,
                                  server_slots};

#endif
