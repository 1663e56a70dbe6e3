"""Zone definitions in, the octets that the compiled core reads out (zone.h says what they mean).

Texts become octets in which a control character stands for each field that differs from client to client. The SOA's
names are compressed here, once, against the apex and each other; names in a zone that would compress further are few,
and the general path answers for them.
"""

import string
from collections.abc import Collection, Iterable, Sequence
from struct import Struct

from repzone.model import Client
from repzone.reasons import CATEGORIES
from repzone.zone.definition import STATUS, Zone
from repzone.zone.entry import test_entry
from repzone.zone.names import Name
from repzone.zone.rows import pack_address
from repzone.zone.texts import MAX_TEXT, Template

_HEAD = Struct("!BHII4I")  # flags, number for counting, ttl, ttl of negative answers, SOA times
_NUMBER = Struct("!H")
_ALLOW, _PAUSED = 1, 2
_APEX, _PRIMARY = 0xC0, 0x80  # where a name goes on, and how many octets into it
_FIELDS = {"client": "\x01", "offence": "\x02", "until": "\x03", "left": "\x04"}


def compile_zone(zone: Zone, number: int, soa_times: Sequence[int], *, paused: bool = False) -> bytes:
    """Write a zone; `soa_times` are refresh, retry and expire, in a paused zone only the test entries are listed."""
    flags = (_ALLOW if zone.kind == "allow" else 0) | (_PAUSED if paused else 0)
    negative = min(zone.ttl, zone.negative_ttl)
    primary = _compress(zone.nameservers[0], [(zone.name, _APEX)])
    return b"".join(
        (
            _HEAD.pack(flags, number, zone.ttl, negative, *soa_times, zone.negative_ttl),
            _counted(_wire(zone.name) + b"\0"),
            _counted(primary),
            _counted(_compress(zone.contact, [(zone.name, _APEX), (zone.nameservers[0], _PRIMARY)])),
            bytes(zone.codes.get(category, 0) for category in CATEGORIES),
            *(_counted(text) for text in _texts(zone)),
            _list(bytes((code,)) + _counted(test_entry(zone, code).text) for code in zone.test_codes),
            _list(_counted(label) for label in sorted(_own_labels(zone))),
            _networks(zone.allow_query),
        )
    )


def _texts(zone: Zone) -> list[bytes]:
    if zone.kind == "allow":
        return [_compile_text(zone.allow_text, ""), *[b""] * (len(CATEGORIES) - 1)]
    return [_compile_text(zone.texts[category], category) if category in zone.codes else b"" for category in CATEGORIES]


def _compile_text(template: Template, category: str) -> bytes:
    """Write a text with control characters for its fields; each stands for one octet at least."""
    fields = {**_FIELDS, "category": category}
    url = _fill(template.url, fields)
    return _fill(template.text, {**fields, "url": url}).encode("ascii")[:MAX_TEXT]


def _fill(text: str, fields: dict[str, str]) -> str:
    return "".join(
        literal + (fields[field] if field is not None else "")
        for literal, field, _, _ in string.Formatter().parse(text)
    )


def _own_labels(zone: Zone) -> Collection[bytes]:
    """Give the labels that a name in the zone may end in and that the general path answers for.

    Those of name servers and the status, and those by which a name of the SOA could be compressed beyond the apex.
    """
    depth = len(zone.name)
    inside = [name for name in (zone.nameservers[0], zone.contact) if name[-depth:] == zone.name and len(name) > depth]
    return {STATUS, *zone.hosts, *(name[-depth - 1] for name in inside)}


def _compress(name: Name, known: Sequence[tuple[Name, int]]) -> bytes:
    """Write a name up to the longest end that is known: a mark, and how far into the known name that is."""
    written = b""
    for start, label in enumerate(name):
        for other, mark in known:
            depth = len(name) - start
            if len(other) >= depth and other[-depth:] == name[start:]:
                return written + bytes((mark, len(_wire(other[:-depth]))))
        written += _wire((label,))
    return written + b"\0"


def _wire(labels: Name) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels)


def _counted(octets: bytes) -> bytes:
    return bytes((len(octets),)) + octets


def _list(items: Iterable[bytes]) -> bytes:
    given = list(items)
    return bytes((len(given),)) + b"".join(given)


def _networks(networks: Sequence[Client]) -> bytes:
    rows = [bytes((network.version, network.length)) + pack_address(network) for network in networks]
    return _NUMBER.pack(len(rows)) + b"".join(rows)
