"""Mails in, their events in the database out, each mail exactly once: a spool folder, one file, or standard input.

A mail is known by a digest of its octets, which is the `id` of its event: under another name, or after a crash, it
is stored once. Files stay where they are. What has not changed since the last run (ctime: neither written, renamed
nor moved in) is not read again, unless `parse` has become another.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import structlog

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.jobs.batch import Batch, store
from repzone.jobs.ingest import Outcome
from repzone.logs.mail import LARGEST, MailError
from repzone.model import Event
from repzone.reasons import CATALOGUE
from repzone.store.engine import Connection, Engine, answering
from repzone.store.positions import load_state, open_source, reading, store_state

log = structlog.get_logger()

_EXAMPLES = 5  # of faults that are told
_MARGIN = 60  # seconds that the clock of the file system may be behind ours
_MAILDIR = ("new", "cur")

ParseMail = Callable[[bytes], Event | None]


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
            with reading(self.engine, source_id, self.wait) as free:
                if not free:
                    outcome.busy = True
                    return outcome
                began = self.clock()
                taking = _Taking(self, source_id, outcome)
                whole = path.is_dir()
                for name, mail in read_mails(folder, self._since(source_id)) if whole else read_mails(path):
                    taking.take(name, mail)
                taking.commit(began if whole else None)
        return taking.finish()

    def run_stream(self, text: IO[bytes]) -> Outcome:
        """Take the one mail of standard input."""
        with answering():
            taking = _Taking(self, self._open("-"), Outcome("-"))
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

        with spool.engine.connect() as connection:
            self.outcome.events.update(store(connection, self.source_id, batch, spool.clock, keep))

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


def read_stream(text: IO[bytes]) -> bytes:
    """Read a mail to its end, or until it is too large; a pipe gives it in pieces."""
    mail = b""
    while len(mail) <= LARGEST and (piece := text.read(LARGEST)):
        mail += piece
    return mail


def read_mail(parse: ParseMail, mail: bytes | OSError) -> Event | None:
    """Give the event of a mail, with its digest as id; None for no offence, MailError when it cannot be used."""
    if isinstance(mail, OSError):
        raise MailError(f"cannot be read: {mail.strerror}")
    event = parse(mail)
    return replace(event, id=digest(mail)) if event is not None else None


def digest(mail: bytes) -> str:
    """Name a mail by its octets: 32 hex digits."""
    return hashlib.blake2b(mail, digest_size=16).hexdigest()


def _folder(path: Path) -> Path:
    """Give the spool that a file or folder belongs to: a mail that is moved within a Maildir stays the same one."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name in _MAILDIR and _is_maildir(folder.parent) else folder


def _is_maildir(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in _MAILDIR)


def read_mails(path: Path, since: int = 0) -> Iterator[tuple[str, bytes | OSError]]:
    """Yield name and octets of the mail of a file, or of each mail of a folder that has changed since the instant
    `since`, or why it cannot be read.
    """
    if not path.is_dir():
        try:
            yield path.name, _read(path.resolve())
        except OSError as error:
            raise RepzoneError(f"{path}: cannot be read: {error.strerror}") from None
        return
    for folder in [path / name for name in _MAILDIR] if _is_maildir(path) else [path]:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except OSError as error:
            raise RepzoneError(f"{folder}: cannot be read: {error.strerror}") from None
        for name in names:
            try:
                about = (folder / name).lstat()
                if about.st_ctime >= since and not stat.S_ISDIR(about.st_mode):
                    yield name, _read(folder / name)
            except FileNotFoundError:
                pass  # taken away, or renamed from new to cur, where it is found
            except OSError as error:
                yield name, error


def _read(path: Path) -> bytes:
    """Read one file; OSError for what is no regular file, too: a link or a FIFO may be anybody's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is no regular file")
        return file.read(LARGEST + 1)
