"""The compiled core for the common query: a table, and the threads that answer from it, where there was a compiler."""

from repzone.zone.table import MemoryTable, Table

try:
    from repzone.fastpath.table import CompiledTable
except ImportError:  # `_dns` was not built, or for another system
    COMPILED = False
else:
    COMPILED = True

__all__ = ["COMPILED", "make_table"]


def make_table() -> Table:
    """Give an empty table: the compiled core's, else one of Python dictionaries."""
    return CompiledTable() if COMPILED else MemoryTable()
