"""Mails in, their events in the database out, each mail exactly once: a spool folder, one file, or standard input.

A mail is known by a digest of its octets, which is the `id` of its event: under another name, or after a crash, it
is stored once. Files stay where they are. What has not changed since the last run (ctime: neither written, renamed
nor moved in) is not read again, unless `parse` has become another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import structlog

from repzone.clock import Clock
from repzone.jobs.batch import Batch, store
from repzone.jobs.intake import Outcome
from repzone.jobs.mails import MAILDIR, ParseMail, is_maildir, read_mail, read_mails, read_stream
from repzone.logs.mail import MailError
from repzone.reasons import CATALOGUE
from repzone.store.engine import Connection, Engine, answering
from repzone.store.positions import load_state, open_source, reading, store_state

log = structlog.get_logger()

_EXAMPLES = 5  # of faults that are told
_MARGIN = 60  # seconds that the clock of the file system may be behind ours


@dataclass(frozen=True, slots=True)
class Spool:
    """Where events go and how mails are read: `parse` gives None for no offence, MailError for a faulty mail.

    `version` names what `parse` depends on: with another one a folder is read again from the beginning.
    """

    engine: Engine
    clock: Clock
    host: str
    parse: ParseMail
    version: str = ""
    dry_run: bool = False
    wait: int = 60

    def run_file(self, path: Path) -> Outcome:
        """Take the mail of a file, or those of a folder that are new; RepzoneError when it cannot be read."""
        path = path.absolute()
        outcome = Outcome(str(path))
        with answering():
            folder = _folder(path)
            source_id = self._open(str(folder))
            with reading(self.engine, source_id, self.wait) as connection:
                if connection is None:
                    outcome.busy = True
                    return outcome
                began = self.clock()
                taking = _Taking(self, source_id, outcome, connection)
                whole = path.is_dir()
                for name, mail in read_mails(folder, self._since(source_id)) if whole else read_mails(path):
                    taking.take(name, mail)
                taking.commit(began if whole else None)
        return taking.finish()

    def run_stream(self, text: IO[bytes]) -> Outcome:
        """Take the one mail of standard input."""
        with answering(), self.engine.connect() as connection:
            taking = _Taking(self, self._open("-"), Outcome("-"), connection)
            taking.take("-", read_stream(text))
            taking.commit(None)
        return taking.finish()

    def _open(self, path: str) -> int:
        with self.engine.begin() as connection:
            return open_source(connection, self.host, path)

    def _since(self, source_id: int) -> int:
        """Give the instant from which on files are new."""
        with self.engine.connect() as connection:
            state, seen = load_state(connection, source_id)
        return seen - _MARGIN if state == {"version": self.version} else 0


@dataclass(slots=True)
class _Taking:
    """A run: what is to be stored, and what became of the rest."""

    spool: Spool
    source_id: int
    outcome: Outcome
    connection: Connection
    batch: Batch = field(default_factory=Batch)

    def take(self, name: str, mail: bytes | OSError) -> None:
        outcome = self.outcome
        outcome.lines += 1
        try:
            event = read_mail(self.spool.parse, mail)
        except MailError as error:
            outcome.skipped += 1
            if outcome.skipped <= _EXAMPLES:
                outcome.faults.append(f"{name}: {error}")
            return
        if event is not None:
            outcome.newest = max(event.at, outcome.newest or event.at)
            self.batch.add([replace(event, line=outcome.lines)])
            if self.batch.full:
                self.commit(None)

    def commit(self, seen: int | None) -> None:
        """Store the batch, and at the end of a folder when its reading began."""
        spool, batch, self.batch = self.spool, self.batch, Batch()
        self.outcome.absurd += batch.absurd
        if spool.dry_run:
            for event in batch.events:
                self.outcome.events[CATALOGUE[event.reason]] += event.count
            return

        def keep(connection: Connection) -> None:
            if seen is not None:
                store_state(connection, self.source_id, {"version": spool.version}, seen)

        self.outcome.events.update(store(self.connection, self.source_id, batch, spool.clock, keep))

    def finish(self) -> Outcome:
        outcome = self.outcome
        if outcome.skipped > _EXAMPLES:
            outcome.faults.append(f"and {outcome.skipped - _EXAMPLES:,} more")
        log.info(
            "spool.done",
            source=outcome.source,
            mails=outcome.lines,
            events=outcome.events.total(),
            skipped=outcome.skipped,
        )
        return outcome


def _folder(path: Path) -> Path:
    """Give the spool that a file or folder belongs to: a mail that is moved within a Maildir stays the same one."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name in MAILDIR and is_maildir(folder.parent) else folder
