"""Logs in, events in the database out, each exactly once.

The events, what the join remembers and the position behind the last whole line are committed together: whatever
ends a run, the next one goes on behind the last commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import structlog

from repzone.clock import Clock
from repzone.jobs.files import FINGERPRINT, LogFile, Part, live_path, open_log, parts, read_lines
from repzone.model import Event, Exemptions, Hit
from repzone.reasons import CATALOGUE
from repzone.store.engine import Connection, Engine, answering
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.exemptions import load_exemptions
from repzone.store.policies import load_rulebook
from repzone.store.positions import (
    FileRow,
    add_file,
    load_files,
    load_state,
    open_source,
    reading,
    store_position,
    store_state,
)

log = structlog.get_logger()

EVENTS = 5_000
"""Events of one transaction at most, give or take those of one line."""

LINES = 200_000
"""Lines of one transaction at most: so much is read again after a crash."""

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""The years 1990 to 2099: a stamp outside is a fault of the line, and would make a day partition of its own."""


class Reader(Protocol):
    """What turns the lines of one format into events and hits."""

    lines: int
    skipped: int
    unmatched: int

    def read(self, line: bytes, number: int, reference: int) -> tuple[Event | Hit, ...]:
        """Give what the line completes; `reference` is the instant that year-less stamps lie before."""

    def dump(self) -> dict[str, Any]:
        """Give what is to be remembered for the next run."""


MakeReader = Callable[[Mapping[str, Any] | None], Reader]
Progress = Callable[[int], None]


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
    last: int | None = None  # the newest stamp of an event
    busy: bool = False


@dataclass(slots=True)
class _Batch:
    """What one transaction is to store; stamps that no mail log can have are counted and left out."""

    events: list[Event] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    lines: int = 0
    absurd: int = 0

    def add(self, found: Iterable[Event | Hit]) -> None:
        for what in found:
            if not EARLIEST <= what.at < LATEST:
                self.absurd += 1
            elif isinstance(what, Hit):
                self.hits.append(what)
            else:
                self.events.append(what)

    @property
    def full(self) -> bool:
        return len(self.events) + len(self.hits) >= EVENTS or self.lines >= LINES


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Where events go and with what: database, clock, name of this host; with `dry_run` nothing is stored."""

    engine: Engine
    clock: Clock
    host: str
    make_reader: MakeReader
    dry_run: bool = False
    progress: Progress = lambda octets: None
    wait: int = 60

    def run_file(self, path: Path) -> Outcome:
        """Read what is new in a log and in its rotated files; RepzoneError when it cannot be read."""
        path = path.absolute()
        with open_log(path):
            pass  # a log that is not there is said before anything else
        outcome = Outcome(str(path))
        with answering():
            with self.engine.begin() as connection:
                source_id = open_source(connection, self.host, str(live_path(path)))
            with reading(self.engine, source_id, self.wait) as free:
                if not free:
                    outcome.busy = True
                    return outcome
                with self.engine.connect() as connection:
                    rows = load_files(connection, source_id)
                    state, seen = load_state(connection, source_id)
                reader = self.make_reader(state)
                for part in parts(path, rows, seen):
                    with open_log(part.path) as file:
                        self._read_part(file, part, source_id, reader, outcome)
        return _finished(outcome, reader)

    def run_stream(self, text: IO[bytes]) -> Outcome:
        """Read standard input to its end: at least once, since nobody knows where it stood."""
        outcome = Outcome("-")
        reader = self.make_reader(None)
        batch = _Batch()
        with answering():
            with self.engine.begin() as connection:
                source_id = open_source(connection, self.host, "-")
            for line, _ in read_lines(text, 0, final=True):
                _take(reader, batch, line, outcome.lines + batch.lines + 1, self.clock())
                if batch.full:
                    self._commit(batch, source_id, outcome, lambda connection: None)
                    batch = _Batch()
            self._commit(batch, source_id, outcome, lambda connection: None)
        return _finished(outcome, reader)

    def _read_part(self, file: LogFile, part: Part, source_id: int, reader: Reader, outcome: Outcome) -> None:
        row = part.row
        if row is None and not self.dry_run:
            row = self._begin(file, source_id, reader)
            if row is None:
                return
        position, number = start, _ = (row.position, row.lines) if row else (0, 0)
        file.text.seek(start)
        batch = _Batch()
        for line, position in read_lines(file.text, start):
            number += 1
            _take(reader, batch, line, number, file.modified)
            if batch.full:
                self._commit(batch, source_id, outcome, self._keep(file, row, position, number, source_id, reader))
                self.progress(position)
                batch = _Batch()
        self._commit(batch, source_id, outcome, self._keep(file, row, position, number, source_id, reader))
        self.progress(position)

    def _begin(self, file: LogFile, source_id: int, reader: Reader) -> FileRow | None:
        """Begin a new file; None when it is empty still, so that nothing tells it from others."""
        digest, length = file.fingerprint(FINGERPRINT)
        with self.engine.begin() as connection:
            if not length:
                store_state(connection, source_id, reader.dump(), self.clock())
                return None
            number = add_file(connection, source_id, digest, length, file.hints, self.clock())
        return FileRow(number, digest, length, 0, 0)

    def _keep(
        self, file: LogFile, row: FileRow | None, position: int, lines: int, source_id: int, reader: Reader
    ) -> Callable[[Connection], None]:
        def keep(connection: Connection) -> None:
            if row is None:
                return
            digest, length = row.fingerprint, row.fingerprint_length
            if length < min(position, FINGERPRINT):
                here = file.text.tell()
                digest, length = file.fingerprint(min(position, FINGERPRINT))
                file.text.seek(here)
            store_position(connection, row.id, position, lines, digest, length)
            store_state(connection, source_id, reader.dump(), self.clock())

        return keep

    def _commit(self, batch: _Batch, source_id: int, outcome: Outcome, keep: Callable[[Connection], None]) -> None:
        outcome.lines += batch.lines
        outcome.hits += len(batch.hits)
        outcome.absurd += batch.absurd
        if batch.events:
            outcome.last = max(outcome.last or 0, *(event.at for event in batch.events), 0)
        if self.dry_run:
            for event in batch.events:
                outcome.events[CATALOGUE[event.reason]] += event.count
            return
        add_days(self.engine, {event.at for event in batch.events})
        with self.engine.begin() as connection:
            rulebook = load_rulebook(connection)
            exemptions = Exemptions(load_exemptions(connection))
            outcome.events.update(add_events(connection, source_id, batch.events, rulebook, exemptions, self.clock()))
            add_hits(connection, batch.hits, rulebook)
            keep(connection)


def _take(reader: Reader, batch: _Batch, line: bytes | None, number: int, reference: int) -> None:
    batch.lines += 1
    if line is None:
        reader.lines += 1
        reader.skipped += 1
    else:
        batch.add(reader.read(line, number, reference))


def _finished(outcome: Outcome, reader: Reader) -> Outcome:
    outcome.skipped, outcome.unmatched = reader.skipped, reader.unmatched
    outcome.faults = list(getattr(reader, "faults", []))
    log.info(
        "ingest.done",
        source=outcome.source,
        lines=outcome.lines,
        events=outcome.events.total(),
        hits=outcome.hits,
        skipped=outcome.skipped,
    )
    return outcome
