"""Logs in, events in the database out, each exactly once.

The events, what the join remembers and the position behind the last whole line are committed together: whatever
ends a run, the next one goes on behind the last commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.jobs.batch import Batch, store
from repzone.jobs.files import DAMAGE, FINGERPRINT, Lines, LogFile, open_log
from repzone.jobs.opened import Opened
from repzone.jobs.reading import MakeReader, read_block
from repzone.jobs.rotation import SETTLED, choose, is_old_copy, live_path, matching, rotated_paths
from repzone.reasons import CATALOGUE
from repzone.store.engine import Connection, Engine, answering
from repzone.store.positions import (
    FileRow,
    add_file,
    find_source,
    load_files,
    load_state,
    open_source,
    reading,
    store_position,
    store_state,
)

log = structlog.get_logger()


Progress = Callable[[Path, int, int, int], None]
"""Is told the file that is being read, octets of it that are done, all of them, and lines of the run."""


@dataclass(slots=True)
class Outcome:
    """What became of one source: lines, new offences by category, hits, lines skipped; or that it is busy."""

    source: str
    lines: int = 0
    events: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    skipped: int = 0
    unmatched: int = 0
    faults: list[str] = field(default_factory=list)
    absurd: int = 0  # events left out for a stamp outside EARLIEST to LATEST
    newest: int | None = None  # the newest stamp of a line
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Where events go and with what: database, clock, name of this host; with `dry_run` nothing is stored."""

    engine: Engine
    clock: Clock
    host: str
    make_reader: MakeReader
    dry_run: bool = False
    progress: Progress = lambda file, done, octets, lines: None
    committed: Callable[[bool], None] = lambda new: None  # is told of each transaction whether offences are in it
    wait: int = 60
    greylist_wait: int = 86_400

    def run_file(self, path: Path) -> Outcome:
        """Read what is new in a log and in its rotated files; RepzoneError when it cannot be read."""
        path = path.absolute()
        with open_log(path):
            pass  # a log that is not there is said before anything else
        with answering(), self.open(path) as source:
            if source is None:
                return Outcome(str(path), busy=True)
            source.read()
            source.commit(whole=True)
        return source.finish()

    def run_stream(self, text: IO[bytes]) -> Outcome:
        """Read standard input to its end: at least once, since nobody knows where it stood."""
        with answering():
            stream = Stream(self, text)
            while stream.read():
                pass
            stream.commit()
        return stream.finish()

    def source_id(self, connection: Connection, name: str) -> int:
        """Give the number of a source; it is made when it is new, but for a dry run, which gets 0."""
        return (find_source if self.dry_run else open_source)(connection, self.host, name)

    @contextmanager
    def open(self, path: Path) -> Iterator[Source | None]:
        """Open a log for this reader alone; None when another still has it after `wait` seconds.

        A dry run takes it from nobody.
        """
        name = str(live_path(path.resolve()))  # however it is spelled or linked to, a log is one source
        with self.engine.begin() as connection:
            source_id = self.source_id(connection, name)
        with self.engine.connect() if self.dry_run else reading(self.engine, source_id, self.wait) as connection:
            if connection is None:
                yield None
                return
            source = Source(self, path, source_id, connection)
            try:
                yield source
            finally:
                source.close()


class _Reading:
    """What reading a file and reading standard input have in common: a reader, a batch, and what became of it all."""

    def __init__(self, job: Ingestion, name: str, source_id: int, state: Mapping[str, Any] | None) -> None:
        self.outcome = Outcome(name)
        self.batch = Batch()
        self._job = job
        self._id = source_id
        self._reader = job.make_reader(state)

    def _take(self, block: bytes, number: int, reference: int) -> int:
        """Read the lines behind that number; give the number of the last one."""
        lines = block.count(b"\n")
        self.batch.add(read_block(self._reader, block, number + 1, reference))
        self.batch.lines += lines
        return number + lines

    def _commit(self, connection: Connection, keep: Callable[[Connection], None]) -> bool:
        """Store the batch, with what `keep` adds to the transaction; tell whether offences are in it."""
        batch = self.batch
        if self._job.dry_run:
            new = Counter[str]()
            for event in batch.events:
                new[CATALOGUE[event.reason]] += event.count
        else:
            new = store(connection, self._id, batch, self._job.clock, keep)
        self.batch = Batch()
        self.outcome.events.update(new)
        self.outcome.lines += batch.lines
        self.outcome.hits += len(batch.hits)
        self.outcome.absurd += batch.absurd
        return bool(new)

    def finish(self) -> Outcome:
        """Give what became of it."""
        outcome, reader = self.outcome, self._reader
        outcome.skipped, outcome.unmatched, outcome.newest = reader.skipped, reader.unmatched, reader.newest
        outcome.faults += getattr(reader, "faults", [])
        log.info(
            "ingest.done",
            source=outcome.source,
            lines=outcome.lines,
            events=outcome.events.total(),
            hits=outcome.hits,
            skipped=outcome.skipped,
        )
        return outcome


class Stream(_Reading):
    """Standard input: nobody knows where it stood, and what it says after a break need not go on where it was."""

    def __init__(self, job: Ingestion, text: IO[bytes], *, lasting: bool = False) -> None:
        """Take the text; only one that is `lasting` is a log that one may miss when it is silent."""
        with job.engine.begin() as connection:
            source_id = job.source_id(connection, "-")
        super().__init__(job, "-", source_id, None)
        self._lasting = lasting
        self._lines = Lines(text)
        self._number = 0

    def read(self) -> bool:
        """Read a block, a full batch is committed; False at the end."""
        block = self._lines.read()
        more = block is not None
        if block is None:
            rest = self._lines.end()
            block = rest + b"\n" if rest else b""
        self._number = self._take(block, self._number, self._job.clock())
        self._job.progress(Path(self.outcome.source), self._lines.position, 0, self.outcome.lines + self.batch.lines)
        if self.batch.full:
            self.commit()
        return more

    def commit(self) -> None:
        """Store what has been read."""
        with self._job.engine.connect() as connection:
            new = self._commit(connection, self._keep)
        self._job.committed(new)

    def _keep(self, connection: Connection) -> None:
        if self._lasting:
            store_state(connection, self._id, {}, self._job.clock(), self._reader.newest)


Known = tuple[int, int, int, int]
"""A file as it was: device, inode, size, and when it was written."""

_LOOKS = 20  # at the names of a log's files, while they are being rotated


class Source(_Reading):
    """A log that nobody else reads now: what its reader remembers, how far each of its files has been read.

    After a commit that failed it is ahead of what is stored: close it then, and open another.
    """

    def __init__(self, job: Ingestion, path: Path, source_id: int, connection: Connection) -> None:
        """Take up what the last reader left; the connection holds the source."""
        with connection.begin():
            self._rows = {row.id: row for row in load_files(connection, source_id)}
            state, seen = load_state(connection, source_id)
        super().__init__(job, str(path), source_id, state and state["join"])
        self._path = path
        self._is_live = live_path(path) == path  # and not one of its rotated files, by its own name
        self._connection = connection
        self._complete = state["complete"] if state else seen or job.clock()  # files older than that have been read
        self._ended: int | None = state.get("ended") if state else None  # when its end was reached
        self._done: dict[Known, int | None] = {}  # rotated files without news, as they were, and their rows
        self._listed: dict[Path, tuple[int, int]] = {}  # the names of its files when they were opened
        self._left_out = False  # a rotated file could not be read to its end
        self._live: Opened | None = None
        self._open: Opened | None = None  # the live log, or the rotated file that is being read

    def close(self) -> None:
        """Close the log."""
        if self._live is not None:
            self._live.file.close()
        self._live = self._open = None

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
        self._read_on(self._live)
        if thorough and self._is_live and not self._left_out and self._names() == self._listed:
            self._complete = began

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
        reached: list[FileRow] = []
        if whole and self._is_live:
            self._ended = self._job.clock()

        def keep(connection: Connection) -> None:
            if self._open is not None and self._open.unstored:
                reached.append(self._store_position(connection, self._open))
            state = {"join": self._reader.dump(), "complete": self._complete, "ended": self._ended}
            store_state(connection, self._id, state, self._job.clock(), self._reader.newest)

        new = self._commit(self._connection, keep)
        for row in reached:
            self._rows[row.id] = row
            if self._open is not None:
                self._open.row = row
        self._job.committed(new)  # last: should it fail, what is stored is known to be

    def _is_current(self, live: Opened) -> bool:
        """Tell whether the open log is still the one of that name, and was not emptied."""
        try:
            about = self._path.stat()
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == live.file.hints and live.is_as_read()

    def _finish_live(self, live: Opened) -> None:
        """Read the log that was open to its end, if it only has another name now, and close it."""
        if live.is_as_read():
            self._read_on(live)
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
            self._left_out, self._listed, found = False, self._names(), []
            for path in rotated_paths(self._path):
                try:
                    about = path.stat()
                    known = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
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
        """Read a file from where it stands to its end."""
        self._open = reading
        file, lines = reading.file, reading.lines
        while True:
            try:
                block = lines.read()
            except (OSError, *DAMAGE) as error:
                fault = f"{file.name}: is cut off or damaged, read as far as it goes: {error}"
                if fault not in self.outcome.faults:
                    self.outcome.faults.append(fault)
                self._left_out = True
                return
            if block is None:
                break
            self._take_block(reading, block)
        if file.compressed and (rest := lines.end()):
            self._take_block(reading, rest + b"\n")

    def _take_block(self, reading: Opened, block: bytes) -> None:
        file = reading.file
        reading.number = self._take(block, reading.number, file.modified)
        self._job.progress(file.name, file.file.tell(), file.length, self.outcome.lines + self.batch.lines)
        if self.batch.full:
            self.commit()

    def _store_position(self, connection: Connection, reading: Opened) -> FileRow:
        if reading.row is None:
            digest, length = reading.lines.fingerprint()
            number = add_file(connection, self._id, digest, length, reading.file.hints, self._job.clock())
        else:
            number = reading.row.id
        row = reading.reached(number)
        store_position(connection, row.id, row.position, row.lines, row.fingerprint, row.fingerprint_length)
        return row
