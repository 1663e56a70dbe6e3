"""`repzone listings`: who is in the zone, why and until when."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from repzone.cli.database import open_database
from repzone.cli.listed import listing_fields, reasons_text
from repzone.cli.options import (
    ConfigOption,
    Output,
    OutputOption,
    complete_reason,
    one_of,
    parse_network,
    parse_since,
)
from repzone.cli.output import console, counted, print_json, print_table, shown, table
from repzone.cli.wall import clock
from repzone.config import load
from repzone.model import STATES, Listing
from repzone.reasons import CATALOGUE, CATEGORIES
from repzone.store.engine import answering
from repzone.store.find import Wanted, count_listings, stream_listings
from repzone.zone.texts import format_instant, format_left, ordinal

PAGE = 1000
"""So many are shown to people unless they ask for more: a table is laid out as a whole."""

SPARE = ("state", "began", "left", "offence", "reasons")
"""What is left out first where a terminal is too narrow; `explain` has all."""


class Sort(StrEnum):
    """What the first of the listings has most of."""

    until = "until"
    began = "began"
    client = "client"
    offence = "offence"


def listings(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    category: Annotated[
        str | None,
        typer.Option(
            "--category",
            metavar="C",
            help=f"Only one of {', '.join(CATEGORIES)}.",
            autocompletion=lambda: list(CATEGORIES),
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", metavar="CIDR", help="Only clients in this network, for example 192.0.2.0/24."),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="S",
            help=f"Only one of {', '.join(STATES)}, ended or not.",
            autocompletion=lambda: list(STATES),
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="R",
            help="Only those whose evidence has it, such as auth_failed.",
            autocompletion=complete_reason,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Only those that began since: 4h ago, or 2026-11-24.")
    ] = None,
    sort: Annotated[
        Sort, typer.Option("--sort", help="The last to end, the last begun, or the highest first.")
    ] = Sort.until,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help=f"At most N; people get {PAGE:,} unless said.")
    ] = None,
) -> None:
    """List who is in the zone now, or with --all ever was; the ones that end last first.

    Example: repzone listings --category spam --network 192.0.2.0/24 --sort offence
    """
    now = clock()
    wanted = Wanted(
        everything=everything,
        category=one_of(category, CATEGORIES, "--category"),
        network=parse_network(network) if network else None,
        state=one_of(state, STATES, "--state"),
        reason=one_of(reason, tuple(CATALOGUE), "--reason"),
        since=parse_since(since, now) if since else None,
    )
    with open_database(load(config), clock) as engine, answering(), engine.connect() as connection:
        if output is Output.json:
            for listing in stream_listings(connection, wanted, now, sort.value, limit):
                print_json(listing_fields(listing, now))
            return
        most = limit or PAGE
        found = list(stream_listings(connection, wanted, now, sort.value, most + 1))
        total = count_listings(connection, wanted, now) if len(found) > most else len(found)
    _print_table(found[:most], wanted, total, now)


def _print_table(found: Sequence[Listing], wanted: Wanted, total: int, now: int) -> None:
    if not found:
        ended = wanted.everything or wanted.state is not None
        nobody = "Nobody was ever listed." if wanted == Wanted(everything=True) else "There is no such listing."
        console.print(nobody if ended else "Nobody is listed now.")
        return
    rows = [_cells(listing, now) for listing in found]
    made = table(*rows[0])
    for row in rows:
        made.add_row(*row.values())
    told = "state" if wanted.everything or wanted.state else ""
    print_table(made, [name for name in SPARE if name != told])
    said = counted(total, "listing") + ("" if wanted.everything or wanted.state else " now")
    if len(found) < total:
        console.print(f"The first {len(found):,} of {said}; --limit shows more, -o json all.")
    else:
        console.print(f"{said}.")


def _cells(listing: Listing, now: int) -> dict[str, str | Text]:
    """Give what stands in each column of a listing's row."""
    state = listing.state_at(now)
    return {
        "!client": str(listing.client),
        "!category": listing.category,
        ">offence": ordinal(listing.offence),
        "!began": format_instant(listing.began),
        "!until": format_instant(listing.expires),
        ">left": format_left(listing.expires - now) if state == "active" else "",
        "!state": Text(state, style=STYLES.get(state, "dim")),
        "reasons": shown(reasons_text(listing)),
    }


STYLES = {"active": "red", "held": "bold yellow"}
"""How a state that matters now is shown."""
