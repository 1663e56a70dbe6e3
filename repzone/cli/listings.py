"""`repzone listings`: who is in the zone, why and until when."""

from typing import Annotated

import typer
from rich.text import Text

from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, counted, print_json, table, utc
from repzone.cli.wall import clock
from repzone.config import load
from repzone.model import Listing
from repzone.reasons import CATEGORIES
from repzone.store.engine import answering
from repzone.store.listings import find_listings
from repzone.zone.texts import format_instant, format_left, ordinal


def listings(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    category: Annotated[
        str | None, typer.Option("--category", metavar="C", help=f"Only one of {', '.join(CATEGORIES)}.")
    ] = None,
) -> None:
    """List who is in the zone now, or with --all ever was; the ones that end last first.

    Example: repzone listings --category spam -o json
    """
    if category is not None and category not in CATEGORIES:
        raise typer.BadParameter(f"{category!r} is none of {', '.join(CATEGORIES)}", param_hint="--category")
    now = clock()
    with open_database(load(config), clock) as engine, answering(), engine.connect() as connection:
        found = find_listings(connection, now, everything=everything, category=category)
    if output is Output.json:
        for listing in found:
            print_json(listing_fields(listing, now))
    else:
        _print_table(found, now, everything=everything)


def listing_fields(listing: Listing, now: int) -> dict[str, object]:
    """Give a listing as programs see it."""
    return {
        "client": str(listing.client),
        "category": listing.category,
        "offence": listing.offence,
        "began": utc(listing.began),
        "expires": utc(listing.expires),
        "state": listing.state_at(now),
        "reasons": dict(listing.reasons),
    }


def _print_table(found: list[Listing], now: int, *, everything: bool) -> None:
    if not found:
        console.print("Nobody was ever listed." if everything else "Nobody is listed now.")
        return
    made = table("client", "category", ">offence", "began", "until", ">left", "state", "reasons")
    for listing in found:
        state = listing.state_at(now)
        made.add_row(
            *(str(listing.client), listing.category, ordinal(listing.offence)),
            *(format_instant(listing.began), format_instant(listing.expires)),
            format_left(listing.expires - now) if state == "active" else "",
            Text(state, style="red" if state == "active" else "dim"),
            reasons_text(listing),
        )
    console.print(made)
    console.print(f"{counted(len(found), 'listing')}." if everything else f"{counted(len(found), 'listing')} now.")


def reasons_text(listing: Listing) -> str:
    """Write what was counted, the most frequent reason first; the operator's words for a manual listing."""
    counts = sorted(listing.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count}" for reason, count in counts) or listing.comment
