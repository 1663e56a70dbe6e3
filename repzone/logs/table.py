"""Values by key in, the same out, the oldest first and not more than a limit: what the reading of a log remembers.

There are two kinds of the same behaviour: `PlainTable` is of Python, and `_skim.Table` is what the compiled skimmer can
work on without Python. A law compares them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from repzone.logs._skim import Skimmer as Skimmer

try:
    from repzone.logs import _skim
except ImportError:  # no compiler when this was installed
    compiled = None
else:
    compiled = _skim
"""The compiled skimmer; None where there is none."""

V = TypeVar("V")
D = TypeVar("D")


class Table(Protocol[V]):
    """What a table can do; keys are texts."""

    @overload
    def get(self, key: str, otherwise: None = None, /) -> V | None: ...
    @overload
    def get(self, key: str, otherwise: D, /) -> V | D: ...
    def pop(self, key: str, otherwise: V | D, /) -> V | D: ...

    def keep(self, key: str, value: V, /) -> None:
        """Put a value behind all others; when there are too many, the oldest goes."""

    def first(self) -> str | None:
        """Give the oldest key; None when there is none."""

    def drop_before(self, at: int, /) -> None:
        """Take out what stands in front and is from before an instant: nobody asks for it any more."""

    def rows(self) -> list[list[Any]]:
        """Give each key and the fields of its value."""

    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...


class PlainTable(OrderedDict[str, V]):
    """A table of Python's."""

    def __init__(self, limit: int, instant: Callable[[V], int], fields: Callable[[V], tuple[Any, ...]]) -> None:
        """Take how many there may be, and what gives the instant and all fields of a value."""
        super().__init__()
        self._limit = limit
        self._instant = instant
        self._fields = fields

    def keep(self, key: str, value: V, /) -> None:
        """Put a value behind all others; when there are too many, the oldest goes."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._limit:
            self.popitem(last=False)

    def first(self) -> str | None:
        """Give the oldest key; None when there is none."""
        return next(iter(self), None)

    def drop_before(self, at: int, /) -> None:
        """Take out what stands in front and is from before an instant: nobody asks for it any more."""
        while self and self._instant(next(iter(self.values()))) < at:
            self.popitem(last=False)

    def rows(self) -> list[list[Any]]:
        """Give each key and the fields of its value."""
        return [[key, *self._fields(value)] for key, value in self.items()]
