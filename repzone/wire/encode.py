"""A `Query` and its `Answer` in, the octets of the reply out.

The question is copied as it came (its 0x20 case is the client's check on us) and names are compressed against it.
On UDP what is too long becomes TC without records, so that the client asks again by TCP.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any

import dnslib

from repzone.wire.answer import Answer, Data, Rrset
from repzone.wire.query import (
    AAAA,
    ANY_CLASS,
    DO,
    HEADER,
    IN,
    KEEPALIVE,
    NS,
    OPCODE,
    OPT,
    QR,
    RD,
    RECORD,
    SOA,
    TSIG,
    TXT,
    A,
    Edns,
    Query,
    Tsig,
)

UDP_PAYLOAD = 1232  # fits the smallest IPv6 path: DNS flag day 2020
UDP_PLAIN = 512  # without EDNS, RFC 1035 §4.2.1
TCP_PAYLOAD = 65535
TCP_IDLE = 10  # seconds that a connection may be without a query: RFC 7828 tells them to the client

AA, TC = 0x0400, 0x0200
_OPTION = Struct("!HHH")  # code, length 2, a number: Extended DNS Error (RFC 8914 §2), keepalive (RFC 7828 §3.1)
EDE = 15
_OPT = Struct("!BHHIH")  # the root, type, UDP size, extended rcode with version and flags, length of options
_UNSIGNED = Struct("!8sHHHH")  # time and fudge, no MAC, the query's id, error, no other data: RFC 8945 §4.2
BADKEY = 17

_DATA: dict[int, Callable[[Any], dnslib.RD]] = {
    A: lambda octets: dnslib.A(tuple(octets)),
    AAAA: lambda octets: dnslib.AAAA(tuple(octets)),
    TXT: dnslib.TXT,
    NS: lambda name: dnslib.NS(dnslib.DNSLabel(name)),
    SOA: lambda soa: dnslib.SOA(dnslib.DNSLabel(soa.primary), dnslib.DNSLabel(soa.contact), soa.times),
}


def encode(query: Query, answer: Answer, *, udp: bool) -> bytes:
    """Write the reply, at most 1232 octets, 512 or what the client takes on UDP."""
    rcode, ede = answer.codes
    flags = QR | (query.flags & (OPCODE | RD)) | (rcode & 0xF)  # AD, CD: RFC 4035 §3.1.6
    if answer.authoritative:
        flags |= AA
    opts = [] if query.edns is None else [_encode_opt(query.edns, rcode, ede, udp)]
    signatures = [] if query.tsig is None else [_encode_tsig(query.tsig)]
    limit = _limit(query) if udp else TCP_PAYLOAD
    records = [_resource(rrset, data) for rrset in (*answer.answer, *answer.authority) for data in rrset.data]
    count = sum(len(rrset.data) for rrset in answer.answer)
    reply = _pack(query, flags, records, count, opts + signatures)
    return reply if len(reply) <= limit else _pack(query, flags | TC, [], 0, opts)


def _limit(query: Query) -> int:
    """Give the largest reply on UDP; a size below 512 means 512 (RFC 6891 §6.2.3)."""
    return UDP_PLAIN if query.edns is None else min(UDP_PAYLOAD, max(UDP_PLAIN, query.edns.size))


def _pack(query: Query, flags: int, records: list[dnslib.RR], answers: int, additional: list[bytes]) -> bytes:
    """Put the message together; the first so many records are the answer section, the others authority."""
    counts = (1 if query.question else 0, answers, len(records) - answers, len(additional))
    head = HEADER.pack(query.id, flags, *counts) + query.question
    if not records:
        return b"".join((head, *additional))
    buffer = dnslib.DNSBuffer(head)
    buffer.offset = len(head)
    buffer.names = _names(query)
    for record in records:
        record.pack(buffer)
    return b"".join((buffer.data, *additional))


def _names(query: Query) -> dict[tuple[bytes, ...], int]:
    """Give the offset of each name in the question that a record may have: itself and what its zone ends in."""
    names, offset, name = {}, HEADER.size, query.name
    for start, label in enumerate(name):
        names[name[start:]] = offset
        offset += 1 + len(label)
    return names


def _resource(rrset: Rrset, data: Data) -> dnslib.RR:
    name = dnslib.DNSLabel(rrset.name)
    return dnslib.RR(name, rrset.type, IN, rrset.ttl, _build(rrset.type, data))


@lru_cache(maxsize=1024)
def _build(rtype: int, data: Data) -> dnslib.RD:
    """Build dnslib's value, which is only read here; the few codes and the SOA come again and again."""
    return _DATA[rtype](data)


def _encode_opt(edns: Edns, rcode: int, ede: int | None, udp: bool) -> bytes:
    """Write our OPT: version 0, DO as it came (RFC 3225 §3), an Extended DNS Error where there is one.

    On TCP, who asks how long a connection is kept is told, in tenths of a second.
    """
    options = b"" if ede is None else _OPTION.pack(EDE, 2, ede)
    if edns.keepalive and not udp:
        options += _OPTION.pack(KEEPALIVE, 2, TCP_IDLE * 10)
    ttl = rcode >> 4 << 24 | (DO if edns.do else 0)
    return _OPT.pack(0, OPT, UDP_PAYLOAD, ttl, len(options)) + options


def _encode_tsig(tsig: Tsig) -> bytes:
    """Write the TSIG of a reply that is not signed: its error says why (RFC 8945 §5.3.2)."""
    data = tsig.algorithm + _UNSIGNED.pack(tsig.signed, 0, tsig.original, BADKEY, 0)
    return tsig.key + RECORD.pack(TSIG, ANY_CLASS, 0, len(data)) + data
