"""Files and folders in, the octets of mails out, and what each tells: a spool folder, a Maildir, one file, a stream."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from repzone.errors import RepzoneError
from repzone.logs.mail import LARGEST, MailError
from repzone.model import Event

MAILDIR = ("new", "cur")

ParseMail = Callable[[bytes], Event | None]


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


def is_maildir(folder: Path) -> bool:
    """Tell whether a folder holds mails in `new` and `cur`."""
    return all((folder / name).is_dir() for name in MAILDIR)


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
    for folder in [path / name for name in MAILDIR] if is_maildir(path) else [path]:
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
