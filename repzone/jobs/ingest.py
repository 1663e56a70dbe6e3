"""Logs in, events in the database out, each exactly once: what a run reads, and that nobody else reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from repzone.jobs.files import open_log
from repzone.jobs.intake import Job, Outcome, Stream
from repzone.jobs.rotation import live_path
from repzone.jobs.source import Source
from repzone.store.engine import answering
from repzone.store.positions import reading


@dataclass(frozen=True, slots=True)
class Ingestion(Job):
    """A job, the seconds to wait for another reader of a log, and those that a greylisted letter may take."""

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
