"""Logs that grow in, their events in the database and what follows from them out, as soon as a line is there.

A line that may list somebody is committed at once, with whatever else has been read; clean traffic waits a second
for company. While a commit lasts, lines gather for the next: the busier, the larger the transactions. Nothing is kept
that could not be read again: when the database goes away, all is dropped, and taken up where the last commit was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import FileIO
from math import inf
from pathlib import Path

import structlog

from repzone.errors import ConfigError, RepzoneError, UnavailableError
from repzone.jobs import calculate
from repzone.jobs.batch import settle
from repzone.jobs.ingest import Ingestion
from repzone.jobs.intake import Stream
from repzone.jobs.source import Source, describe_unread
from repzone.jobs.watch import Stop, Watch
from repzone.store.engine import answering

log = structlog.get_logger()

POLL = 1.0
"""Seconds after which a log is looked at although nothing told that it changed."""

PATIENCE = 16.0
"""Seconds at most before it is tried again to store something; the first pause is POLL, each twice the one before."""

HOLD = 1.0
"""Seconds that lines without an offence wait at most to be committed."""

SCAN = 5.0
"""Seconds between two looks at the rotated files: a log's writer may learn of its new name late."""

BEAT = 60.0
"""Seconds after which it is noted that a source is read although it says nothing, and what has come due is decided."""

SETTLE = 5.0
"""Seconds between two looks at which letters never came again: they have had a day, and it costs a transaction."""


DATABASE_AWAY, LOG_AWAY, WAITING = "follow.database_away", "follow.log_away", "follow.waiting"


class _Stopped(Exception):
    """It is time to end, in the middle of much to read, and everything so far is committed."""


@dataclass(slots=True)
class _Trouble:
    """What keeps a source from being followed; each trouble is said once, and when there is none any more."""

    source: str
    events: set[str] = field(default_factory=set)
    pause: float = 0.0

    def begin(self, event: str, error: RepzoneError | str) -> None:
        if event not in self.events:
            log.warning(event, source=self.source, error=str(error))
        self.events.add(event)

    def end(self, *events: str) -> None:
        """End these troubles: `goes_on` is for who has something to do again."""
        if self.events and not self.events.difference(events):
            log.warning("follow.goes_on", source=self.source)
        self.events.difference_update(events)

    def fail(self, error: UnavailableError, stop: Stop) -> None:
        """Say that nothing can be stored, and wait before the next try, the longer the more have failed."""
        self.begin(DATABASE_AWAY, error)
        self.pause = min(2 * self.pause, PATIENCE) or POLL
        stop.wait(self.pause)

    def succeed(self) -> None:
        """Note that what had been read is stored, and decided."""
        self.pause = 0.0
        self.end(DATABASE_AWAY)


@dataclass(slots=True)
class Settling:
    """When to settle: once the ends of these logs have been reached, and then every SETTLE seconds at most.

    A log counts that is not there, or that another repzone reads: the database tells how far that has come.
    """

    unread: set[Path] = field(default_factory=set)
    due: float = -inf

    def is_due(self, now: float) -> bool:
        if self.unread or now < self.due:
            return False
        self.due = now + SETTLE
        return True


@dataclass(frozen=True, slots=True)
class Following:
    """How to follow: with which ingestion, until when, by which monotonic clock (seconds).

    `connect` is called before the database is used, and again whenever it was away. What is stored is decided at once
    if `deciding`. All that are followed at once share one `settling`.
    """

    job: Ingestion
    stop: Stop
    monotonic: Callable[[], float]
    connect: Callable[[], None] = lambda: None
    deciding: bool = True
    settling: Settling = field(default_factory=Settling)

    def run_file(self, path: Path) -> None:
        """Follow a log, through whatever becomes of it, until told to stop; it need not exist yet.

        Where another reads it already, this one waits, and takes over.
        """
        path = path.absolute()
        job = replace(self.job, wait=1, committed=self._go_on)
        trouble, connected = _Trouble(str(path)), False
        while not self.stop.is_set():
            try:
                if not connected:
                    self.connect()
                connected = True
                with answering(), job.open(path) as source:
                    if source is None:
                        trouble.begin(WAITING, "another repzone reads this log")
                        self.settling.unread.discard(path)
                    else:
                        self._follow(source, path, trouble)
            except UnavailableError as error:
                connected = False
                trouble.fail(error, self.stop)
            except _Stopped:
                return

    def run_stream(self, text: FileIO) -> None:
        """Follow standard input to its end, or until told to stop.

        While the database is away nothing is read; what had been read is stored when it is back.
        """
        job = replace(self.job, committed=self._decide)
        trouble, stream = _Trouble("-"), None
        while True:
            try:
                self.connect()
                with answering():
                    stream = stream or Stream(job, text, lasting=True)
                    self._follow_stream(stream, text, trouble)
                return
            except UnavailableError as error:
                trouble.fail(error, self.stop)
                if self.stop.is_set():
                    return

    def _follow(self, source: Source, path: Path, trouble: _Trouble) -> None:
        now = self.monotonic()
        scan, beat, held = now, now, inf
        with Watch(path) as watch:
            while not self.stop.is_set():
                watch.arm()
                now, stored = self.monotonic(), False
                thorough = now >= scan
                scan = now + SCAN if thorough else scan
                try:
                    source.read(thorough=thorough)
                    trouble.end(LOG_AWAY, WAITING)
                    if source.outcome.unread:
                        log.warning("follow.left_out", source=str(path), error=describe_unread(source.outcome.unread))
                        source.outcome.unread.clear()
                except (ConfigError, UnavailableError):
                    raise
                except RepzoneError as error:
                    trouble.begin(LOG_AWAY, error)
                if source.batch.urgent or now >= min(held, beat):
                    source.commit(whole=True)
                    stored = True
                if not source.batch.lines:
                    self.settling.unread.discard(path)
                if now >= beat:
                    self._decide(new=True)  # some that were stored before may be due by now
                    beat = now + BEAT
                if stored:
                    trouble.succeed()
                held = min(held, now + HOLD) if source.batch.lines else inf
                watch.wait(self.stop, min(POLL, held - now))
        if source.batch.lines:
            source.commit(whole=True)

    def _follow_stream(self, stream: Stream, text: FileIO, trouble: _Trouble) -> None:
        more, held = True, 0.0  # what an outage left is stored at once
        while more and not self.stop.is_set():
            now = self.monotonic()
            if stream.batch.lines and (stream.batch.urgent or now >= held):
                stream.commit()
                trouble.succeed()
            held = min(held, now + HOLD) if stream.batch.lines else inf
            if self.stop.wait(held - now, text.fileno()):
                more = stream.read()
        if stream.batch.lines:
            stream.commit()

    def _go_on(self, new: bool) -> None:
        self._decide(new)
        if self.stop.is_set():
            raise _Stopped

    def _decide(self, new: bool) -> None:
        job = self.job
        if self.settling.is_due(self.monotonic()):
            new |= settle(job.engine, job.clock, job.greylist_wait, lambda: not self.stop.is_set()) > 0
        if new and self.deciding:
            calculate.run(job.engine, job.clock)
