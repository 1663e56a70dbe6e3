"""`repzone parse`: log lines to offences, on the screen."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.markup import escape

from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, errors, print_json, utc
from repzone.cli.wall import clock
from repzone.config import Settings, load, load_zones
from repzone.jobs.files import open_log, read_lines
from repzone.jobs.ingest import MakeReader, Reader
from repzone.logs.join import OwnZones
from repzone.logs.jsonl import JsonlReader
from repzone.logs.reader import Reader as LogReader
from repzone.model import Event
from repzone.reasons import CATALOGUE

STDIN = "-"


class Format(StrEnum):
    """What the lines are: mail log lines of any component, or JSON Lines."""

    auto = "auto"
    jsonl = "jsonl"


FormatOption = Annotated[Format, typer.Option("--format", help="Mail log lines, or JSON Lines.")]


def reader_maker(settings: Settings, format: Format) -> MakeReader:
    """Give what makes the reader of that format, going on from what was dumped."""
    if format is Format.jsonl:
        return lambda state: JsonlReader()
    zones = load_zones(settings)
    own = OwnZones(apexes=tuple(zone.apex for zone in zones), urls=tuple(zone.url for zone in zones if zone.url))

    return lambda state: LogReader(settings.log_timezone, own, state)


def parse(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A log, gzip too; - is standard input.")] = STDIN,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    format: FormatOption = Format.auto,
) -> None:
    """Show the offences in a log, without any database: the way to see what repzone makes of your lines.

    Example: repzone parse /var/log/mail.log -o json
    """
    reader = reader_maker(load(config), format)(None)
    if file == STDIN:
        found = _events(reader, sys.stdin.buffer, clock())
        _print_events(found, output)
    else:
        with open_log(Path(file)) as log:
            _print_events(_events(reader, log.text, log.modified), output)
    for fault in getattr(reader, "faults", ()):
        errors.print(f"repzone: {file}: {fault}", markup=False, soft_wrap=True)
    if output is Output.human:
        errors.print(f"{reader.lines:,} lines, {reader.skipped:,} skipped.", style="dim")


def _events(reader: Reader, text: IO[bytes], reference: int) -> Iterator[Event]:
    for number, (line, _) in enumerate(read_lines(text, 0, final=True), 1):
        if line is None:
            reader.lines += 1
            reader.skipped += 1
        else:
            yield from (found for found in reader.read(line, number, reference) if isinstance(found, Event))


def _print_events(events: Iterator[Event], output: Output) -> None:
    for event in events:
        if output is Output.json:
            print_json(
                {
                    "line": event.line,
                    "at": utc(event.at),
                    "client": str(event.client),
                    "category": CATALOGUE[event.reason],
                    "reason": event.reason,
                    "count": event.count,
                    "component": event.component,
                    "detail": event.detail,
                }
            )
        else:
            times = f" ×{event.count}" if event.count > 1 else ""
            category = f"{CATALOGUE[event.reason]:<6}"
            console.print(
                f"{utc(event.at)} [bold]{event.client!s:<15}[/] [red]{category}[/] {event.reason}{times} "
                f"[dim]{escape(event.component)} {escape(event.detail)}[/]",
                soft_wrap=True,
            )
