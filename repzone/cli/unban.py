"""`repzone unban`: end listings, of one client or of all that were listed wrongly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from repzone.cli.acting import act, acting, by_category, keys_of, looking, said, some
from repzone.cli.listed import listing_fields
from repzone.cli.options import (
    ConfigOption,
    Output,
    OutputOption,
    YesOption,
    complete_reason,
    parse_network,
    parse_past,
)
from repzone.cli.output import console, counted, print_json, utc
from repzone.cli.wall import clock
from repzone.config import load
from repzone.errors import UsageError
from repzone.model import Client, Listing, State
from repzone.reasons import CATALOGUE, Category
from repzone.store.engine import Connection
from repzone.store.find import Wanted, count_listings, find_listings
from repzone.store.manual import Choice, Preview, find_sources, preview
from repzone.store.manual import unban as store_unban
from repzone.zone.texts import format_instant


def unban(
    address: Annotated[str | None, typer.Argument(metavar="IP|CIDR", help="What is listed.")] = None,
    false_positive: Annotated[
        bool, typer.Option("--false-positive", help="It was wrong: later listings are no longer for it.")
    ] = False,
    category: Annotated[Category | None, typer.Option("--category", metavar="C", help="Only this category.")] = None,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for `repzone audit`.")] = "",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="All begun since then, of IP or of anybody (2h, 2026-11-24T08:00Z)."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="R",
            help="With --since: whose evidence has it (auth_failed).",
            autocompletion=complete_reason,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="S", help="With --since: by a log's path, host or host:path.")
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """End the listings of an address, held ones too; or with --since those of many that were listed wrongly.

    Offences from this second on count again, older ones never. With --false-positive it is as if the listing had
    never been: the next one is not longer for it.

    What --since means is only shown until --yes; with --false-positive it takes back those too that have ended
    meanwhile. Bans by hand of anybody are left alone unless --category manual names them.

    Exit code 1 when only a network around the address is listed.

    Example: repzone unban 192.0.2.1 --false-positive --because "our customer, mailbox cleaned"

    Example: repzone unban 192.0.2.1 --since 3d --false-positive --yes

    Example: repzone unban --since 2h --category auth --source /var/log/mail.log --false-positive --yes
    """
    client = parse_network(address) if address is not None else None
    if since is not None:
        began = parse_past(since, clock())
        choice = Choice(category=category, since=began, reason=_know_reason(reason), ended=false_positive)
        _many(client, choice, source, because, config, output, yes=yes)
        return
    if client is None:
        raise UsageError("name an address, or with --since when the listings began; see `repzone unban --help`")
    if reason or source:
        raise UsageError("--reason and --source choose with --since; --because says why you do it")
    _one(client, category, because, config, output, false_positive=false_positive)


def _know_reason(reason: str | None) -> str | None:
    if reason is not None and reason not in CATALOGUE:
        near = get_close_matches(reason, CATALOGUE)
        like = f"; write {' or '.join(near)}" if near else "; --because says why you do it"
        raise typer.BadParameter(f"there is no reason {reason!r}{like}", param_hint="--reason")
    return reason


@dataclass(frozen=True, slots=True)
class _Ended:
    """What was ended of a client, networks around it that are still listed, listings inside it, and the last listing
    that had ended before.
    """

    client: Client
    listings: Sequence[Listing]
    wider: Sequence[Listing]
    inside: int
    before: Listing | None


def _one(
    client: Client,
    category: Category | None,
    because: str,
    config: Path | None,
    output: Output,
    *,
    false_positive: bool,
) -> None:
    with acting(config) as (connection, now):
        keys = keys_of(connection, client)
        found = find_listings(connection, now, everything=True, category=category, client=client)
        listed = [one for one in found if one.state in ("active", "held") and now < one.expires]
        past = [one for one in found if one.client in keys and one.state_at(now) in ("expired", "released")]
        mine = [one for one in listed if one.client in keys]
        around = [one for one in listed if one.client not in keys and one.state == "active"]
        if mine:
            done = act(now, "unban", client, because)
            store_unban(connection, Choice(keys, category), done, false_positive=false_positive)
        inside = 0 if mine else count_listings(connection, Wanted(network=client, category=category), now)
    ended = _Ended(client, mine, around, inside, max(past, key=lambda one: one.began, default=None))
    if output is Output.json:
        state: State = "reversed" if false_positive else "released"
        fields = [listing_fields(replace(one, state=state, expires=max(one.began, now)), now) for one in mine]
        wider = [listing_fields(one, now) for one in around]
        print_json({"client": str(client), "ended": fields, "wider": wider})
    else:
        _print_one(ended, false_positive=false_positive)
    if around and not mine:
        raise typer.Exit(1)


def _print_one(ended: _Ended, *, false_positive: bool) -> None:
    client = ended.client
    for one in ended.listings:
        who = f"{one.client}" if one.client == client else f"{client} ({one.client})"
        held = "held" if one.state == "held" else "listed"
        until = format_instant(one.expires)
        mistake = " It was a false positive, and makes no later listing longer." if false_positive else ""
        console.print(
            f"{who} is no longer {held} for {one.category}, as it was until {until}.{mistake}", soft_wrap=True
        )
    for one in ended.wider:
        still = "still" if ended.listings else "not listed itself, but"
        part = f"listed as part of {one.client} for {one.category}"
        console.print(
            f"{client} is {still} {part} until {format_instant(one.expires)}: "
            f"`repzone unban {one.client}` ends that, `repzone allow add {client} --comment WHY` makes a hole in it.",
            soft_wrap=True,
        )
    if not ended.listings and not ended.wider:
        console.print(f"{client} is not listed.")
        if ended.before is not None and false_positive:
            command = f"repzone unban {client} --since {utc(ended.before.began)} --false-positive"
            console.print(
                f"It was, for {ended.before.category}, until {format_instant(ended.before.expires)}: "
                f"`{command}` takes that back.",
                soft_wrap=True,
            )
        if ended.inside:
            inside = counted(ended.inside, "listing")
            console.print(f"Inside it there {'is' if ended.inside == 1 else 'are'} {inside}.", end=" ")
            console.print(f"See `repzone listings --network {client}`.", soft_wrap=True)


def _many(
    client: Client | None,
    choice: Choice,
    source: str | None,
    because: str,
    config: Path | None,
    output: Output,
    *,
    yes: bool,
) -> None:
    with acting(config) if yes else looking(load(config)) as (connection, now):
        keys = None if client is None else keys_of(connection, client)
        choice = replace(_of_source(connection, choice, source), keys=keys)
        found = preview(connection, choice, now)
        if yes:
            done = act(now, "unban", _subject(client, choice, source), because)
            store_unban(connection, choice, done, false_positive=choice.ended)
    if output is Output.json:
        numbers = {"listings": dict(found.running), "held": found.held, "ended": found.ended}
        print_json({"dry_run": not yes, **numbers, "clients": [str(client) for client in found.clients]})
    else:
        _print_many(found, because, false_positive=choice.ended, yes=yes)


def _of_source(connection: Connection, choice: Choice, source: str | None) -> Choice:
    return choice if source is None else replace(choice, sources=find_sources(connection, source))


def _subject(client: Client | None, choice: Choice, source: str | None) -> str:
    """Write what listings were chosen by."""
    named = {"category": choice.category, "reason": choice.reason, "source": source}
    since = f"{f'{client}, ' if client else ''}listings since {utc(choice.since or 0)}"
    return ", ".join([since, *(f"{name} {value}" for name, value in named.items() if value)])


def _print_many(found: Preview, because: str, *, false_positive: bool, yes: bool) -> None:
    running = sum(found.running.values())
    if not running and not found.ended:
        console.print("No listing is like that.")
        return
    does, undoes = ("Ended", "Taken back") if yes else ("Would end", "Would take back")
    held = f", {found.held:,} of them held" if found.held else ""
    what = f" ({by_category(found.running)}{held})" if running else ""
    console.print(f"{does} {counted(running, 'listing')}{what}{said(because)}.", markup=False, soft_wrap=True)
    if false_positive:
        console.print(f"{undoes} {counted(found.ended, 'listing')} that had ended.", soft_wrap=True)
    named = some(found.clients, found.total)
    console.print(f"Clients, the last first: {named}.", soft_wrap=True)
    if not yes:
        console.print("Nothing is changed yet: --yes does it.")
