"""`repzone check`: whether an address is listed, why and until when."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from repzone import shipped
from repzone.cli.listed import listing_fields, reasons_text
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_address
from repzone.cli.output import plain, print_json
from repzone.cli.wall import clock
from repzone.config import EMBEDDED, Settings, load, read_text
from repzone.errors import ConfigError
from repzone.model import Client
from repzone.policy.rules import SHIPPED
from repzone.store.embedded import running
from repzone.store.lookup import Held, look_up
from repzone.zone.table import Found, MemoryTable
from repzone.zone.texts import format_instant, format_left, ordinal


def check(
    addresses: Annotated[list[str], typer.Argument(metavar="IP...", help="IPv4 or IPv6 addresses.")],
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Say whether addresses are listed now, until when and for what; the same decision as the DNS.

    Exit code 0, listed or not.

    Example: repzone check 192.0.2.1 2001:db8::1
    """
    clients = [parse_address(text) for text in addresses]
    settings = load(config)
    now = clock()
    held = _look_up(settings, clients, now)
    table = MemoryTable(held.listings, held.exemptions)
    for client in clients:
        found = table.lookup(client, now)
        test_entry = found.reserved and is_test_entry(client, settings)
        if output is Output.json:
            print_json(found_fields(client, found, now, test_entry=test_entry))
        else:
            print_found(client, found, now, test_entry=test_entry)


def _look_up(settings: Settings, clients: Sequence[Client], now: int) -> Held:
    """Ask the database the short way, or, where it must be brought up to date or does not answer, the usual way."""
    private = settings.database_url == EMBEDDED
    with ExitStack() as stack:
        if private and (settings.file is not None or "state_dir" in settings.model_fields_set):
            url = stack.enter_context(running(settings.state_dir, settings.postgres_bin_dir))
        else:
            url = "" if private else settings.database_url.replace("postgresql+psycopg:", "postgresql:", 1)
        policy, held = _policy(settings), None
        if url:
            revision, own = shipped.newest_revision(), settings.own_networks
            held = look_up(url, clients, now, revision=revision, policy=policy, own_networks=own)
        return held if held is not None else _look_up_usually(settings, clients, now)


def _policy(settings: Settings) -> str:
    try:
        return SHIPPED if settings.policy_file is None else read_text(settings.policy_file)
    except ConfigError:  # the usual way says so
        return ""


def _look_up_usually(settings: Settings, clients: Sequence[Client], now: int) -> Held:
    # Imported here: what is behind these takes longer to import than all else that this command does.
    from repzone.cli.database import open_database
    from repzone.store.engine import answering
    from repzone.store.exemptions import load_exemptions
    from repzone.store.find import find_listings

    with open_database(settings, clock) as engine, answering(), engine.connect() as connection:
        listings = [listing for client in clients for listing in find_listings(connection, now, client=client)]
        return Held(listings, load_exemptions(connection))


def is_test_entry(client: Client, settings: Settings) -> bool:
    """Tell whether every block zone, or one, always lists it, to show that it answers (RFC 5782 §5)."""
    if client.truncate(24) != _TEST_NETWORK:
        return False
    from repzone.definitions import load_zones  # as below

    return any(client.value & 0xFF in zone.test_codes for zone in load_zones(settings))


_TEST_NETWORK = Client.from_text("127.0.0.0/24")


def found_fields(client: Client, found: Found, now: int, *, test_entry: bool) -> dict[str, object]:
    """Give what holds for an address as programs see it."""
    if test_entry:
        return {"client": str(client), "listed": True, "exempt": None, "test_entry": True, "listings": []}
    fields = {"client": str(client), "listed": bool(found.listings), "exempt": _exemption(found) or None}
    return {**fields, "listings": [listing_fields(listing, now) for listing in found.listings]}


def print_found(client: Client, found: Found, now: int, *, test_entry: bool) -> None:
    """Print what holds for an address, one line a listing."""
    exempt = _exemption(found)
    if test_entry:
        typer.echo(f"{client} is a test entry: always listed, to show that the zone answers.")
    elif exempt:
        _print(client, f" is never listed: {plain(exempt)}.")
    elif not found.listings:
        _print(client, " is not listed.")
    for listing in found.listings:
        as_part_of = "" if listing.client == client else f" as part of {listing.client}"
        often = "" if listing.category == "manual" else f" the {ordinal(listing.offence)} time,"
        left = format_left(listing.expires - now)
        why = reasons_text(listing)
        _print(
            client,
            f" is listed{as_part_of} for {listing.category},{often} until {format_instant(listing.expires)} "
            f"({left} left)" + (f": {why}." if why else "."),
            listed=True,
        )


def _print(client: Client, text: str, *, listed: bool = False) -> None:
    name = typer.style(str(client), fg="red" if listed else "green", bold=listed)
    typer.echo(name + text, color=False if os.environ.get("NO_COLOR") else None)


def _exemption(found: Found) -> str:
    if found.exemption is not None:
        comment = found.exemption.comment
        return f"exempt as {found.exemption.network}" + (f" ({comment})" if comment else "")
    return "reserved address space" if found.reserved else ""
