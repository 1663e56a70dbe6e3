"""A table and the columns of a terminal in, how wide each column is out: no word is broken that need not be.

Columns that never wrap have their widest cell. Of the others each has its least first: an address, or `NARROW`
characters. What room there is goes to columns whose words then stay whole, and the rest to long cells.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

NARROW = 12
"""Columns whose cells may be broken in several lines, or are drawn, are not made narrower than this many characters."""

_GAP = 2  # characters between two columns
_WORD = 43  # characters of the longest word that is kept whole: an IPv6 prefix
_ADDRESS = re.compile(r"[0-9a-f.:/]{7,}")


class Extent(NamedTuple):
    """How wide a column has to be, how wide for every word to be whole, and how wide for no line to be broken."""

    least: int
    words: int
    whole: int


def lay_out(made: Table, spare: Sequence[str], console: Console) -> None:
    """Set widths in a table that is wider than the terminal; columns of these names go if they must, the first first.

    Where even the least is too wide the table is wider than the terminal: no address and no date is broken.
    """
    extents = {id(column): _measure(column, console) for column in made.columns}

    def fits(columns: Sequence[Column]) -> bool:
        return _sum(extents[id(column)].words for column in columns) <= console.width

    kept, left_out = list(made.columns), list[Column]()
    for name in spare:
        if not fits(kept):
            left_out += [column for column in kept if column.header == name]
            kept = [column for column in kept if column.header != name]
    for column in reversed(left_out):  # there may be room for a narrow one where a wide one has gone
        again = [one for one in made.columns if one in kept or one is column]
        kept = again if fits(again) else kept
    made.columns = kept
    for number, column in enumerate(kept):
        column._index = number  # by which Rich knows the first and the last
    chosen = [extents[id(column)] for column in kept]
    if _sum(extent.whole for extent in chosen) <= console.width:
        return
    widths = share(chosen, console.width - _GAP * (len(chosen) - 1))
    made.width = max(console.width, _sum(widths))
    for column, width in zip(kept, widths, strict=True):
        column.width = width


def share(extents: Sequence[Extent], room: int) -> list[int]:
    """Give the width of each column; their sum is more than the room only if all have their least."""
    widths = [extent.least for extent in extents]
    room -= sum(widths)
    for number in _by_need(widths, [extent.words for extent in extents]):
        need = extents[number].words - widths[number]
        if need <= room:
            widths[number] += need
            room -= need
    wanting = _by_need(widths, [extent.whole for extent in extents])
    for done, number in enumerate(wanting):
        more = max(0, min(extents[number].whole - widths[number], room // (len(wanting) - done)))
        widths[number] += more
        room -= more
    return widths


def _by_need(widths: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Give the numbers of the columns, those that need least first."""
    return sorted(range(len(widths)), key=lambda number: wanted[number] - widths[number])


def _sum(widths: Iterable[int]) -> int:
    given = list(widths)
    return sum(given) + _GAP * (len(given) - 1)


def _measure(column: Column, console: Console) -> Extent:
    """Give the extent of a column; what is drawn can be of any width from `NARROW` on."""
    cells = (column.header, *column.cells)
    lines = [line for cell in cells if isinstance(cell, str | Text) for line in _plain(cell).splitlines()]
    drawn = (cell for cell in cells if not isinstance(cell, str | Text))
    bars = [max(NARROW, Measurement.get(console, console.options, one).maximum) for one in drawn]
    whole = max([*map(cell_len, lines), *bars], default=0)
    if column.no_wrap:
        return Extent(whole, whole, whole)
    address = max((len(word) for line in lines for word in _ADDRESS.findall(line)), default=0)
    least = max(address, min(whole, NARROW))
    words = max((cell_len(word) for line in lines for word in line.split()), default=0)
    return Extent(least, max(least, words if words <= _WORD else 0), whole)


def _plain(cell: str | Text) -> str:
    if isinstance(cell, Text):
        return cell.plain
    return Text.from_markup(cell).plain if "[" in cell else cell
