"""The two ways of reading a log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from repzone.logs import table
from repzone.logs.reader import Reader
from tests.logs import blocks


@pytest.fixture(scope="session", autouse=True)
def bare() -> Iterator[None]:
    """Lets what a parser raises fail the test, which the reader would survive."""

    def fail(reader: Reader, error: Exception, text: str) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "_note_fault", fail)
        yield


@pytest.fixture(scope="module", params=["compiled", "plain"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Reads with the compiled skimmer, and without."""
    if request.param == "plain":
        with blocks.plain():
            yield
    elif table.compiled is None:
        pytest.skip("no compiler when this was installed: apt-get install gcc python3-dev, then make install")
    else:
        yield
