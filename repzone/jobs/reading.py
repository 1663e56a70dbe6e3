"""What turns the lines of a format into what they tell, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from repzone.model import Event, Hit, Traffic, Wait

Told = Event | Hit | Traffic | Wait


class Reader(Protocol):
    """What turns the lines of one format into events, hits, traffic and waits."""

    lines: int
    skipped: int
    unmatched: int

    @property
    def newest(self) -> int | None:
        """The newest stamp of the lines so far; None when none had one."""

    def read(self, line: bytes, number: int, reference: int) -> tuple[Told, ...]:
        """Give what the line completes; `reference` is the instant that year-less stamps lie before."""

    def dump(self) -> dict[str, Any]:
        """Give what is to be remembered for the next run."""


@runtime_checkable
class BlockReader(Reader, Protocol):
    """A reader that takes many lines at once, each with its newline."""

    def read_block(self, block: bytes, number: int, reference: int) -> Iterable[Told]:
        """Give what the lines complete, the first of which has that number."""


@runtime_checkable
class LogReader(Protocol):
    """A reader of a log's lines: it is told when the log was silent, and tells what our own code could not take."""

    faults: list[str]

    def note_end(self, at: int) -> None:
        """Note that what was written before this instant has been read."""


MakeReader = Callable[[Mapping[str, Any] | None], Reader]


def read_block(reader: Reader, block: bytes, number: int, reference: int) -> Iterable[Told]:
    """Give what the lines of a block complete, each with its newline; the first has that number."""
    if isinstance(reader, BlockReader):
        return reader.read_block(block, number, reference)
    lines = enumerate(block.removesuffix(b"\n").split(b"\n") if block else (), number)
    return [told for at, line in lines for told in reader.read(line, at, reference)]


def note_end(reader: Reader, at: int) -> None:
    """Tell a reader that what was written before this instant has been read, to the end of the log."""
    if isinstance(reader, LogReader):
        reader.note_end(at)
