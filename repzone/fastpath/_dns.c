/* The compiled core as a Python module, by the limited API of Python 3.11: `Core` and `Server`.
 *
 * The parts before `core_type.h` know nothing of Python; tests build them without it, under sanitizers.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/random.h>

#include "server_type.h"

static int fill_module(PyObject *module)
{
    PyObject *core = PyType_FromSpec(&core_spec);
    PyObject *server = core ? PyType_FromSpec(&server_spec) : NULL;
    int failed = !server || PyObject_SetAttrString(server, "core_type", core) < 0 ||
                 PyModule_AddObjectRef(module, "Core", core) < 0 ||
                 PyModule_AddObjectRef(module, "Server", server) < 0;
    Py_XDECREF(core);
    Py_XDECREF(server);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "repzone.fastpath._dns", NULL, 0, NULL, module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__dns(void)
{
    return PyModuleDef_Init(&module);
}
