"""A log that is written to, read and rotated in every way, and how many lines there have been."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import text

from repzone.jobs import files
from repzone.jobs.ingest import Ingestion
from repzone.jobs.intake import Outcome
from repzone.jobs.source import Source
from repzone.store.engine import Engine
from tests.jobs.samples import NOW, ingestion, reject, stored

AnyLog = TypeVar("AnyLog", bound="Log")


@dataclass
class Log:
    """A log that is written to and rotated, and how many lines there have been."""

    path: Path
    job: Ingestion
    lines: int = 0
    rest: str = ""
    days: int = 0

    def write(self, number: int = 1) -> None:
        """Write whole lines, each with a second of its own; first the rest of one that was begun."""
        text = "".join(reject(NOW + self.lines + n) for n in range(number))
        self.lines += number
        with self.path.open("a") as file:
            file.write(self.rest + text)
        self.rest = ""

    def begin_line(self) -> None:
        """Write the first half of a line, the rest of which comes with the next."""
        if not self.rest:
            line = reject(NOW + self.lines)
            self.lines += 1
            with self.path.open("a") as file:
                file.write(line[:100])
            self.rest = line[100:]

    def run(self) -> Outcome:
        return self.job.run_file(self.path)

    def _shift(self) -> Path:
        """Rename the rotated files so that the first name is free."""
        if self.rest:
            self.write()
        for number in range(20, 0, -1):
            for end in ("", ".gz", ".zst"):
                old = self.path.with_name(f"{self.path.name}.{number}{end}")
                if old.exists():
                    old.rename(self.path.with_name(f"{self.path.name}.{number + 1}{end}"))
        return self.path.with_name(self.path.name + ".1")

    def rename(self) -> None:
        self.path.rename(self._shift())
        self.path.touch()

    def rename_by_date(self) -> None:
        if self.rest:
            self.write()
        self.path.rename(self.path.with_name(f"{self.path.name}-{20261101 + self.days}"))
        self.days += 1
        self.path.touch()

    def copy_and_truncate(self) -> None:
        shutil.copyfile(self.path, self._shift())
        os.truncate(self.path, 0)

    def compress(self, end: str = ".gz", pack: Callable[[bytes], bytes] = gzip.compress) -> None:
        """Rotate and compress at once, keeping the time as the tools do."""
        rotated, about = self._shift(), self.path.stat()
        packed = rotated.with_name(rotated.name + end)
        packed.write_bytes(pack(self.path.read_bytes()))
        os.utime(packed, ns=(about.st_atime_ns, about.st_mtime_ns))
        self.path.unlink()
        self.path.touch()

    def compress_zstd(self) -> None:
        self.compress(".zst", files.zstd.compress)


@dataclass
class KeptLog(Log):
    """A log that one reader keeps open, as `--follow` does, and that has copies and other names meanwhile."""

    source: Source | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def read(self, *, thorough: bool, commit: bool) -> None:
        if self.source is None:
            self.source = self.stack.enter_context(self.job.open(self.path))
        assert self.source is not None
        self.source.read(thorough=thorough)
        if commit:
            self.source.commit()

    def close(self) -> None:
        """End the reader, as it stands."""
        self.stack.close()
        self.source = None

    def _grow(self) -> None:
        """Write as much as it takes to tell a copy from a log that began anew."""
        if self.path.stat().st_size <= files.FINGERPRINT:
            self.write(7)

    def copy(self) -> None:
        """Begin to copy and truncate, and come no further."""
        self._grow()
        shutil.copyfile(self.path, self._shift())

    def copy_packed(self) -> None:
        self._grow()
        rotated = self._shift()
        rotated.with_name(rotated.name + ".gz").write_bytes(gzip.compress(self.path.read_bytes()))

    def link(self) -> None:
        rotated = self._shift()
        os.link(self.path.resolve(), rotated)

    def point(self) -> None:
        """Write to a file of the day from now on, which the log's name only points at."""
        if self.rest:
            self.write()
        dated = self.path.with_name(f"{self.path.name}-{20261101 + self.days}")
        self.days += 1
        if self.path.is_symlink():
            self.path.unlink()
            dated.touch()
        else:
            self.path.rename(dated)
        self.path.symlink_to(dated.name)


def make_log(engine: Engine, folder: Path, kind: type[AnyLog]) -> AnyLog:
    """Give a log that has been read once, when it was empty."""
    job = replace(ingestion(engine), clock=lambda: int(time.time()))  # noqa: TID251 - as the files' times are
    log = kind(folder / "mail.log", job)
    log.path.touch()
    log.run()
    return log


def events(log: Log) -> int:
    return sum(stored(log.job.engine).values())


def instants(log: Log) -> list[int]:
    """Give when the offences were, in the order in which they were stored."""
    query = text("SELECT extract(epoch FROM at)::bigint FROM event ORDER BY tableoid, ctid")
    with log.job.engine.connect() as connection:
        return list(connection.scalars(query))
