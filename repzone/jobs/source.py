"""One log and the files that it once was in, their lines in the database out, each exactly once.

The events, what the join remembers and the position behind the last whole line are committed together: whatever
ends a run, the next one goes on behind the last commit. While one batch is being stored the next is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from repzone.errors import RepzoneError
from repzone.jobs.batch import Batch
from repzone.jobs.files import DAMAGE, FINGERPRINT, LogFile, open_log
from repzone.jobs.intake import Intake, Job
from repzone.jobs.opened import Opened
from repzone.jobs.reading import note_end
from repzone.jobs.rotation import SETTLED, choose, is_old_copy, live_path, matching, rotated_paths
from repzone.store.engine import Connection
from repzone.store.events import FUTURE
from repzone.store.positions import FileRow, add_file, load_files, load_state, store_position, store_state
from repzone.zone.texts import format_instant, format_span

log = structlog.get_logger()

_Stored = tuple[Batch, Counter[str], Opened | None, FileRow | None]
"""A batch that was stored, the new offences in it by category, and which file was read how far."""

Known = tuple[int, int, int, int]
"""A file as it was: device, inode, size, and when it was written."""

_NAMED = 3  # files at most that are named one by one
_LOOKS = 20  # at the names of a log's files, while they are being rotated
_GONE = (
    "the file that was read last is neither here nor among its rotated files: what was added to it since is lost. "
    "If they are kept elsewhere (olddir), a symbolic link `old` to there, beside the log, lets them be found"
)


def describe_ahead(newest: int | None, now: int) -> str:
    """Say what follows from the newest stamp of a log, in seconds, if it is so far ahead of now that nothing is decided
    from it yet; "" where it is not.
    """
    if newest is None or newest <= now + FUTURE:
        return ""
    return (
        f"its newest line is {format_span(newest - now)} ahead ({format_instant(newest)}), and counts for nothing "
        "before: is `timezone` in repzone.toml right, and the clock of who writes it?"
    )


def describe_unread(files: Sequence[Path]) -> str:
    """Say what the very first reading of a log left out, oldest first, and how it would count."""
    names = [file.name for file in files[-_NAMED:]]
    more = f" and {len(files) - _NAMED:,} older ones" if len(files) > _NAMED else ""
    return (
        f"{', '.join(names)}{more} beside it {'was' if len(files) == 1 else 'were'} not read: what is older than a "
        "listing counts for nothing later. To have all of it count, read these files and the log in one command, "
        "oldest first, into an empty database"
    )


def _known(about: os.stat_result) -> Known:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


class Source(Intake):
    """A log that nobody else reads now: what its reader remembers, how far each of its files has been read.

    After a commit that failed it is ahead of what is stored: close it then, and open another.
    """

    def __init__(self, job: Job, path: Path, source_id: int, connection: Connection) -> None:
        """Take up what the last reader left; the connection holds the source."""
        with connection.begin():
            self._rows = {row.id: row for row in load_files(connection, source_id)}
            state, seen = load_state(connection, source_id)
        super().__init__(job, str(path), source_id, state and state["join"])
        self._path = path
        self._is_live = live_path(path) == path  # and not one of its rotated files, by its own name
        self._connection = connection
        self._is_first = state is None and not seen
        self._complete = state["complete"] if state else seen or job.clock()  # files older than that have been read
        self._ended: int | None = state.get("ended") if state else None  # when its end was reached
        note_end(self._reader, self._ended or 0)
        self._newest: int | None = state.get("newest") if state else None  # its newest stamp while FUTURE or more ahead
        self._last: int | None = state.get("last") if state else None  # the row of the file that was the log when read
        self._done: dict[Known, int | None] = {}  # rotated files without news, as they were, and their rows
        self._listed: dict[Path, tuple[int, int]] = {}  # the names of its files when they were opened
        self._left_out = False  # a rotated file could not be read to its end
        self._unopened = False  # a rotated file was too old to be looked into
        self._live: Opened | None = None
        self._open: Opened | None = None  # the live log, or the rotated file that is being read
        self._writer: ThreadPoolExecutor | None = None
        self._under_way: Future[_Stored] | None = None  # a batch that is being stored

    def close(self) -> None:
        """Close the log, once what is being stored has been, or has failed.

        Until then nobody else may use the connection, for which an interruption has to wait too.
        """
        interruption: KeyboardInterrupt | None = None
        while self._under_way is not None and not self._under_way.done():
            try:
                wait([self._under_way])
            except KeyboardInterrupt as error:
                interruption = error
        if self._writer is not None:
            self._writer.shutdown()
        self._writer = self._under_way = None
        if self._live is not None:
            self._live.file.close()
        self._live = self._open = None
        if interruption is not None:
            raise interruption

    def read(self, *, thorough: bool = True) -> None:
        """Read what is new: in the rotated files if need be, or if `thorough`, and then in the log.

        Batches that are full are committed. RepzoneError when the log cannot be read.
        """
        began = self._job.clock()
        if self._live is not None and not self._is_current(self._live):
            self._finish_live(self._live)
        fresh = self._live is None
        thorough |= fresh
        taken = self._read_rotated() if thorough else set()
        self._live = self._go_on(self._live, taken) if self._live is not None else self._open_live(taken)
        for _ in range(_LOOKS if thorough else 0):
            if self._names() == self._listed:
                break
            # It was rotated while the rotated files were read: what it was then comes before what it is now.
            if fresh:
                self.close()
            elif not self._is_current(self._live):
                self._finish_live(self._live)
            taken = self._read_rotated()
            self._live = self._go_on(self._live, taken) if self._live is not None else self._open_live(taken)
        if fresh:
            self._miss_last(taken | ({self._live.row.id} if self._live.row is not None else set()))
        self._read_on(self._live)
        if self._is_first and self._is_live:
            self._note_unread()
        note_end(self._reader, began if self._is_live else 0)
        if thorough and self._is_live and not self._left_out and self._names() == self._listed:
            self._complete = began

    def _note_unread(self) -> None:
        """Note, once, which rotated files are left out because they are older than the log's very first reading."""
        self._is_first = False
        for path in rotated_paths(self._path):
            with suppress(OSError):
                about = path.stat()
                if about.st_size and self._done.get(_known(about)) is None:
                    self.outcome.unread.append(path)

    def _miss_last(self, found: set[int]) -> None:
        """Tell when the file that was the log at the end of the last run is none of those that were found."""
        unsure = self._left_out or self._unopened
        if self._is_live and not unsure and self._last in self._rows and self._last not in found:
            self.outcome.faults.append(_GONE)

    def _names(self) -> dict[Path, tuple[int, int]]:
        """Give the log and its rotated files, and which file each of them is now."""
        names = {}
        for path in (self._path, *rotated_paths(self._path)) if self._is_live else ():
            with suppress(OSError):
                about = path.stat()
                names[path] = about.st_dev, about.st_ino
        return names

    def commit(self, *, whole: bool = False) -> None:
        """Store what has been read, and that it was; it is `whole` when no more was there."""
        self._settle()
        if whole and self._is_live:
            self._ended = self._job.clock()
        self._finish(self._hand_over()())

    def _commit_meanwhile(self) -> None:
        """Store what has been read while more is being read. `_settle` ends it."""
        self._settle()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "store")
        self._under_way = self._writer.submit(self._hand_over())

    def _settle(self) -> None:
        """Wait for what is being stored; raises what kept it from being stored."""
        if self._under_way is not None:
            wait([self._under_way])  # one that is interrupted is still under way
            under_way, self._under_way = self._under_way, None
            self._finish(under_way.result())

    def _hand_over(self) -> Callable[[], _Stored]:
        """Begin another batch; give what stores this one, with the position and what the reader remembers now."""
        batch, opened, newest = self.batch, self._open, self._reader.newest
        if newest is not None:
            self._newest = newest if newest > self._job.clock() + FUTURE else None
        state = {"join": self._reader.dump(), "complete": self._complete, "ended": self._ended, "newest": self._newest}
        reached = opened.reached(opened.row.id if opened.row is not None else 0) if opened is not None else None
        unstored = opened is not None and opened.unstored and not self._job.dry_run
        is_live = opened is self._live
        self.batch = Batch()
        self.outcome.lines += batch.lines

        def keep(connection: Connection) -> None:
            nonlocal reached
            if unstored and opened is not None and reached is not None:
                reached = self._store_position(connection, opened, reached)
            state["last"] = reached.id if is_live and reached is not None and reached.id else self._last
            store_state(connection, self._id, state, self._job.clock(), newest)

        def run() -> _Stored:
            new = self._store(self._connection, batch, keep)
            return batch, new, opened, reached if unstored else None

        return run

    def _finish(self, stored: _Stored) -> None:
        batch, new, opened, row = stored
        self._note(batch, new)
        if opened is not None and row is not None:
            self._rows[row.id] = opened.row = row
            self._last = row.id if opened is self._live else self._last
        self._job.committed(bool(new))  # last: should it fail, what is stored is known to be

    def _is_current(self, live: Opened) -> bool:
        """Tell whether the open log is still the one of that name, and was not emptied."""
        try:
            about = self._path.stat()
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == live.file.hints and live.is_as_read()

    def _finish_live(self, live: Opened) -> None:
        """Read the log that was open to its end, if it only has another name now, and close it."""
        with live.file:
            if live.is_as_read():
                self._read_on(live)
                self._last = self._live = None  # to its end: wherever it is now, nothing of it is missing
            if self.batch.lines:
                self.commit()
        self.close()

    def _open_live(self, taken: set[int]) -> Opened:
        file = open_log(self._path)
        try:
            return Opened.at(file, self._choose_live(file, taken))
        except (OSError, *DAMAGE) as error:
            file.close()
            raise RepzoneError(f"{self._path}: is cut off or damaged: {error}") from None

    def _choose_live(self, file: LogFile, taken: set[int]) -> FileRow | None:
        end = file.peek(0, 2 * FINGERPRINT).rfind(b"\n") + 1
        return choose(matching(file, self._rows.values()), taken, live=self._is_live, end=end)

    def _go_on(self, live: Opened, taken: set[int]) -> Opened:
        """Go on behind what has meanwhile been read of the log in a copy of it, or by another name."""
        if live.row is not None:
            row = self._rows.get(live.row.id)
        else:
            row = self._choose_live(live.file, taken) if taken else None
        if row is None or row == live.row or not matching(live.file, [row]):
            return live
        return Opened.at(live.file, row)

    def _read_rotated(self) -> set[int]:
        """Read the rest of the files that the log once was; give the rows that are theirs."""
        taken: set[int] = set()
        if not self._is_live:
            return taken
        if self.batch.lines:
            self.commit()  # what was read of the log belongs to its position, not to theirs
        with ExitStack() as stack:
            for known, file in self._open_rotated(stack):
                row_id = self._read_rotated_file(known, file, taken) if file is not None else self._done[known]
                taken |= {row_id} if row_id is not None else set()
        return taken

    def _open_rotated(self, stack: ExitStack) -> list[tuple[Known, LogFile | None]]:
        """Open the files that the log once was, oldest first, all of them before one is read: their names may change
        then. None for a file that had no news and is still as it was.
        """
        found: list[tuple[Known, LogFile | None]] = []
        for _ in range(_LOOKS):
            stack.close()
            self._left_out, self._unopened, self._listed, found = False, False, self._names(), []
            for path in rotated_paths(self._path):
                try:
                    about = path.stat()
                    known = _known(about)
                    found.append((known, None if known in self._done else stack.enter_context(open_log(path))))
                except (OSError, RepzoneError) as error:  # removed meanwhile, or not for us to read
                    log.warning("ingest.file_left_out", file=str(path), error=str(error))
                    self._left_out = True
            if self._names() == self._listed:
                break
        return found

    def _read_rotated_file(self, known: Known, file: LogFile, taken: set[int]) -> int | None:
        """Read the rest of a rotated file; give its row, or None if it has none."""
        if file.compressed and file.modified < self._complete - SETTLED:
            self._unopened = True
            return None
        try:
            row = choose(matching(file, self._rows.values()), taken, live=False)
            missed = file.modified >= self._complete and not is_old_copy(file, self._rows.values())
            reading = Opened.at(file, row) if row is not None or missed else None
        except (OSError, *DAMAGE):
            self._left_out = True  # it is still being compressed, and the original is still there; or never was
            return None
        if reading is not None:
            self._read_on(reading)
            if reading.unstored:
                self.commit()
            row = reading.row
            self._open = self._live
        self._done[known] = row.id if row is not None else None
        return self._done[known]

    def _read_on(self, reading: Opened) -> None:
        """Read a file from where it stands to its end; what has been stored of it by then is known to be."""
        self._read_blocks(reading)
        self._settle()

    def _read_blocks(self, reading: Opened) -> None:
        self._open = reading
        blocks = reading.read()
        while True:
            try:
                block = next(blocks, None)
            except (OSError, *DAMAGE) as error:
                fault = f"{reading.file.name}: is cut off or damaged, read as far as it goes: {error}"
                if fault not in self.outcome.faults:
                    self.outcome.faults.append(fault)
                self._left_out = True
                return
            if block is None:
                return
            self._take_block(reading, block)

    def _take_block(self, reading: Opened, block: list[tuple[bytes, int]]) -> None:
        file = reading.file
        for lines, reference in block:
            reading.number = self._take(lines, reading.number, reference)
        self._job.progress(file.name, file.file.tell(), file.length, self.outcome.lines + self.batch.lines)
        if self.batch.full:
            self._commit_meanwhile()

    def _store_position(self, connection: Connection, opened: Opened, reached: FileRow) -> FileRow:
        if opened.row is None:
            about = reached.fingerprint, reached.fingerprint_length, opened.file.hints
            number = add_file(connection, self._id, *about, self._job.clock())
            reached = replace(reached, id=number)
        store_position(
            connection, reached.id, reached.position, reached.lines, reached.fingerprint, reached.fingerprint_length
        )
        return reached
