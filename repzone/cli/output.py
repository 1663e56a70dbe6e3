"""Values in, lines for people or programs out. Tables and progress for people on a terminal, JSON Lines else."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import structlog
from rich.console import Console
from rich.table import Table

from repzone.errors import RepzoneError

if sys.stdout is None:  # closed by the caller: `repzone listings >&-`
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we live

# A pipe or a file has no width: a date must not be broken in two for whoever greps it.
console = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200)
errors = Console(stderr=True, highlight=False)


def stdin() -> TextIO:
    """Give standard input; RepzoneError when the caller closed it."""
    if sys.stdin is None:
        raise RepzoneError("standard input is closed")
    return sys.stdin


def set_up_logging(*, quiet: bool) -> None:
    """Send the log lines to standard error; `quiet` leaves only warnings, for commands that print their result."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("warning" if quiet else "info"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def print_json(fields: Mapping[str, object]) -> None:
    """Print one object on one line."""
    print(_encode(fields), flush=False)


_encode = json.JSONEncoder(ensure_ascii=False).encode


@lru_cache(maxsize=1024)
def utc(at: int) -> str:
    """Write an instant for programs: RFC 3339 with Z."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 client`, `1,204 clients`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def table(*columns: str, title: str | None = None) -> Table:
    """Make a table whose columns that begin with `>` stand at the right."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return made
