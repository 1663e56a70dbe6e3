"""`repzone parse`: log lines to offences, on the screen."""

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import UNICODE, console, counted, errors, print_json, print_table, stdin, table, utc
from repzone.cli.wall import clock
from repzone.config import Settings, load
from repzone.definitions import load_silent_zones
from repzone.errors import ConfigError, UsageError
from repzone.jobs.files import cut, open_log, read_blocks
from repzone.jobs.mails import ParseMail, read_mail, read_mails, read_stream
from repzone.jobs.opened import read_log
from repzone.jobs.reading import MakeReader, Reader, read_block
from repzone.logs import arf, components, spamtrap
from repzone.logs.join import OwnZones
from repzone.logs.jsonl import JsonlReader
from repzone.logs.mail import MailError
from repzone.logs.reader import Reader as LogReader
from repzone.logs.shapes import ShapeReader
from repzone.model import Event
from repzone.reasons import CATALOGUE

STDIN = "-"


class Format(StrEnum):
    """What the input is, other than the lines of one component: those of any, JSON Lines, or mails."""

    auto = "auto"
    jsonl = "jsonl"
    arf = "arf"
    spamtrap = "spamtrap"


FORMATS = (Format.auto, *components.NAMES, Format.jsonl, Format.arf, Format.spamtrap)
MAILS = (Format.arf, Format.spamtrap)


def _know_format(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}")
    return name


FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        callback=_know_format,
        autocompletion=lambda: list(FORMATS),
        metavar="auto|postfix|…|jsonl|arf|spamtrap",
        help="Mail log lines, of one component if named; JSON Lines; abuse reports (ARF, X-ARF); spamtrap mails.",
    ),
]


def reader_maker(settings: Settings, format: str, key: Callable[[], bytes] = bytes) -> MakeReader:
    """Give what makes the reader of that format, going on from what was dumped; `key` gives what addresses are hashed
    with.
    """
    if format == Format.jsonl:
        return lambda state: JsonlReader()
    zones = load_silent_zones(settings)
    own = OwnZones(apexes=tuple(zone.apex for zone in zones), urls=tuple(zone.url for zone in zones if zone.url))
    find = _finder(format)
    return lambda state: LogReader(settings.log_timezone, own, state, key(), find)


def _finder(format: str) -> Callable[[str], components.Parse | None]:
    return components.find if format == Format.auto else partial(components.find, only=format)


def mail_parser(settings: Settings, format: str) -> ParseMail:
    """Give what reads a mail of that format; ConfigError when it is not known whose Received header to trust."""
    if format == Format.arf:
        return arf.parse
    if not settings.spamtrap_mx:
        where = str(settings.file or "repzone.toml")
        raise ConfigError(where, "spamtrap_mx", 'name the hosts that your traps get mail from, as ["mx1.example.net"]')
    return partial(spamtrap.parse, trusted=settings.spamtrap_mx)


def expect_many_events() -> None:
    """Let the garbage collector look less often: it would go through all events again and again, of which none is in
    a circle.
    """
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)


def parse(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A log, gzip too; - is standard input.")] = STDIN,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    format: FormatOption = Format.auto,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="Show the shapes of lines that no parser knew, and how many there were.")
    ] = False,
) -> None:
    """Show the offences in a log, without any database: the way to see what repzone makes of your lines.

    Example: repzone parse /var/log/mail.log -o json
    """
    settings = load(config)
    expect_many_events()
    if unmatched:
        if format in (Format.jsonl, *MAILS):
            raise UsageError(f"--unmatched is for log lines, not for --format {format}")
        _parse_unmatched(settings, file, format, output)
    elif format in MAILS:
        _parse_mails(mail_parser(settings, format), file, output)
    else:
        _parse_lines(reader_maker(settings, format)(None), file, output)


def _parse_lines(reader: Reader, file: str, output: Output) -> None:
    with _opened(file) as blocks:
        _print_events(_events(reader, blocks), output)
    _print_faults(file, getattr(reader, "faults", ()))
    if output is Output.human:
        unknown = f", {reader.unmatched:,} of no known form" if reader.unmatched else ""
        errors.print(f"{counted(reader.lines, 'line')}, {reader.skipped:,} skipped{unknown}.", style="dim")


def _parse_mails(read: ParseMail, file: str, output: Output) -> None:
    mails = read_mails(Path(file)) if file != STDIN else iter([(STDIN, read_stream(stdin().buffer))])
    faults: list[str] = []
    number = 0

    def events() -> Iterator[Event]:
        nonlocal number
        for number, (name, mail) in enumerate(mails, 1):
            try:
                event = read_mail(read, mail)
            except MailError as error:
                faults.append(f"{name}: {error}")
            else:
                yield from (replace(event, line=number),) if event is not None else ()

    _print_events(events(), output)
    _print_faults(file, faults)
    if output is Output.human:
        errors.print(f"{counted(number, 'mail')}, {len(faults):,} skipped.", style="dim")


def _parse_unmatched(settings: Settings, file: str, format: str, output: Output) -> None:
    reader = ShapeReader(settings.log_timezone, _finder(format))
    with _opened(file) as blocks:
        lines = ((line, reference) for block, reference in blocks for line in cut(block))
        for number, (line, reference) in enumerate(lines, 1):
            reader.read(line, number, reference)
    shapes = reader.shapes()
    if output is Output.json:
        for one in shapes:
            print_json({"program": one.program, "count": one.count, "shape": one.shape, "example_line": one.line})
        return
    made = table(">count", "!program", ">line", "shape")
    for one in shapes:
        made.add_row(f"{one.count:,}", escape(one.program), f"{one.line}", escape(one.shape))
    if shapes:
        print_table(made)
    matched = sum(one.count for one in shapes)
    errors.print(
        f"{counted(reader.lines, 'line')}: {matched:,} of known programs that no parser knew, in "
        f"{counted(len(shapes), 'shape')}, {reader.unmatched:,} of no known form, {reader.skipped:,} skipped.",
        style="dim",
    )


@contextmanager
def _opened(file: str) -> Iterator[Iterator[tuple[bytes, int]]]:
    """Open a log, and give its lines, many at once, each time with the instant near which they were written."""
    if file == STDIN:
        now = clock()
        yield ((block, now) for block in read_blocks(stdin().buffer))
    else:
        with open_log(Path(file)) as log:
            yield read_log(log)


def _print_faults(file: str, faults: Iterable[str]) -> None:
    for fault in faults:
        errors.print(f"repzone: {file}: {fault}", markup=False, soft_wrap=True)


def _events(reader: Reader, blocks: Iterable[tuple[bytes, int]]) -> Iterator[Event]:
    for block, reference in blocks:
        told = read_block(reader, block, reader.lines + 1, reference)
        yield from (one for one in told if isinstance(one, Event))


def _print_events(events: Iterator[Event], output: Output) -> None:
    if output is Output.json:
        sys.stdout.writelines(map(_json_line, events))
        return
    for event in events:
        times = f" ×{event.count}" if event.count > 1 else ""
        category = f"{CATALOGUE[event.reason]:<6}"
        console.print(
            f"{utc(event.at)} [bold]{event.client!s:<15}[/] [red]{category}[/] {event.reason}{times} "
            f"[dim]{escape(event.component)} {escape(event.detail)}[/]",
            soft_wrap=True,
        )


def _json_line(event: Event) -> str:
    """Write an event as JSON; what most events have in common is encoded once."""
    lead = f'{{"line": {event.line}, "at": "{utc(event.at)}", "client": "{event.client.to_text()}"'
    return f"{lead}, {_fields(event.reason, event.count, event.component, event.detail)}\n"


@lru_cache(maxsize=4096)
def _fields(reason: str, count: int, component: str, detail: str) -> str:
    fields = {"category": CATALOGUE[reason], "reason": reason, "count": count}
    return json.dumps({**fields, "component": component, "detail": detail}, ensure_ascii=not UNICODE)[1:]
