"""What a table found for a client in, what a zone has for it out: the codes, their TTL and the text.

DNS and exported files both ask here, so they cannot disagree.
"""

from dataclasses import dataclass

from repzone.model import Client, Listing
from repzone.zone.definition import LISTED, Zone
from repzone.zone.table import Found
from repzone.zone.texts import MAX_TEXT


@dataclass(frozen=True, slots=True)
class Entry:
    """The last octets of the A records, in order; the TTL of all; the TXT, and the code that it speaks of."""

    codes: tuple[int, ...]
    ttl: int
    text: bytes
    code: int


def make_entry(zone: Zone, found: Found, now: int, client: Client | str, *, with_text: bool = True) -> Entry | None:
    """Give what a zone has for a client; None when it has nothing.

    `client` is how the text names whoever is asked for. `now` is a whole second of which a part has passed, so the
    floor of the time left is one less.
    """
    if zone.kind == "allow":
        if found.exemption is None or found.reserved:
            return None
        ended = found.exemption.ended
        ttl = zone.ttl if ended is None else min(zone.ttl, ended - now - 1)
        return Entry((LISTED,), ttl, zone.allow_text.render_exempt(client) if with_text else b"", LISTED)
    listings = [listing for listing in found.listings if listing.category in zone.categories]
    if not listings:
        return None
    first, last = listings[-1], listings[0]  # to end
    codes: tuple[int, ...] = (zone.codes[last.category],)
    if len(listings) > 1:
        last = min(listings, key=lambda listing: _precedence(listing, zone))
        codes = tuple(sorted({zone.codes[listing.category] for listing in listings}))
    ttl = min(zone.ttl, first.expires - now - 1)
    text = zone.texts[last.category].render(client, last, now, len(listings) - 1) if with_text else b""
    return Entry(codes, ttl, text, zone.codes[last.category])


def test_entry(zone: Zone, code: int) -> Entry:
    """Give what is always listed under one of the zone's test codes (RFC 5782 §5)."""
    category = zone.test_codes[code]
    text = f"Test entry of {zone.apex}{f' for {category}' if category else ''}, always listed".encode()[:MAX_TEXT]
    return Entry((code,), zone.ttl, text, code)


def _precedence(listing: Listing, zone: Zone) -> tuple[int, int, int]:
    """Order listings for the one text: the last to end, the most specific, the lowest code."""
    return -listing.expires, -listing.client.length, zone.codes[listing.category]
