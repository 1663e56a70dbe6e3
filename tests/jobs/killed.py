"""Runs ingestion and calculation in processes of their own and kills them in the middle: `python -m tests.jobs.killed`.

A line of standard input is a database's URL, a log, and a number: at so many calls of the driver (each statement,
COPY and commit, before and after) the process that does it gets SIGKILL; 0 lets it live. A line of output is the number
of calls that there were, or -1 for a process that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from repzone.jobs import batch, calculate, files
from repzone.store import waits
from repzone.store.engine import connect
from tests.jobs.samples import NOW, ingestion

CALLS = (
    *((psycopg.Cursor, "execute"), (psycopg.Cursor, "executemany"), (psycopg.Cursor, "copy")),
    *((psycopg.Copy, "write"), (psycopg.Connection, "commit"), (psycopg.Connection, "rollback")),
)


class Killer:
    """Counts the calls of the driver, and kills its own process at one of them."""

    def __init__(self, at: int) -> None:
        self.calls = 0
        self._at = at

    def reach(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.reach()
            result = call(*arguments, **options)
            self.reach()
            return result

        return called


def run(url: str, log: Path, killer: Killer) -> None:
    """Ingest, settle and calculate in transactions as small as can be."""
    batch.EVENTS, files.BLOCK, waits.STEPS = 3, 700, 1
    for kind, name in CALLS:
        setattr(kind, name, killer.wrap(getattr(kind, name)))
    engine = connect(url)
    ingestion(engine, wait=60).run_file(log)
    batch.settle(engine, lambda: NOW, 86_400)
    calculate.run(engine, lambda: NOW, most=1)
    engine.dispose()


def main() -> None:
    """Do what the lines of standard input say, each in a fork of this process: nothing is imported anew."""
    for line in sys.stdin:
        url, log, number = line.split()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            killer = Killer(int(number))
            run(url, Path(log), killer)
            os.write(writing, str(killer.calls).encode())
            os._exit(0)
        os.close(writing)
        calls = os.read(reading, 100).decode()
        os.close(reading)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(calls if not status else "-1" if killed else f"failed: {status}", flush=True)


if __name__ == "__main__":
    main()
