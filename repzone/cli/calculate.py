"""`repzone calculate`: events to listings."""

from typing import Annotated

import typer

from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, counted, print_json
from repzone.cli.wall import clock
from repzone.config import load
from repzone.jobs import calculate as job
from repzone.jobs import sweep


def calculate(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be listed, and store nothing.")] = False,
) -> None:
    """Decide for every client with new events whether it is to be listed.

    Runs as often as you like, several at once too; `ingest` calls it by itself.

    Example: repzone calculate --dry-run
    """
    settings = load(config)
    with open_database(settings, clock, deciding=True) as engine:
        print_outcome(job.run(engine, clock, dry_run=dry_run), output, dry_run=dry_run)
        if not dry_run:
            sweep.run(engine, clock, sweep.Retention.of(settings))


def print_outcome(outcome: job.Outcome, output: Output, *, dry_run: bool = False) -> None:
    """Say how many clients were looked at and what is listed now."""
    if output is Output.json:
        listings = {"listings": dict(outcome.listings), "ended": outcome.ended}
        print_json({"clients": outcome.clients, **listings, "dry_run": dry_run})
        return
    found = ", ".join(f"{category} {number:,}" for category, number in sorted(outcome.listings.items()))
    verb = "would begin" if dry_run else ("begins" if outcome.listings.total() == 1 else "begin")
    new = counted(outcome.listings.total(), "listing")
    ended = f" ({outcome.ended:,} of them ended already)" if outcome.ended else ""
    console.print(
        f"Decided for {counted(outcome.clients, 'client')}: {new} {verb}" + (f": {found}{ended}." if found else ".")
    )
