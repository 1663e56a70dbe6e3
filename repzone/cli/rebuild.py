"""`repzone rebuild`: listings as the events that there are now ask for."""

from typing import Annotated

import typer
from rich.text import Text

from repzone.cli.acting import act
from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption, YesOption, parse_past
from repzone.cli.output import console, counted, print_json, print_table, table, utc
from repzone.cli.progress import event_bar
from repzone.cli.wall import clock
from repzone.config import load
from repzone.jobs import rebuild as job
from repzone.policy.calculator import Decision
from repzone.store.replay import Stored
from repzone.zone.texts import format_instant, ordinal

SHOWN = 50
"""So many differences are shown to people; programs get all."""

STYLES = {"missing": "red", "changed": "yellow", "wrong": "green"}


def rebuild(
    since: Annotated[str, typer.Option("--since", metavar="T", help="How far back: 30d, 4h, 2026-11-24T08:00Z.")],
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Your words, for `repzone audit`.")] = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Decide anew on what happened since then, and show which listings would be different: after a purge, for example.

    With --yes they are corrected: what should not be listed is reversed, what should be is, others get their end and
    offence number. What operators did stays done. Events that came late stay late.

    Example: repzone rebuild --since 2d --yes --because "the new filter took newsletters for spam"
    """
    settings = load(config)
    now = clock()
    start = parse_past(since, now)
    with open_database(settings, clock, deciding=True) as engine, event_bar() as progress:
        done = act(now, "rebuild", f"since {utc(start)}", because) if yes else None
        outcome = job.run(engine, start, clock, done, progress)
    if output is Output.json:
        for one in outcome.differences:
            sides = {"stored": _fields(one.stored), "rebuilt": _fields(one.made)}
            about = {"client": str(one.client), "category": one.category, "difference": one.kind}
            print_json({**about, **sides, "corrected": yes})
    else:
        _print_table(outcome, pruned=outcome.since > start, corrected=yes)


def _fields(listing: Stored | Decision | None) -> dict[str, object] | None:
    if listing is None:
        return None
    bounds = {"began": utc(listing.began), "expires": utc(listing.expires)}
    return {**bounds, "offence": listing.offence, "state": listing.state, "points": listing.points}


def _print_table(outcome: job.Outcome, *, pruned: bool, corrected: bool) -> None:
    if pruned:
        lost = f"Events are not kept for so long: this begins at {format_instant(outcome.since)}."
        console.print(lost, style="yellow")
    found = outcome.differences
    if not found:
        console.print("Every listing is as the events ask for.")
        return
    made = table("!client", "category", "", "as stored", "as rebuilt")
    for one in found[:SHOWN]:
        kind = Text(one.kind, style=STYLES[one.kind])
        made.add_row(str(one.client), one.category, kind, _bounds(one.stored), _bounds(one.made))
    print_table(made)
    if len(found) > SHOWN:
        console.print(f"... and {counted(len(found) - SHOWN, 'other')}; all with -o json.")
    counts = {kind: sum(one.kind == kind for one in found) for kind in job.KINDS}
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in job.KINDS if counts[kind])
    console.print(
        f"{counted(len(found), 'listing')}: {said}. " + ("Corrected." if corrected else "Add --yes to correct.")
    )


def _bounds(listing: Stored | Decision | None) -> str:
    if listing is None:
        return "-"
    bounds = f"{format_instant(listing.began)} to {format_instant(listing.expires)}"
    return f"{bounds}, {ordinal(listing.offence)}, {listing.state}"
