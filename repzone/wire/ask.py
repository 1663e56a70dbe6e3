"""A name and type in, the octets of a query out; the octets of its reply in, what it says out.

For asking our own servers: `demo` and the checks of an installation.
"""

from dataclasses import dataclass

import dnslib


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply says: rcode by name, the answers as text (TXT without its quotes), TTL, whether it was cut."""

    rcode: str
    answers: tuple[str, ...]
    ttl: int | None
    truncated: bool


def encode_query(name: str, kind: str, number: int, *, recursive: bool = False, unchecked: bool = False) -> bytes:
    """Make a query for a name and type (`A`, `TXT`, ...) with EDNS (RFC 6891); `number` is its id.

    `recursive` asks a resolver to find out (RD), `unchecked` not to validate what it finds (CD, RFC 4035 §3.2.2).
    """
    header = dnslib.DNSHeader(id=number, rd=int(recursive), cd=int(unchecked))
    record = dnslib.DNSRecord(header, q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, kind)))
    record.add_ar(dnslib.EDNS0(udp_len=1232))
    return bytes(record.pack())


def parse_reply(packet: bytes, number: int) -> Reply:
    """Read a reply; ValueError when it is none to that query."""
    try:
        record = dnslib.DNSRecord.parse(packet)
    except dnslib.DNSError as error:
        raise ValueError(f"no DNS message: {error}") from None
    if record.header.id != number or not record.header.qr:
        raise ValueError("the reply is to another query")
    answers = tuple(
        b"".join(rr.rdata.data).decode("ascii") if rr.rtype == dnslib.QTYPE.TXT else str(rr.rdata) for rr in record.rr
    )
    ttl = min((int(rr.ttl) for rr in record.rr), default=None)
    return Reply(str(dnslib.RCODE[record.header.rcode]), answers, ttl, bool(record.header.tc))
