"""A log file and the row that it was read by in, the same file open where the row stands out."""

from __future__ import annotations

from dataclasses import dataclass

from repzone.jobs.files import Lines, LogFile
from repzone.jobs.rotation import matching
from repzone.store.positions import FileRow


@dataclass(slots=True)
class Opened:
    """An open file, its lines, its row (None before the first commit), the number of its last line that was read."""

    file: LogFile
    lines: Lines
    row: FileRow | None
    number: int

    @classmethod
    def at(cls, file: LogFile, row: FileRow | None) -> Opened:
        """Go on where the row stands, at the beginning without one."""
        position, number = (row.position, row.lines) if row is not None else (0, 0)
        return cls(file, file.lines(position), row, number)

    @property
    def unstored(self) -> bool:
        """Tell whether lines were read since the last commit."""
        return self.lines.position > (self.row.position if self.row is not None else 0)

    def reached(self, row_id: int) -> FileRow:
        """Give the row of that number as it is to be stored now."""
        digest, length = self.lines.fingerprint()
        return FileRow(row_id, digest, length, self.lines.position, self.number)

    def is_as_read(self) -> bool:
        """Tell whether what was read stands in the file still: it was not emptied."""
        row = self.reached(0)
        return self.file.compressed or matching(self.file, [row]) == [row]
