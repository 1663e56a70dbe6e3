"""A log whose stamps have no year in; out, where in it a new year began, and so from when its lines are.

The file's time tells the year of the last lines only. Lines are in order of time: where the month falls from December
to January, and be it over months of silence, what stands before is of the year before. A month that is nearer the other
way round the calendar goes back, as lines do that come a little late, or from a clock that was not yet set. Where the
last line does not agree with the file's time, nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from repzone.jobs.files import DAMAGE, LogFile

STEP = 64 * 1024
"""Octets after which a large file's months are looked at: fewer than any mail server writes in a year."""

_SMALL = 16 * STEP  # a file of that size is looked at wholly
_HEAD = 4096  # octets in which some line should begin
_DAY = 86_400
_HALF = 6  # months
_NEAR = 31  # days from the last line to the file's time
_NAMES = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_STAMP = re.compile(rb"\n(?:<\d{1,3}>)?(" + b"|".join(_NAMES) + rb") ([ \d]\d) \d\d:\d\d:\d\d ")

Years = list[tuple[int, int]]
"""Places in the text, in their order, and an instant shortly after all lines before each that no later place has."""


def find_years(file: LogFile, position: int) -> Years:
    """Look where half-years begin behind a position, at which a line begins; nothing where stamps have years, and where
    all are of one. Halves, since the stamps of a whole year would be near its end and near its beginning.

    A file that is damaged is looked at as far as it goes.
    """
    halves: list[tuple[int, int]] = []  # where they end, and how many since the first year began there have been
    year = month = day = 0
    with suppress(OSError, *DAMAGE):  # who reads it will come upon it
        for start, text in _pieces(file, position):
            for stamp in _STAMP.finditer(text):
                number = _MONTHS[stamp[1]]
                if month and number != month:
                    half = 2 * year + (month > _HALF)
                    year += _turn(month, number)
                    if half != 2 * year + (number > _HALF):
                        halves.append((start + stamp.start() + 1, half))
                month, day = number, int(stamp[2])
    return _references(halves, year, (month, day), file.modified)


def _turn(before: int, month: int) -> int:
    """Give 1 where a new year begins with this month, -1 where it goes back to the old one, else 0."""
    ahead = (month - before + _HALF) % (2 * _HALF) - _HALF
    if ahead == -_HALF or (ahead > 0) == (month > before):
        return 0
    return 1 if ahead > 0 else -1


def _references(halves: list[tuple[int, int]], years: int, newest: tuple[int, int], modified: int) -> Years:
    written = datetime.fromtimestamp(modified + _DAY, UTC)
    latest = written.year - (newest > (written.month, written.day))
    month, day = newest
    with suppress(ValueError):  # no such day
        if not halves or (written - datetime(latest, month, day, tzinfo=UTC)).days > _NEAR:
            return []
    first = latest - years
    found: Years = []
    for place, half in halves:
        end = datetime(first + (half + 1) // 2, 1 if half % 2 else _HALF + 1, 1, tzinfo=UTC)
        found.append((place, min(modified, int(end.timestamp()))))
    return found


def _pieces(file: LogFile, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of the text, each from the octet before a place on, that tell all its months: of a large file only
    those in which the month changes. Nothing if the first line has no such stamp.
    """
    if _STAMP.match(_text(file, position - 1, _HEAD, position)) is None:
        return
    if file.size is not None and file.size - position > _SMALL:
        yield from _changing(file, position, file.size)
        return
    start, before = position, b"\n"
    while text := file.peek(start, STEP):
        cut = text.rfind(b"\n")  # the last line is looked at with the next piece
        cut = len(text) if cut < 0 or len(text) < STEP else cut
        yield start - len(before), before + text[:cut]
        start, before = start + len(text), text[cut:]


def _changing(file: LogFile, position: int, size: int) -> Iterator[tuple[int, bytes]]:
    done, month = position - 1, b""
    for start in range(position, size, STEP):
        stamp = _STAMP.search(_text(file, start - 1, _HEAD, position))
        if stamp is None:  # other lines, or a very long one: keep the memory flat
            done = max(done, start - 1)
            continue
        end = start - 1 + stamp.end()
        if stamp[1] != month:
            yield done, _text(file, done, end - done, position)
        done, month = end, stamp[1]
    yield done, _text(file, done, size - done, position)


def _text(file: LogFile, start: int, length: int, position: int) -> bytes:
    """Give octets of the text; before the position that is looked from is the end of a line."""
    return file.peek(start, length) if start >= position else b"\n" + file.peek(position, length - 1)


def split(block: bytes, end: int, years: Years, modified: int) -> list[tuple[bytes, int]]:
    """Part lines, the last of which ends at that place of the text, where a new year begins; give each part and its
    reference, which is the file's time behind the last of the places.
    """
    parts: list[tuple[bytes, int]] = []
    for place, reference in years:
        if place >= end:
            return [*parts, (block, reference)]
        cut = len(block) - (end - place)
        if cut > 0:
            parts.append((block[:cut], reference))
            block = block[cut:]
    return [*parts, (block, modified)]
