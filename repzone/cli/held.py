"""`repzone held`: listings that the brake holds, because more began within an hour than the policy allows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from repzone.cli.acting import BecauseOption, act, acting, by_category, keys_of, looking, said, some
from repzone.cli.listed import listing_fields, reasons_text
from repzone.cli.listings import SPARE
from repzone.cli.options import ConfigOption, Output, OutputOption, YesOption, parse_network
from repzone.cli.output import console, counted, print_json, print_table, shown, table
from repzone.config import load
from repzone.errors import UsageError
from repzone.model import Client, Listing
from repzone.reasons import Category
from repzone.store.engine import Connection
from repzone.store.held import drop_held, find_held, release_held
from repzone.zone.texts import format_instant, format_left, ordinal

app = typer.Typer(
    help="Listings that are held, since too many began at once: look at them, publish them, or drop them.",
    no_args_is_help=True,
    add_completion=False,
)
CategoryOption = Annotated[Category | None, typer.Option("--category", metavar="C", help="Only this category.")]
AddressesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="IP|CIDR", help="Whose listings; of a network all that lie in it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All that are held; only shown until --yes.")]


@app.command("list")
def show(category: CategoryOption = None, config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """List what is held, the last begun first. Nobody is refused for it until it is released.

    Example: repzone held list --category auth
    """
    with looking(load(config)) as (connection, now):
        found = find_held(connection, now, category=category)
    if output is Output.json:
        for one in found:
            print_json(listing_fields(one, now))
    else:
        _print_table(found, now)


@app.command()
def release(
    addresses: AddressesArgument = None,
    everything: AllOption = False,
    category: CategoryOption = None,
    because: BecauseOption = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Publish listings that are held; begin and end stay as they were. One that has ended meanwhile is expired.

    Where more than one client is held in a network, that is only shown until --yes.

    Exit code 1 when one of the addresses or networks has nothing that is held.

    Example: repzone held release --all --category spam --because "a real wave" --yes
    """
    _decide("release", addresses, category, because, config, output, everything=everything, yes=yes)


@app.command()
def drop(
    addresses: AddressesArgument = None,
    everything: AllOption = False,
    category: CategoryOption = None,
    because: BecauseOption = "",
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """End listings that are held, as if they had never been. Offences from now on count again, older ones never.

    Where more than one client is held in a network, that is only shown until --yes.

    Exit code 1 when one of the addresses or networks has nothing that is held.

    Example: repzone held drop 192.0.2.1 --because "our own newsletter"

    Example: repzone held drop 192.0.2.0/24 --yes
    """
    _decide("drop", addresses, category, because, config, output, everything=everything, yes=yes)


def _decide(
    verb: str,
    addresses: Sequence[str] | None,
    category: Category | None,
    because: str,
    config: Path | None,
    output: Output,
    *,
    everything: bool,
    yes: bool,
) -> None:
    if bool(addresses) == everything:
        raise UsageError("name addresses or networks, or --all")
    clients = [parse_network(address) for address in addresses or ()]
    subject = ", ".join(map(str, clients)) if clients else f"all{f' of {category}' if category else ''}"
    with acting(config) if clients or yes else looking(load(config)) as (connection, now):
        keys = {client: keys_of(connection, client) for client in clients}
        held = find_held(connection, now, category=category)
        found = held if everything else _choose(held, keys)
        done = yes or not (everything or _is_wide(clients, found))
        if done:
            wanted = None if everything else frozenset(one.client for one in found)
            _do(connection, verb, wanted, category, because, subject, now)
    missed = [client for client in clients if not _choose(found, {client: keys[client]})]
    ended = [one for one in found if one.expires <= now]
    if output is Output.json:
        fields = [listing_fields(one, now) for one in found]
        print_json(
            {"dry_run": not done, "listings": fields, "ended": len(ended), "missed": [str(one) for one in missed]}
        )
    else:
        _print_decided(verb, found, ended, missed, because, done=done)
    if missed:
        raise typer.Exit(1)


def _choose(held: Sequence[Listing], keys: Mapping[Client, frozenset[Client]]) -> list[Listing]:
    """Give the listings of clients and of what lies in networks; `keys` are what each may be listed as."""
    wanted = frozenset().union(*keys.values())
    networks = [client for client in keys if not client.is_address]
    return [one for one in held if one.client in wanted or any(network.covers(one.client) for network in networks)]


def _is_wide(clients: Sequence[Client], found: Sequence[Listing]) -> bool:
    """Tell whether more than one client lies in one that was named."""
    return any(len({one.client for one in found if client.covers(one.client)}) > 1 for client in clients)


def _do(
    connection: Connection,
    verb: str,
    keys: frozenset[Client] | None,
    category: Category | None,
    because: str,
    subject: str,
    now: int,
) -> None:
    decision = act(now, f"held {verb}", subject, because)
    if verb == "release":
        release_held(connection, keys, category, decision)
    else:
        drop_held(connection, keys, category, decision)


def _print_decided(
    verb: str, found: Sequence[Listing], ended: Sequence[Listing], missed: Sequence[Client], because: str, *, done: bool
) -> None:
    for client in missed:
        console.print(f"{client} has no listing that is held.", style="yellow")
    if not found:
        if not missed:
            console.print("Nothing is held.")
        return
    counts = Counter(one.category for one in sorted(found, key=lambda one: one.category))
    does = {"release": ("Would release", "Released"), "drop": ("Would drop", "Dropped")}[verb][done]
    what = f"{does} {counted(len(found), 'listing')} ({by_category(counts)}){said(because)}."
    console.print(what, markup=False, soft_wrap=True)
    console.print(f"Clients: {some([one.client for one in found], len(found))}.", soft_wrap=True)
    if ended and verb == "release":
        are = "has ended and is" if len(ended) == 1 else "have ended and are"
        console.print(f"{len(ended):,} of them {are} expired, not published.")
    if not done:
        console.print("Nothing is changed yet: --yes does it.")


def _print_table(found: Sequence[Listing], now: int) -> None:
    if not found:
        console.print("Nothing is held.")
        return
    made = table("!client", "!category", ">offence", "!began", "!until", ">left", "reasons")
    for one in found:
        made.add_row(
            *(str(one.client), one.category, ordinal(one.offence)),
            *(format_instant(one.began), format_instant(one.expires)),
            format_left(one.expires - now) if now < one.expires else Text("ended", style="dim"),
            shown(reasons_text(one)),
        )
    print_table(made, SPARE)
    console.print(
        f"{counted(len(found), 'listing')} held. `repzone held release` publishes them, `repzone held drop` ends them: "
        "name addresses or networks, or --all."
    )
