"""`repzone audit`: who did what by hand, when and why."""

from collections.abc import Sequence
from typing import Annotated

import typer

from repzone.cli.acting import looking
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_since
from repzone.cli.output import console, print_json, print_table, shown, table, utc
from repzone.cli.wall import clock
from repzone.config import load
from repzone.store.acts import Act, load_acts
from repzone.zone.texts import format_details, format_instant


def audit(
    since: Annotated[str, typer.Option("--since", metavar="T", help="From when on: 30d ago, or 2026-11-24.")] = "30d",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """List what was done by hand: who, what, when and why; the newest first. Networks of the configuration too.

    Example: repzone audit --since 7d
    """
    began = parse_since(since, clock())
    with looking(load(config)) as (connection, _):
        acts = load_acts(connection, since=began, most=limit)
    if output is Output.json:
        for one in acts:
            print_json(_fields(one))
    else:
        _print(acts, began)


def _fields(one: Act) -> dict[str, object]:
    words = {"author": one.author, "verb": one.verb, "subject": one.subject, "reason": one.reason}
    return {"at": utc(one.at), **words, "details": dict(one.details)}


def _print(acts: Sequence[Act], began: int) -> None:
    if not acts:
        console.print(f"Nothing was done by hand since {format_instant(began)}.")
        return
    made = table("!when", "who", "what", "why", "details")
    for one in acts:
        what = shown(f"{one.verb} {one.subject}")
        made.add_row(
            format_instant(one.at), shown(one.author), what, shown(one.reason), shown(format_details(one.details))
        )
    print_table(made)
