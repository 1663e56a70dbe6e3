/* A block of log lines in, what they complete out: the compiled form of skim.py, with the state that it changes.
 *
 * `Table` holds what a log's reading remembers (table.h, known.h), `Skimmer` goes through a block. It settles the
 * frequent forms at once (forms.h, queue.h), and hands every other line to Python, which finds the same tables. All of
 * it stands before what strangers may have written: a line is looked at between its ends only, nothing recurs, and no
 * form is tried on octets other than printable ASCII. Uses the limited API, and lets no other thread in.
 */

#include "queue.h"

enum { LONGEST = 65536 };

static bool is_digit(char letter)
{
    return class_of[(unsigned char)letter] & DIGIT;
}

static bool take_clock(Slice *text)
{
    Slice digits;
    return take_some(text, DIGIT, 2, 2, &digits) && SKIP(text, ":") && take_some(text, DIGIT, 2, 2, &digits)
           && SKIP(text, ":") && length_of(*text) >= 2 && is_digit(text->start[0]) && is_digit(text->start[1])
           && (text->start += 2);
}

static bool is_lower(char letter)
{
    return letter >= 'a' && letter <= 'z';
}

/* Take `Nov 24 10:00:00` or `2026-11-24T10:00:00`, with what is smaller than a second, and the offset behind it. */
static bool take_stamp(Slice *text, Slice *stamp, Slice *offset)
{
    Slice digits;
    stamp->start = text->start;
    if (length_of(*text) > 20 && (class_of[(unsigned char)text->start[0]] & UPPER)) {
        const char *day = text->start + 4;
        if (!is_lower(day[-3]) || !is_lower(day[-2]) || day[-1] != ' ' || !(*day == ' ' || is_digit(*day))
            || !is_digit(day[1]) || day[2] != ' ')
            return false;
        text->start += 7;
    } else if (!take_some(text, DIGIT, 4, 4, &digits) || !SKIP(text, "-") || !take_some(text, DIGIT, 2, 2, &digits)
               || !SKIP(text, "-") || !take_some(text, DIGIT, 2, 2, &digits) || !SKIP(text, "T")) {
        return false;
    }
    if (!take_clock(text))
        return false;
    stamp->end = text->start;
    if (SKIP(text, ".") && !take_some(text, DIGIT, 1, 9, &digits))
        return false;
    offset->start = text->start;
    if ((SKIP(text, "+") || SKIP(text, "-"))
        && (!take_some(text, DIGIT, 2, 2, &digits) || !SKIP(text, ":") || !take_some(text, DIGIT, 2, 2, &digits)))
        return false;
    if (is_empty((Slice){offset->start, text->start}))
        SKIP(text, "Z");
    offset->end = text->start;
    return SKIP(text, " ");
}

/* Set the instant of a line; OTHER when its stamp has none. */
static Fate know_instant(Skimmer *self, Line *line, Slice stamp, Slice offset)
{
    char octets[LONGEST_STAMP];
    size_t length = length_of(stamp) + length_of(offset); /* 25 at most */
    memcpy(octets, stamp.start, length_of(stamp));
    memcpy(octets + length_of(stamp), offset.start, length_of(offset));
    if (self->at == NULL || length != self->stamp_length || memcmp(octets, self->stamp, length) != 0) {
        PyObject *key = Py_BuildValue("(s#s#)", stamp.start, (Py_ssize_t)length_of(stamp), offset.start,
                                      (Py_ssize_t)length_of(offset));
        PyObject *at = key != NULL ? PyObject_GetItem(self->instants, key) : NULL, *before = self->at;
        Py_XDECREF(key);
        if (at == NULL)
            return FAILED;
        self->at = at;
        Py_XDECREF(before);
        memcpy(self->stamp, octets, length);
        self->stamp_length = length;
    }
    if (self->at == Py_None)
        return OTHER;
    line->at = PyLong_AsLongLong(self->at);
    return line->at == -1 && PyErr_Occurred() ? FAILED : DONE;
}

/* Cut a line into its parts; `pid` is what stands in brackets behind the program. */
static bool cut(Line *line, Slice text, Slice *pid)
{
    *pid = (Slice){text.start, text.start};
    line->tag.start = line->host.start = text.start;
    if (!take_some(&text, HOST, 1, LONGEST_HOST, &line->host) || line->host.end[-1] == ':' || !SKIP(&text, " "))
        return false;
    if (!take_some(&text, PROGRAM, 1, LONGEST_HOST, &line->program))
        return false;
    if (SKIP(&text, "[") && (!take_some(&text, DIGIT, 1, 10, pid) || !SKIP(&text, "]")))
        return false;
    line->tag.end = text.start;
    line->message = text;
    return SKIP(&line->message, ": ");
}

static Fate skim_postfix(Skimmer *self, Line *line)
{
    Slice daemon = line->program;
    daemon.start += sizeof "postfix" - 1;
    take(&daemon, SERVICE);
    if (!SKIP(&daemon, "/"))
        return OTHER;
    Slice rest = daemon;
    line->service = take(&rest, DOTTED);
    if (!is_empty(line->service) && SKIP(&rest, "/"))
        daemon = rest;
    if (IS(daemon, "smtpd"))
        return on_smtpd(self, line);
    if (IS(daemon, "qmgr"))
        return on_qmgr(self, line);
    if (IS(daemon, "cleanup"))
        return on_cleanup(self, line);
    if (IS(daemon, "smtp") || IS(daemon, "lmtp") || IS(daemon, "local") || IS(daemon, "virtual") || IS(daemon, "pipe")
        || IS(daemon, "error") || IS(daemon, "discard"))
        return on_delivery(self, line);
    if (IS(daemon, "postscreen"))
        return on_postscreen(self, line);
    return IS(daemon, "anvil") || IS(daemon, "scache") || IS(daemon, "tlsmgr") || IS(daemon, "verify")
                   || IS(daemon, "dnsblog") || IS(daemon, "bounce")
               ? DONE
               : OTHER;
}

/* Add what Python gave for a line; takes it over. */
static Fate add_told(Skimmer *self, PyObject *told)
{
    Py_ssize_t count = told != NULL ? PyTuple_Size(told) : -1;
    bool good = count >= 0;
    for (Py_ssize_t at = 0; good && at < count; at++)
        good = PyList_Append(self->found, PyTuple_GetItem(told, at)) == 0;
    Py_XDECREF(told);
    return good ? DONE : FAILED;
}

/* Hand a line to its component's parser, where what its beginning says is known already. */
static Fate read_tagged(Skimmer *self, const Line *line, Slice pid)
{
    if (BEGINS(line->message, "message repeated ") || BEGINS(line->message, "[ID "))
        return OTHER;
    PyObject *key = to_text((Slice){line->host.start, line->program.end});
    PyObject *tag = key != NULL ? PyDict_GetItemWithError(self->tags, key) : NULL;
    Py_XDECREF(key);
    if (tag == NULL)
        return PyErr_Occurred() ? FAILED : OTHER;
    PyObject *parser = PyTuple_GetItem(tag, 2);
    if (parser == NULL || parser == Py_None)
        return parser == NULL ? FAILED : DONE;
    return add_told(self, PyObject_CallFunction(self->read_tagged, "OOs#s#L", self->at, tag, pid.start,
                                                (Py_ssize_t)length_of(pid), line->message.start,
                                                (Py_ssize_t)length_of(line->message), (long long)line->number));
}

static Fate skim_line(Skimmer *self, Line *line)
{
    Slice text = line->whole, stamp, offset, pid;
    if (!is_plain(text) || !take_stamp(&text, &stamp, &offset) || !cut(line, text, &pid))
        return OTHER;
    Fate fate = know_instant(self, line, stamp, offset);
    if (fate != DONE)
        return fate;
    fate = OTHER;
    if (BEGINS(line->program, "postfix")) {
        if (!is_empty(pid))
            fate = skim_postfix(self, line);
    } else if (IS(line->program, "dovecot")) {
        fate = on_dovecot(self, line);
    } else if (IS(line->program, "amavis") && !is_empty(pid)) {
        fate = on_amavis(self, line);
    }
    return fate == OTHER ? read_tagged(self, line, pid) : fate;
}

/* Read a line; tells whether it was one, or was skipped: too long, with a NUL, or not UTF-8. */
static bool read_line(Skimmer *self, Line *line, bool *skipped)
{
    Slice text = line->whole;
    *skipped = length_of(text) > LONGEST || memchr(text.start, 0, length_of(text)) != NULL;
    if (*skipped)
        return true;
    while (text.end > text.start && text.end[-1] == '\r')
        text.end--;
    line->whole = text;
    Fate fate = skim_line(self, line);
    if (fate != OTHER)
        return fate == DONE;
    Py_CLEAR(self->at); /* the second pass of an hour that comes twice may begin with this line */
    PyObject *decoded = PyUnicode_DecodeUTF8(text.start, (Py_ssize_t)length_of(text), "strict");
    if (decoded == NULL) {
        *skipped = PyErr_ExceptionMatches(PyExc_UnicodeDecodeError);
        if (*skipped)
            PyErr_Clear();
        return *skipped;
    }
    return add_told(self, PyObject_CallFunction(self->read, "NL", decoded, (long long)line->number)) == DONE;
}

static PyObject *skim(Skimmer *self, PyObject *arguments)
{
    PyObject *block, *result = NULL;
    char *octets;
    Py_ssize_t length;
    long long number, lines = 0, skipped = 0;
    if (self->found != NULL)
        return PyErr_Format(PyExc_RuntimeError, "a block is being read already");
    if (!PyArg_ParseTuple(arguments, "SLOO", &block, &number, &self->read, &self->read_tagged)
        || PyBytes_AsStringAndSize(block, &octets, &length) < 0)
        return NULL;
    self->found = PyList_New(0);
    bool good = self->found != NULL;
    Py_CLEAR(self->at); /* stamps without a year may mean another one by now */
    for (const char *at = octets, *end = octets + length; good && at < end; lines++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Line line = {.whole = {at, newline != NULL ? newline : end}, .number = number + lines};
        bool skip;
#ifdef __SANITIZE_ADDRESS__ /* let it see where a line ends */
        size_t octets_of_line = length_of(line.whole);
        char *copy = memcpy(malloc(octets_of_line + !octets_of_line), line.whole.start, octets_of_line);
        line.whole = slice_of(copy, octets_of_line);
#endif
        good = read_line(self, &line, &skip);
#ifdef __SANITIZE_ADDRESS__
        free(copy);
#endif
        skipped += skip;
        at = newline != NULL ? newline + 1 : end;
    }
    if (good && tell_all_traffic(self))
        result = Py_BuildValue("(OLL)", self->found, lines, skipped);
    Py_CLEAR(self->found);
    return result;
}

static PyTypeObject *known_type;

static PyObject *skimmer_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    PyObject *held[HELD];
    const char *key;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(arguments, "y#(O!O!O!O!O!)OOO!OO(O!O!O!)", &key, &length, known_type, &held[0], known_type,
                          &held[1], known_type, &held[2], known_type, &held[3], known_type, &held[4], &held[5],
                          &held[6], &PyDict_Type, &held[7], &held[8], &held[9], &PyType_Type, &held[10], &PyType_Type,
                          &held[11], &PyType_Type, &held[12]))
        return NULL;
    for (int kind = SESSIONS; kind <= ATTEMPTS; kind++)
        if (((Known *)held[kind])->kind != (Kind)kind)
            return PyErr_Format(PyExc_TypeError, "the tables are not in their order");
    if (length > LONGEST_KEY)
        return PyErr_Format(PyExc_ValueError, "a key of more than %d octets", LONGEST_KEY);
    Skimmer *self = (Skimmer *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    for (int number = 0; number < HELD; number++)
        self->held[number] = Py_NewRef(held[number]);
    blake2b_init(&self->hash, key, (size_t)length);
    table_init(&self->clients, CLIENTS, self->sessions->table.seed);
    table_init(&self->verdicts, VERDICTS, self->sessions->table.seed);
    return (PyObject *)self;
}

static void skimmer_free(Skimmer *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int number = 0; number < HELD; number++)
        Py_XDECREF(self->held[number]);
    Py_XDECREF(self->at);
    table_free(&self->clients);
    table_free(&self->verdicts);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef skimmer_methods[] = {
    {"skim", (PyCFunction)skim, METH_VARARGS, "Take a block; give what it completes, its lines, and those skipped."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot skimmer_slots[] = {
    {Py_tp_doc, "Goes through blocks of lines; see _skim.pyi."},
    {Py_tp_new, skimmer_new},
    {Py_tp_dealloc, skimmer_free},
    {Py_tp_methods, skimmer_methods},
    {0, NULL},
};

static PyType_Spec skimmer_spec = {"repzone.logs._skim.Skimmer", sizeof(Skimmer), 0, Py_TPFLAGS_DEFAULT, skimmer_slots};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "repzone.logs._skim", .m_doc = "See _skim.pyi.", .m_size = -1};

PyMODINIT_FUNC PyInit__skim(void)
{
    classes_init();
    PyObject *module = PyModule_Create(&definition), *skimmer = PyType_FromSpec(&skimmer_spec);
    known_type = (PyTypeObject *)PyType_FromSpec(&known_spec);
    bool good = module != NULL && skimmer != NULL && known_type != NULL && words_init()
                && PyModule_AddObjectRef(module, "Table", (PyObject *)known_type) == 0
                && PyModule_AddObjectRef(module, "Skimmer", skimmer) == 0;
    Py_XDECREF(skimmer);
    if (!good)
        Py_CLEAR(module);
    return module;
}
