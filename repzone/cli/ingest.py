"""`repzone ingest`: log lines to events in the database, each exactly once."""

import signal
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Annotated

import typer
from rich.markup import escape

from repzone.cli.calculate import print_outcome
from repzone.cli.database import open_database, open_server, prepare, revive
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, errors, print_json, print_table, stdin, table, utc
from repzone.cli.parse import (
    MAILS,
    STDIN,
    Format,
    FormatOption,
    expect_many_events,
    mail_parser,
    reader_maker,
)
from repzone.cli.progress import progress_bars
from repzone.cli.wall import clock
from repzone.config import Settings, load, load_hash_key
from repzone.definitions import load_policy
from repzone.errors import RepzoneError, UnavailableError, UsageError
from repzone.jobs import calculate, sweep
from repzone.jobs.batch import settle
from repzone.jobs.follow import Following, Settling
from repzone.jobs.ingest import Ingestion
from repzone.jobs.intake import Outcome
from repzone.jobs.source import describe_ahead, describe_unread
from repzone.jobs.spool import Spool
from repzone.jobs.watch import Stop
from repzone.serve.notify import notify
from repzone.store.engine import Engine
from repzone.store.secrets import load_key
from repzone.zone.texts import format_left


def ingest(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|-]...",
            help="Logs, compressed ones too; - is standard input. Without: the configured `logs`.",
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    format: FormatOption = Format.auto,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until SIGTERM or Ctrl-C: a line is in the zone at once.")
    ] = False,
    no_calculate: Annotated[bool, typer.Option("--no-calculate", help="Store the events, decide nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count; store nothing.")] = False,
) -> None:
    """Store what is new in the logs, each offence exactly once, and decide who is listed.

    Goes on where the last run stopped, through rotation too. Run it from cron every minute, or once with --follow.

    Example: repzone ingest /var/log/mail.log
    """
    settings = load(config)
    names = list(dict.fromkeys(files or settings.logs))
    if not names:
        raise RepzoneError("nothing to ingest: name a FILE, or set `logs` in the configuration")
    if follow and dry_run:
        raise UsageError("--follow and --dry-run cannot be meant together")
    if format in MAILS and (follow or not files):
        raise UsageError(f"--format {format} takes mails: name a FILE, a folder or -, and leave --follow to logs")
    read_mail = mail_parser(settings, format) if format in MAILS else None
    expect_many_events()
    if follow:
        load_policy(settings)
        with open_server(settings) as engine:
            _follow(settings, _ingestion(settings, format, engine), names, deciding=not no_calculate)
        return
    with open_database(settings, clock, deciding=True) as engine:
        with progress_bars() as progress:
            if read_mail is not None:
                version = " ".join((format, *settings.spamtrap_mx))
                outcomes, failed = _run(Spool(engine, clock, settings.host, read_mail, version, dry_run), names)
            else:
                job = _ingestion(settings, format, engine)
                outcomes, failed = _run(replace(job, dry_run=dry_run, progress=progress), names)
                if not dry_run:
                    settle(engine, clock, settings.greylist_wait)
        _print_outcomes(outcomes, output)
        if outcomes and not (no_calculate or dry_run):
            print_outcome(calculate.run(engine, clock), output)
        if not dry_run:
            sweep.run(engine, clock, sweep.Retention.of(settings))
    if failed is not None:
        raise failed


def _ingestion(settings: Settings, format: str, engine: Engine) -> Ingestion:
    """Give the ingestion of lines of that format, as the configuration has it."""

    def key() -> bytes:
        with engine.begin() as connection:
            return load_key(connection, load_hash_key(settings))

    make_reader = reader_maker(settings, format, key)
    return Ingestion(engine, clock, settings.host, make_reader, greylist_wait=settings.greylist_wait)


def _run(job: Ingestion | Spool, names: Sequence[str]) -> tuple[list[Outcome], RepzoneError | None]:
    """Read every source; one that cannot be read keeps no other back. The last error is for the caller to raise."""
    outcomes: list[Outcome] = []
    failed: RepzoneError | None = None
    for name in names:
        try:
            outcomes.append(job.run_stream(_stdin()) if name == STDIN else job.run_file(Path(name)))
        except UnavailableError:
            raise
        except RepzoneError as error:
            if failed is not None:
                errors.print(f"repzone: {failed}", markup=False, soft_wrap=True)
            failed = error
    return outcomes, failed


def _follow(settings: Settings, job: Ingestion, names: Sequence[str], *, deciding: bool) -> None:
    """Follow every source in a thread of its own until SIGTERM or SIGINT, or until all have ended; sweep meanwhile."""
    stop, one_at_a_time = Stop(), Lock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def connect() -> None:
        with one_at_a_time:
            revive(settings)
            prepare(job.engine, settings, clock())

    settling = Settling({Path(name).absolute() for name in names if name != STDIN})
    following = Following(job, stop, time.monotonic, connect, deciding, settling)
    with ThreadPoolExecutor(len(names) + 1, "follow") as threads:
        threads.submit(sweep.follow, job.engine, clock, sweep.Retention.of(settings), stop)
        started = [
            threads.submit(following.run_stream, _stdin())
            if name == STDIN
            else threads.submit(following.run_file, Path(name))
            for name in names
        ]
        notify("READY=1")
        wait(started, return_when=FIRST_EXCEPTION)
        stop.set()
    for one in started:
        one.result()


def _stdin() -> FileIO:
    """Give standard input as it comes: what is there is read, however little it is."""
    return FileIO(stdin().fileno(), closefd=False)


def _print_outcomes(outcomes: Sequence[Outcome], output: Output) -> None:
    now, read = clock(), {Path(outcome.source).resolve() for outcome in outcomes}
    for outcome in outcomes:
        for fault in outcome.faults:
            errors.print(f"repzone: {outcome.source}: {fault}", markup=False, soft_wrap=True)
        if outcome.unmatched > outcome.lines // 2:
            errors.print(
                f"repzone: {outcome.source}: {outcome.unmatched:,} of {outcome.lines:,} lines are of no known "
                "form; is this a mail log, or should --format say what it is?",
                markup=False,
                soft_wrap=True,
            )
        if outcome.absurd:
            errors.print(
                f"repzone: {outcome.source}: {outcome.absurd} events with an absurd date left out", markup=False
            )
        if unread := [file for file in outcome.unread if file not in read]:
            errors.print(f"repzone: {outcome.source}: {describe_unread(unread)}", markup=False, soft_wrap=True)
        if ahead := describe_ahead(outcome.newest, now):
            errors.print(f"repzone: {outcome.source}: {ahead}", markup=False, soft_wrap=True)
        if outcome.busy and output is Output.human:
            console.print(f"{outcome.source} is being read by another repzone; left to it.", markup=False)
    if output is Output.json:
        for outcome in outcomes:
            print_json(_outcome_fields(outcome, now))
        return
    made = table("!source", ">lines", ">errors", ">spam", ">virus", ">auth", ">hits", ">skipped", ">lag")
    for outcome in outcomes:
        if not outcome.busy:
            counts = (outcome.events[name] for name in ("errors", "spam", "virus", "auth"))
            numbers = (outcome.lines, *counts, outcome.hits, outcome.skipped)
            lag = _lag(outcome, now)
            behind = format_left(lag) if lag is not None else ""
            made.add_row(
                escape(outcome.source),
                *(f"{number:,}" for number in numbers),
                "ahead" if describe_ahead(outcome.newest, now) else behind,
            )
    if made.row_count:
        print_table(made)


def _lag(outcome: Outcome, now: int) -> int | None:
    """Give how long ago the newest line was written, in seconds; None when no line told."""
    return None if outcome.newest is None else max(now - outcome.newest, 0)


def _outcome_fields(outcome: Outcome, now: int) -> dict[str, object]:
    return {
        "source": outcome.source,
        "busy": outcome.busy,
        "lines": outcome.lines,
        "events": dict(outcome.events),
        "hits": outcome.hits,
        "skipped": outcome.skipped,
        "unmatched": outcome.unmatched,
        "newest": utc(outcome.newest) if outcome.newest is not None else None,
        "lag": _lag(outcome, now),
    }
