"""`repzone zone export`: who is listed now, as a file for another program."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, complete_apex
from repzone.cli.output import replaceable
from repzone.cli.progress import line_bar
from repzone.cli.wall import clock
from repzone.config import Settings, load
from repzone.definitions import load_zones
from repzone.errors import RepzoneError
from repzone.fastpath import make_table
from repzone.store.changes import load_paused
from repzone.store.engine import answering
from repzone.store.zone import load_rows
from repzone.zone import rows
from repzone.zone.definition import Zone
from repzone.zone.export import FORMATS, Networks

Format = StrEnum("Format", {name: name for name in FORMATS})  # type: ignore[misc]
_EVERY = 10_000  # lines between two moves of the bar


def export(
    form: Annotated[Format, typer.Option("--format", help="For which program.", show_default=False)],
    apex: Annotated[
        str | None,
        typer.Argument(
            metavar="APEX", help="The zone; needed when there are several block zones.", autocompletion=complete_apex
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Standard output unless given.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write who is listed now as a file for another program: what DNS would answer, but for the time left.

    The most specific network decides, exemptions are holes. Such a file does not know when a listing ends: make it
    anew every few minutes. --to writes aside and renames, so that a reader sees the old file or the new one.

    rbldnsd: a combined data set. bind: a zone file, prefixes as wildcards. rpz: a response policy zone. postfix: a
    table for check_client_access cidr:FILE. nftables: two sets, for nft -f. csv: network, addresses, ttl, text.

    Example: repzone zone export --format postfix --to /etc/postfix/repzone.cidr
    """
    settings = load(config)
    zone = _choose(apex, load_zones(settings))
    to = to and replaceable(to)
    if to is None and sys.stdout.isatty():  # a bar would stand among the lines
        sys.stdout.writelines(_lines(form, zone, settings))
        return
    with line_bar() as show:
        lines = _count(_lines(form, zone, settings), show)
        if to is None:
            sys.stdout.writelines(lines)
        else:
            _replace(to, lines)


def _lines(form: Format, zone: Zone, settings: Settings) -> Iterator[str]:
    """Read who is listed, and give the lines of the file."""
    now, table = clock(), make_table()
    with open_database(settings, clock) as engine, answering(), engine.connect() as connection:
        serial, listed = load_rows(connection.execution_options(isolation_level="AUTOCOMMIT"), now)
        paused = zone.apex in load_paused(connection)
    rows.load(table, listed)
    del listed
    return FORMATS[form](Networks(zone, table, now, paused=paused), serial)


def _count(lines: Iterable[str], show: Callable[[int, int], None]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number % _EVERY == 0 and number:
            show(number, 0)
        yield line


def _choose(apex: str | None, zones: Sequence[Zone]) -> Zone:
    """Find the zone named, or the only block zone."""
    name = apex and apex.lower().removesuffix(".")
    found = [zone for zone in zones if zone.apex == name or (name is None and zone.kind == "block")]
    if len(found) == 1:
        return found[0]
    known = ", ".join(zone.apex for zone in zones)
    raise RepzoneError(f"there is no zone {name!r}; there are: {known}" if name else f"name one zone of: {known}")


def _replace(file: Path, lines: Iterable[str]) -> None:
    """Put the lines in the place of a file, which is there whole at any time; its mode stays."""
    aside = file.with_name(f"{file.name}.{os.getpid()}.new")  # another export may be writing the same file
    try:
        with aside.open("w", encoding="ascii") as stream:
            if file.exists():
                os.fchmod(stream.fileno(), file.stat().st_mode & 0o777)
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(file)
    except OSError as error:
        raise RepzoneError(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        if aside.exists():  # it has not become the file
            aside.unlink()
