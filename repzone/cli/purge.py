"""`repzone purge`: events that were never true are taken out of the database."""

from typing import Annotated

import typer

from repzone.cli.acting import act
from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption, YesOption, complete_reason, one_of, parse_since
from repzone.cli.output import console, counted, plain, print_json, utc
from repzone.cli.wall import clock
from repzone.config import load
from repzone.reasons import CATALOGUE
from repzone.store.engine import answering
from repzone.store.manual import find_sources
from repzone.store.purge import Faulty, Found, find_faulty
from repzone.store.purge import purge as delete
from repzone.zone.texts import format_instant


def purge(
    source: Annotated[
        str | None, typer.Option("--source", metavar="S", help="Those of a log: host, path, or host:path.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="R", help="Those of a reason.", autocompletion=complete_reason)
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="T", help="Those since: 30d, 4h, 2026-11-24.")] = None,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Your words, for `repzone audit`.")] = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Delete events that were never true: of a log that was read wrongly, of a reason that was seen where none was.

    First says how many that would be. Listings stay as they are: `repzone rebuild` compares them with what is left.

    Example: repzone purge --reason unknown_command --since 2d --yes
    """
    if source is None and reason is None:
        raise typer.BadParameter("say which events: --source or --reason")
    one_of(reason, CATALOGUE, "--reason")
    now = clock()
    start = parse_since(since, now) if since is not None else None
    subject = ", ".join(
        f"{name} {value}" for name, value in (("source", source), ("reason", reason), ("since", since)) if value
    )
    with open_database(load(config), clock) as engine, answering(), engine.begin() as connection:
        faulty = Faulty(find_sources(connection, source) if source is not None else None, reason, start)
        found = find_faulty(connection, faulty)
        deleted = delete(connection, faulty, act(now, "purge", subject, because)) if yes else 0
    if output is Output.json:
        first, last = (utc(at) if at is not None else None for at in (found.first, found.last))
        print_json({"events": found.events, "clients": found.clients, "first": first, "last": last, "deleted": deleted})
    else:
        _say(found, deleted, subject)


def _say(found: Found, deleted: int, subject: str) -> None:
    if found.first is None or found.last is None:
        console.print(f"No events of {plain(subject)}.", markup=False)
        return
    what = f"{counted(found.events, 'event')} of {counted(found.clients, 'client')}"
    if not deleted:
        span = f"{format_instant(found.first)} to {format_instant(found.last)}"
        console.print(f"{what}, {span}, would be deleted. Nothing was: add --yes.")
        return
    console.print(f"{counted(deleted, 'event')} of {counted(found.clients, 'client')} are deleted.")
    console.print(f"See which listings they led to: repzone rebuild --since {utc(found.first)}")
