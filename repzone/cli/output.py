"""Values in, lines for people or programs out. Tables and progress for people on a terminal, JSON Lines else."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from repzone.errors import RepzoneError
from repzone.zone.texts import format_span

if sys.stdout is None:  # closed by the caller: `repzone listings >&-`
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we live

UNICODE = (sys.stdout.encoding or "").lower().startswith("utf")
if not UNICODE and isinstance(sys.stdout, TextIOWrapper):  # an arrow that cannot be shown is no reason to fail
    sys.stdout.reconfigure(errors="backslashreplace")

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console: Console
    errors: Console


def __getattr__(name: str) -> Console:
    """Make `console` and `errors` when somebody wants them: a command that needs neither starts faster."""
    if name not in ("console", "errors"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rich.console import Console

    # A pipe or a file has no width: a date must not be broken in two for whoever greps it.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
    made = Console(stderr=name == "errors", highlight=False, emoji=False, width=width if name == "console" else None)
    globals()[name] = made
    return made


def _console() -> Console:
    return sys.modules[__name__].console  # type: ignore[no-any-return]


def stdin() -> TextIO:
    """Give standard input; RepzoneError when the caller closed it."""
    if sys.stdin is None:
        raise RepzoneError("standard input is closed")
    return sys.stdin


def set_up_logging(*, quiet: bool) -> None:
    """Send the log lines to standard error; `quiet` leaves only warnings, for commands that print their result."""
    import structlog

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
    """Print one object on one line, of which nothing can move a terminal's cursor."""
    text = _encode(fields)
    print(text if text.isprintable() else _HIDDEN.sub(_escape, text), flush=False)


_encode = json.JSONEncoder(ensure_ascii=not UNICODE).encode

# What JSON may hold as it is, and a terminal obeys or cannot show: DEL, C1, directions and joiners, halves of pairs.
_HIDDEN = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def plain(text: str) -> str:
    """Write what a stranger may have written as one line that moves nothing and hides nothing on a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shown(text: str, style: str = "") -> Text:
    """Give what a stranger may have written as it is to be shown: as plain text, without markup."""
    from rich.text import Text

    return Text(plain(text), style=style)


@lru_cache(maxsize=1024)
def utc(at: int) -> str:
    """Write an instant for programs: RFC 3339 with Z."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def print_indented(text: Text, indent: int = 2, lead: str = "") -> None:
    """Print a paragraph behind what leads it, indented as a whole on a terminal; one line for whoever greps it."""
    from rich.table import Table
    from rich.text import Text

    console = _console()
    begin = " " * indent + (f"{lead}  " if lead else "")
    if not console.is_terminal:
        console.print(Text.assemble(begin, text), soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(begin), text)
    console.print(grid)


def within(seconds: int) -> str:
    """Write the length of a window behind "the last": `hour`, `6 h`."""
    return {3600: "hour", 86400: "day"}.get(seconds) or format_span(seconds)


def replaceable(file: Path) -> Path:
    """Give the file that a name means, behind links, if a new one may take its place.

    RepzoneError where a device, a pipe or a folder is: root would remove it with `--to /dev/null`.
    """
    if file.exists() and not file.is_file():
        raise RepzoneError(f"{file}: is no regular file, and is not replaced by one")
    return file.resolve() if file.is_symlink() else file


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 client`, `1,204 clients`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def print_table(made: Table, spare: Sequence[str] = ()) -> None:
    """Print a table; where a terminal is too narrow for it, it breaks lines, but no address and no date.

    Columns whose names are in `spare` are left out rather than break a word, the first of them first.
    """
    from repzone.cli.layout import lay_out

    console = _console()
    lay_out(made, spare, console)
    console.print(made, crop=False)


def table(*columns: str, title: str | None = None) -> Table:
    """Make a table whose columns that begin with `>` stand at the right; those and the ones with `!` never wrap."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        made.add_column(column.lstrip(">!"), justify=justify, no_wrap=column.startswith((">", "!")), overflow="fold")
    return made
