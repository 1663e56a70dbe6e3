"""A packet and who sent it in, the reply or silence out: the whole general path as one pure function."""

from repzone.model import Client
from repzone.wire.answer import View, answer
from repzone.wire.encode import encode
from repzone.wire.query import HEADER, parse

REFUSED = 5
__all__ = ["REFUSED", "View", "fail", "rcode", "respond"]


def respond(packet: bytes, client: Client, now: int, view: View, *, udp: bool) -> bytes | None:
    """Give the reply to one packet; None means silence (see `query.parse`).

    `now` is whole UTC seconds; `udp` limits the reply to what the client takes.
    """
    query = parse(packet)
    if query is None:
        return None
    said = answer(query, client, now, view)
    reply = encode(query, said, udp=udp)
    if view.observe is not None:
        view.observe(query, client, said, udp)
    return reply


def fail(packet: bytes) -> bytes | None:
    """Give SERVFAIL for a packet on which `respond` raised, trusting none of the code that may have failed."""
    if len(packet) < HEADER.size or packet[2] & 0x80:
        return None
    return packet[:2] + bytes((0x80 | packet[2] & 0x79, 0x02)) + bytes(8)


def rcode(reply: bytes) -> int:
    """Give the low four bits of the rcode of a reply."""
    return reply[3] & 0x0F
