"""A log file and the row that it was read by in, the same file open where the row stands out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repzone.errors import RepzoneError
from repzone.jobs.files import DAMAGE, Lines, LogFile
from repzone.jobs.rotation import matching
from repzone.jobs.years import Years, find_years, split
from repzone.store.positions import FileRow


@dataclass(slots=True)
class Opened:
    """An open file, its lines, its row (None before the first commit), the number of its last line that was read."""

    file: LogFile
    lines: Lines
    row: FileRow | None
    number: int
    years: Years

    @classmethod
    def at(cls, file: LogFile, row: FileRow | None) -> Opened:
        """Go on where the row stands, at the beginning without one."""
        position, number = (row.position, row.lines) if row is not None else (0, 0)
        years = find_years(file, position)
        return cls(file, file.lines(position), row, number, years)

    def read(self) -> Iterator[list[tuple[bytes, int]]]:
        """Yield the lines to the end, a block at once in one or several parts: lines, each with its newline, and the
        instant near which they were written. The position is then behind the block.

        One of DAMAGE, or OSError, when they cannot be read.
        """
        while (block := self.lines.read()) is not None:
            yield split(block, self.lines.position, self.years, self.file.modified)
        if self.file.compressed and (rest := self.lines.end()):
            yield split(rest + b"\n", self.lines.position + 1, self.years, self.file.modified)

    @property
    def unstored(self) -> bool:
        """Tell whether lines were read since the last commit."""
        return self.lines.position > (self.row.position if self.row is not None else 0)

    def reached(self, row_id: int) -> FileRow:
        """Give the row of that number as it is to be stored now."""
        digest, length = self.lines.fingerprint()
        return FileRow(row_id, digest, length, self.lines.position, self.number)

    def is_as_read(self) -> bool:
        """Tell whether what was read stands in the file still: it was not emptied, not even within a line."""
        row = self.reached(0)
        if self.file.compressed:
            return True
        start, begun = self.lines.begun
        return matching(self.file, [row]) == [row] and self.file.peek(start, len(begun)) == begun


def read_log(file: LogFile) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of a whole log, many at once, and the instant near which they were written; also what stands
    behind the last newline, where nobody will go on. RepzoneError when it cannot be decompressed.
    """
    years = find_years(file, 0)
    lines = file.lines(0)
    try:
        while (block := lines.read()) is not None:
            yield from split(block, lines.position, years, file.modified)
    except DAMAGE as error:
        raise RepzoneError(f"the compressed log is cut off or damaged: {error}") from None
    if rest := lines.end():
        yield rest + b"\n", file.modified
