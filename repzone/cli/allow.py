"""`repzone allow`: who is never listed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from repzone.cli.acting import act, acting, looking, some
from repzone.cli.networks import parse_list
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_length, parse_network
from repzone.cli.output import console, counted, plain, print_json, print_table, shown, stdin, table, utc
from repzone.cli.progress import lift_bar
from repzone.config import ENVIRONMENT, Settings, load
from repzone.errors import RepzoneError
from repzone.model import RESERVED, V4, V6, Client, Exemption, Exemptions, Listing
from repzone.store.exemptions import Exempted, add_exemptions, end_exemption, load_exemptions
from repzone.store.find import find_listings
from repzone.store.lookup import OWN
from repzone.store.manual import describe
from repzone.zone.texts import format_instant

app = typer.Typer(
    help="Exemptions: whose offences never count, and who is never answered as listed.",
    no_args_is_help=True,
    add_completion=False,
)
WIDEST = {V4: 8, V6: 16}
"""Prefixes shorter than this, in bits, are exempted only when that is confirmed."""

ForOption = Annotated[str | None, typer.Option("--for", metavar="30d", help="How long; for good unless said.")]
WideOption = Annotated[
    bool, typer.Option("--yes", help=f"A network wider than /{WIDEST[V4]}, or /{WIDEST[V6]} of IPv6.")
]
NetArgument = Annotated[str, typer.Argument(metavar="NET", help="An address, or a network.")]


@app.command()
def add(
    network: NetArgument,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Who that is, and why.")],
    length: ForOption = None,
    yes: WideOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Exempt a network from now on: its offences never count, and no look-up finds it listed.

    Listings wholly inside are lifted at once, and make no later one longer; in a wider one it is a hole. Adding it
    again replaces comment and end.

    Example: repzone allow add 192.0.2.0/24 --comment "our second office"

    Example: repzone allow add 198.51.100.7 --comment "customer is cleaning up, ticket 4711" --for 30d
    """
    wanted, seconds = parse_network(network), _parse_for(length)
    if not comment.strip():
        raise typer.BadParameter("say who that is, and why", param_hint="--comment")
    _check_width([wanted], yes=yes)
    reserved = _reserved(wanted)
    if reserved is not None:
        raise RepzoneError(f"{wanted} never is listed: {reserved} is reserved address space")
    with acting(config) as (connection, now), lift_bar() as progress:
        before = Exemptions(load_exemptions(connection)).find(wanted, now)
        ended = None if seconds is None else now + seconds
        done = add_exemptions(connection, {wanted: comment}, ended, act(now, "allow add", wanted, comment), progress)
        around = find_listings(connection, now, client=wanted)
    if output is Output.json:
        print_json({"network": str(wanted), "until": ended and utc(ended), **_fields(done)})
        return
    already = " already, just so" if done.same else "; comment and end are new" if done.replaced else " from now on"
    until = f", until {format_instant(ended)}" if ended is not None else ""
    console.print(f"{wanted} is exempt{already}{until}: {plain(comment)}.", markup=False, soft_wrap=True)
    _print_lifted(done)
    _print_around(wanted, around)
    if before is not None and before.network != wanted:
        console.print(f"It lies in another exemption: {plain(describe(before))}.", markup=False, soft_wrap=True)


@app.command()
def remove(
    network: NetArgument,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for `repzone audit`.")] = "",
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """End the exemption of exactly this network now; what happened until now never counts.

    Listings that it lifted stay lifted. Own networks come from the configuration, and are taken out there.

    Example: repzone allow remove 192.0.2.0/24 --because "office closed"
    """
    wanted = parse_network(network)
    settings = load(config)
    with acting(config) as (connection, now):
        number = end_exemption(connection, wanted, act(now, "allow remove", wanted, because))
        left = Exemptions(load_exemptions(connection)).find(wanted, now)
        if not number:
            raise RepzoneError(_why_not(wanted, left, settings))
    if output is Output.json:
        print_json({"network": str(wanted), "still": str(left.network) if left else None})
        return
    console.print(f"{wanted} is no longer exempt.")
    if left is not None:
        console.print(f"But it lies in another exemption: {plain(describe(left))}.", markup=False, soft_wrap=True)


@app.command("list")
def show(
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """List who is exempt: own networks and what was added by hand, with who did it and why.

    Example: repzone allow list --all
    """
    with looking(load(config)) as (connection, now):
        found = [one for one in load_exemptions(connection) if everything or one.ended is None or now < one.ended]
    found.sort(key=lambda one: (one.network, one.added))
    if output is Output.json:
        for one in found:
            print_json(_exemption_fields(one, now))
    else:
        _print_table(found, now)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One network a line; - is standard input.")],
    comment: Annotated[
        str, typer.Option("--comment", metavar="TEXT", help="For the lines that have none of their own.")
    ] = "",
    length: ForOption = None,
    yes: WideOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Exempt every network of a file from now on, or none of them when a line is at fault.

    What stands behind a network or behind # is its comment. Lists as Postfix has them in mynetworks and CIDR tables,
    and simple ones of rbldnsd, can be read too. Reserved space is passed over: it never is listed.

    Example: repzone allow import partners.txt --comment "partners of the spring fair" --for 90d
    """
    seconds = _parse_for(length)
    name = "standard input" if file == "-" else file
    read = _read(file, name, comment)
    _check_width(read.networks, yes=yes)
    with acting(config) as (connection, now), lift_bar() as progress:
        ended = None if seconds is None else now + seconds
        done = add_exemptions(connection, read.networks, ended, act(now, "allow import", name, comment), progress)
    if output is Output.json:
        print_json({"file": file, "until": ended and utc(ended), **_fields(done), "reserved": read.reserved})
        return
    until = f", until {format_instant(ended)}" if ended is not None else ""
    console.print(
        f"{counted(len(read.networks), 'network')} of {plain(name)} {'is' if len(read.networks) == 1 else 'are'} exempt"
        f"{until}: {done.new:,} new, {done.replaced:,} with another comment or end, {done.same:,} as before.",
        markup=False,
        soft_wrap=True,
    )
    if read.reserved:
        console.print(f"Passed over {counted(read.reserved, 'network')} of reserved space, never listed anyway.")
    _print_lifted(done)


@dataclass(frozen=True, slots=True)
class _Read:
    """The networks of a file with their comments, and how many others are reserved space."""

    networks: Mapping[Client, str]
    reserved: int


def _read(file: str, name: str, comment: str) -> _Read:
    try:
        text = stdin().read() if file == "-" else Path(file).read_text("utf-8")
        found = list(parse_list(text.removeprefix("\ufeff").splitlines()))  # as Windows editors begin a file
    except OSError as error:
        raise RepzoneError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RepzoneError(f"{name}: is not UTF-8 text") from None
    except ValueError as error:
        raise RepzoneError(f"{name}: {error}; nothing is exempted") from None
    networks: dict[Client, str] = {}
    reserved: set[Client] = set()
    for network, words in found:
        if _reserved(network) is not None:
            reserved.add(network)
        else:
            networks.setdefault(network, words or comment or f"from {Path(name).name}")
    if not networks:
        raise RepzoneError(f"{name}: there is no network in it" + (" but reserved space" if reserved else ""))
    return _Read(networks, len(reserved))


def _parse_for(text: str | None) -> int | None:
    if text is None:
        return None
    seconds = parse_length(text)
    if not seconds:
        raise typer.BadParameter("an exemption lasts at least 1s", param_hint="--for")
    return seconds


def _check_width(networks: Iterable[Client], *, yes: bool) -> None:
    for network in networks:
        if network.length < WIDEST[network.version] and not yes:
            raise RepzoneError(f"{network} is a great part of the Internet: --yes exempts it all the same")


def _reserved(network: Client) -> Client | None:
    return next((reserved for reserved in RESERVED if reserved.covers(network)), None)


def _why_not(network: Client, left: Exemption | None, settings: Settings) -> str:
    """Say why there is no exemption that can be removed."""
    if left is None:
        return f"{network} is not exempt"
    if left.author != OWN or left.network != network:
        return f"{network} is not exempt by itself: {describe(left)}"
    variable = f"{ENVIRONMENT}OWN_NETWORKS"
    where = f"${variable}" if variable in os.environ else str(settings.file)
    return f"{network} is an own network: take it out of own_networks in {where}"


def _fields(done: Exempted) -> dict[str, object]:
    lifted = [{"client": str(client), "category": category} for client, category in done.lifted]
    return {"new": done.new, "replaced": done.replaced, "same": done.same, "lifted": lifted}


def _exemption_fields(one: Exemption, now: int) -> dict[str, object]:
    return {
        "network": str(one.network),
        "added": utc(one.added),
        "ended": utc(one.ended) if one.ended is not None else None,
        "applies": one.holds_at(now),
        "comment": one.comment,
        "author": one.author,
    }


def _print_lifted(done: Exempted) -> None:
    if done.lifted:
        named = some([f"{client} ({category})" for client, category in done.lifted], len(done.lifted))
        console.print(f"Lifted {counted(len(done.lifted), 'listing')}: {named}.", markup=False, soft_wrap=True)


def _print_around(network: Client, around: Sequence[Listing]) -> None:
    for one in around:
        until = format_instant(one.expires)
        console.print(f"{one.client} stays listed for {one.category} until {until}; {network} is a hole in it.")


def _print_table(found: Sequence[Exemption], now: int) -> None:
    if not found:
        console.print("Nobody is exempt but reserved address space.")
        return
    made = table("!network", "!since", "!until", "by", "comment")
    for one in found:
        made.add_row(
            str(one.network),
            "ever" if one.added == 0 else format_instant(one.added),
            "" if one.ended is None else format_instant(one.ended),
            *(shown(one.author), shown(one.comment)),
            style="" if one.holds_at(now) else "dim",
        )
    print_table(made)
