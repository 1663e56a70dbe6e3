"""`repzone check`: whether an address is listed, why and until when."""

from typing import Annotated

import typer

from repzone.cli.database import open_database
from repzone.cli.listings import listing_fields, reasons_text
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_address
from repzone.cli.output import console, print_json
from repzone.cli.wall import clock
from repzone.config import Settings, load, load_zones
from repzone.model import Client
from repzone.store.engine import answering
from repzone.store.exemptions import load_exemptions
from repzone.store.listings import find_listings
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
    with open_database(settings, clock) as engine, answering(), engine.connect() as connection:
        exemptions = load_exemptions(connection)
        for client in clients:
            listings = find_listings(connection, now, client=client)
            found = MemoryTable(listings, exemptions).lookup(client, now)
            if found.reserved and _is_test_entry(client, settings):
                _print_test_entry(client, output)
            else:
                _print_found(client, found, now, output)


def _is_test_entry(client: Client, settings: Settings) -> bool:
    """Tell whether every block zone, or one, always lists it, to show that it answers (RFC 5782 §5)."""
    if client.truncate(24) != _TEST_NETWORK:
        return False
    return any(client.value & 0xFF in zone.test_codes for zone in load_zones(settings))


_TEST_NETWORK = Client.from_text("127.0.0.0/24")


def _print_test_entry(client: Client, output: Output) -> None:
    if output is Output.json:
        print_json({"client": str(client), "listed": True, "exempt": None, "test_entry": True, "listings": []})
    else:
        console.print(f"{client} is a test entry: always listed, to show that the zone answers.")


def _print_found(client: Client, found: Found, now: int, output: Output) -> None:
    exempt = _exemption(found)
    if output is Output.json:
        fields = {"client": str(client), "listed": bool(found.listings), "exempt": exempt or None}
        print_json({**fields, "listings": [listing_fields(listing, now) for listing in found.listings]})
        return
    if exempt:
        console.print(f"[green]{client}[/] is never listed: {exempt}.")
    elif not found.listings:
        console.print(f"[green]{client}[/] is not listed.")
    for listing in found.listings:
        as_part_of = "" if listing.client == client else f" as part of {listing.client}"
        left = format_left(listing.expires - now)
        console.print(
            f"[bold red]{client}[/] is listed{as_part_of} for [bold]{listing.category}[/], "
            f"the {ordinal(listing.offence)} time, until {format_instant(listing.expires)} ({left} left)"
            + (f": {reasons_text(listing)}." if listing.reasons else ".")
        )


def _exemption(found: Found) -> str:
    if found.exemption is not None:
        comment = found.exemption.comment
        return f"exempt as {found.exemption.network}" + (f" ({comment})" if comment else "")
    return "reserved address space" if found.reserved else ""
