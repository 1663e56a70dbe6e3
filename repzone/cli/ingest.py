"""`repzone ingest`: log lines to events in the database, each exactly once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from repzone.cli.calculate import print_outcome
from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, errors, print_json, table, utc
from repzone.cli.parse import STDIN, Format, FormatOption, reader_maker
from repzone.cli.wall import clock
from repzone.config import load
from repzone.errors import RepzoneError
from repzone.jobs import calculate
from repzone.jobs.ingest import Ingestion, Outcome
from repzone.zone.texts import format_instant


def ingest(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|-]...", help="Logs, gzip too; - is standard input. Without: the configured `logs`."
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    format: FormatOption = Format.auto,
    no_calculate: Annotated[bool, typer.Option("--no-calculate", help="Store the events, decide nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count; store nothing.")] = False,
) -> None:
    """Store what is new in the logs, each offence exactly once, and decide who is listed.

    Goes on where the last run stopped, through rotation too. Run it from cron every minute.

    Example: repzone ingest /var/log/mail.log
    """
    settings = load(config)
    names = files or list(settings.logs)
    if not names:
        raise RepzoneError("nothing to ingest: name a FILE, or set `logs` in the configuration")
    make_reader = reader_maker(settings, format)
    with open_database(settings, clock) as engine:
        outcomes = []
        with _progress(names) as progress:
            for name in names:
                job = Ingestion(engine, clock, settings.host, make_reader, dry_run, progress.get(name, _silent))
                outcomes.append(job.run_stream(sys.stdin.buffer) if name == STDIN else job.run_file(Path(name)))
        _print_outcomes(outcomes, output)
        if not (no_calculate or dry_run):
            print_outcome(calculate.run(engine, clock), output)


def _silent(octets: int) -> None:
    """Show nothing."""


def _advance(progress: Progress, task: TaskID, octets: int) -> None:
    progress.update(task, completed=octets)


@contextmanager
def _progress(names: list[str]) -> Iterator[dict[str, Callable[[int], None]]]:
    """Show a bar for each file on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bars: dict[str, Callable[[int], None]] = {}
        for name in names:
            if name != STDIN and Path(name).is_file():
                task = progress.add_task(escape(name), total=Path(name).stat().st_size)
                bars[name] = partial(_advance, progress, task)
        yield bars


def _print_outcomes(outcomes: list[Outcome], output: Output) -> None:
    for outcome in outcomes:
        for fault in outcome.faults:
            errors.print(f"repzone: {outcome.source}: {fault}", markup=False, soft_wrap=True)
        if outcome.absurd:
            errors.print(
                f"repzone: {outcome.source}: {outcome.absurd} events with an absurd date left out", markup=False
            )
        if outcome.busy and output is Output.human:
            console.print(f"{outcome.source} is being read by another repzone; left to it.", markup=False)
    if output is Output.json:
        for outcome in outcomes:
            print_json(_outcome_fields(outcome))
        return
    made = table("source", ">lines", ">errors", ">spam", ">virus", ">auth", ">hits", ">skipped", "newest event")
    for outcome in outcomes:
        if not outcome.busy:
            counts = (outcome.events[name] for name in ("errors", "spam", "virus", "auth"))
            numbers = (outcome.lines, *counts, outcome.hits, outcome.skipped)
            newest = format_instant(outcome.last) if outcome.last is not None else ""
            made.add_row(escape(outcome.source), *(f"{number:,}" for number in numbers), newest)
    if made.row_count:
        console.print(made)


def _outcome_fields(outcome: Outcome) -> dict[str, object]:
    return {
        "source": outcome.source,
        "busy": outcome.busy,
        "lines": outcome.lines,
        "events": dict(outcome.events),
        "hits": outcome.hits,
        "skipped": outcome.skipped,
        "unmatched": outcome.unmatched,
        "newest": utc(outcome.last) if outcome.last is not None else None,
    }
