"""`repzone ban`: list an address or a network by hand."""

from typing import Annotated

import typer

from repzone.cli.acting import act, acting
from repzone.cli.listed import listing_fields
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_length, parse_network
from repzone.cli.output import console, plain, print_json, utc
from repzone.errors import RepzoneError, UsageError
from repzone.model import V4, V6, WIDTH, Client, Exemption
from repzone.policy.rules import DAY
from repzone.store.exemptions import load_exemptions
from repzone.store.manual import Banned
from repzone.store.manual import ban as store_ban
from repzone.store.policies import load_rulebook
from repzone.zone.texts import format_instant, format_span

LONGEST = 365 * DAY
WIDEST = {V4: 16, V6: 32}
"""The shortest prefixes that can be banned, in bits."""


def ban(
    address: Annotated[str, typer.Argument(metavar="IP|CIDR", help="An address, or a network.")],
    reason: Annotated[str, typer.Option("--reason", "--because", metavar="TEXT", help="Why; shown with the listing.")],
    length: Annotated[str, typer.Option("--for", metavar="4h", help="How long, 365d at most.")] = "24h",
    yes: Annotated[bool, typer.Option("--yes", help="A whole network, up to /16 (IPv6: /32).")] = False,
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """List an address by hand, from now on; banning it again replaces the end and the reason.

    An IPv6 address is listed as its network, as the policy's ipv6_prefix says. What is exempt is not banned.

    Example: repzone ban 192.0.2.1 --reason "floods us with backscatter" --for 4h

    Example: repzone ban 198.51.100.0/24 --reason "snowshoe spam" --for 30d --yes
    """
    client, seconds = parse_network(address), parse_length(length)
    if not 1 <= seconds <= LONGEST:
        raise typer.BadParameter(f"{length!r} is not between 1s and 365d", param_hint="--for")
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    with acting(config) as (connection, now):
        prefix = load_rulebook(connection).at(now).policy.ipv6_prefix
        key = client.key(prefix)
        _check_width(key, prefix, yes=yes)
        banned = store_ban(connection, client, key, now + seconds, act(now, "ban", key, reason))
        inside = [
            one
            for one in load_exemptions(connection)
            if one.holds_at(now) and key.covers(one.network) and one.network != key
        ]
    if output is Output.json:
        print_json(_fields(client, banned, now))
    else:
        _print(client, banned, inside, seconds)


def _check_width(key: Client, prefix: int, *, yes: bool) -> None:
    """Refuse what is too wide, and what is more than one client unless that is meant."""
    if key.length < WIDEST[key.version]:
        raise UsageError(f"{key} is too wide: at most a /{WIDEST[V4]}, or a /{WIDEST[V6]} of IPv6, can be banned")
    one = WIDTH[V4] if key.version == V4 else prefix
    if key.length < one and not yes:
        size = f"{1 << (one - key.length):,} " + ("addresses" if key.version == V4 else f"networks of /{one}")
        raise RepzoneError(f"{key} is {size}: --yes bans them all")


def _fields(client: Client, banned: Banned, now: int) -> dict[str, object]:
    before = banned.before and {"expires": utc(banned.before[0]), "comment": banned.before[1]}
    fields = listing_fields(banned.listing, now)
    return {**fields, "comment": banned.listing.comment, "given": str(client), "before": before}


def _print(client: Client, banned: Banned, inside: list[Exemption], seconds: int) -> None:
    listing = banned.listing
    key = str(listing.client)
    what = f"{client} is banned" + ("" if key == str(client) else f" as its network {key}")
    until = f" until {format_instant(listing.expires)} ({format_span(seconds)})"
    console.print(f"{what}{until}: {plain(listing.comment)}.", markup=False, soft_wrap=True)
    if banned.before:
        end, reason = banned.before
        console.print(f"Before: until {format_instant(end)}: {plain(reason)}.", markup=False, soft_wrap=True)
    if inside:
        exempt = ", ".join(str(one.network) for one in inside)
        console.print(f"Still exempt inside it: {exempt}.", markup=False, soft_wrap=True)
