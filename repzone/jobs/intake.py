"""Blocks of lines in, what became of them out: what reading a log and reading standard input have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

from repzone.clock import Clock
from repzone.jobs.batch import Batch, store
from repzone.jobs.files import Lines
from repzone.jobs.reading import LogReader, MakeReader, read_block
from repzone.reasons import CATALOGUE
from repzone.store.engine import Connection, Engine
from repzone.store.positions import find_source, open_source, store_state

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
    unread: list[Path] = field(default_factory=list)  # rotated files that a log's very first reading left out


@dataclass(frozen=True, slots=True)
class Job:
    """Where events go and with what: database, clock, name of this host; with `dry_run` nothing is stored."""

    engine: Engine
    clock: Clock
    host: str
    make_reader: MakeReader
    dry_run: bool = False
    progress: Progress = lambda file, done, octets, lines: None
    committed: Callable[[bool], None] = lambda new: None  # is told of each transaction whether offences are in it

    def source_id(self, connection: Connection, name: str) -> int:
        """Give the number of a source; it is made when it is new, but for a dry run, which gets 0."""
        return (find_source if self.dry_run else open_source)(connection, self.host, name)


class Intake:
    """What reading a file and reading standard input have in common: a reader, a batch, and what became of it all."""

    def __init__(self, job: Job, name: str, source_id: int, state: Mapping[str, Any] | None) -> None:
        self.outcome = Outcome(name)
        self.batch = Batch()
        self._job = job
        self._id = source_id
        self._reader = job.make_reader(state)
        self._bugs = 0  # places in our own code that could not take a line, as far as the log tells of them

    def _take(self, block: bytes, number: int, reference: int) -> int:
        """Read the lines behind that number; give the number of the last one."""
        before = self._reader.lines
        self.batch.add(read_block(self._reader, block, number + 1, reference))
        if isinstance(self._reader, LogReader):
            for fault in self._reader.faults[self._bugs :]:
                log.error("ingest.own_bug", source=self.outcome.source, error=fault)
            self._bugs = len(self._reader.faults)
        lines = self._reader.lines - before
        self.batch.lines += lines
        return number + lines

    def _store(self, connection: Connection, batch: Batch, keep: Callable[[Connection], None]) -> Counter[str]:
        """Store a batch, with what `keep` adds to the transaction; give the new offences by category."""
        if not self._job.dry_run:
            return store(connection, self._id, batch, self._job.clock, keep)
        new = Counter[str]()
        for event in batch.events:
            new[CATALOGUE[event.reason]] += event.count
        return new

    def _note(self, batch: Batch, new: Counter[str]) -> None:
        """Note that a batch was stored, all but its lines."""
        self.outcome.events.update(new)
        self.outcome.hits += len(batch.hits)
        self.outcome.absurd += batch.absurd

    def finish(self) -> Outcome:
        """Give what became of it."""
        outcome, reader = self.outcome, self._reader
        outcome.skipped, outcome.unmatched, outcome.newest = reader.skipped, reader.unmatched, reader.newest
        outcome.faults += [] if isinstance(reader, LogReader) else getattr(reader, "faults", [])
        log.info(
            "ingest.done",
            source=outcome.source,
            lines=outcome.lines,
            events=outcome.events.total(),
            hits=outcome.hits,
            skipped=outcome.skipped,
        )
        return outcome


class Stream(Intake):
    """Standard input: nobody knows where it stood, and what it says after a break need not go on where it was."""

    def __init__(self, job: Job, text: IO[bytes], *, lasting: bool = False) -> None:
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
        """Store what has been read; it stays to be stored where that fails."""
        batch = self.batch
        with self._job.engine.connect() as connection:
            new = self._store(connection, batch, self._keep)
        self.batch = Batch()
        self.outcome.lines += batch.lines
        self._note(batch, new)
        self._job.committed(bool(new))

    def _keep(self, connection: Connection) -> None:
        if self._lasting:
            store_state(connection, self._id, {}, self._job.clock(), self._reader.newest)
