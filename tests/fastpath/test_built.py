"""Whether there is a core at all."""

from repzone import fastpath
from repzone.zone.table import MemoryTable
from tests.fastpath.needed import lack


def test_the_core_was_built() -> None:
    if not fastpath.COMPILED:
        assert isinstance(fastpath.make_table(), MemoryTable)
        lack("the compiled core was not built: apt-get install gcc python3-dev, then install repzone again")
    assert not isinstance(fastpath.make_table(), MemoryTable)
