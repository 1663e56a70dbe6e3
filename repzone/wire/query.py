"""Octets from the network in, a `Query` out; None when the only answer is silence.

The message is validated by counting octets before anything is made of it, because a library that follows pointers
can be kept busy by 511 octets of them. What a query of ours can hold is one question without pointers (RFC 9619)
and an OPT (RFC 6891); of a TSIG (RFC 8945) we know no key. Anything else has an rcode: silence is for answers (QR=1)
and for what has no header, since both could be echoed for ever.
"""

import enum
from dataclasses import dataclass
from struct import Struct

from repzone.zone.names import MAX_LABEL, MAX_NAME, Name

HEADER = Struct("!HHHHHH")  # id, flags, four counts: RFC 1035 §4.1.1
_PAIR = Struct("!HH")
RECORD = Struct("!HHIH")  # type, class, ttl, length of data
_SIGNED = Struct("!8sH")  # time and fudge, size of the MAC; behind that: RFC 8945 §4.2
_ORIGINAL = Struct("!HHH")  # id, error, size of other data

QR, OPCODE, RD = 0x8000, 0x7800, 0x0100
A, NS, SOA, TXT, AAAA, OPT, DS, NXNAME, TSIG, AXFR, ANY = 1, 2, 6, 16, 28, 41, 43, 128, 250, 252, 255
IXFR = 251
IN, ANY_CLASS = 1, 255
DO = 0x8000  # RFC 3225
KEEPALIVE = 11  # RFC 7828 §3.1

_POINTER = 0xC0
_MAX_ADDITIONAL = 2  # OPT and TSIG
_MAX_OPTIONS = 64  # clients send three or four; 16,000 empty ones would keep us busy for 20 ms
_MAX_STEPPED_OVER = 16  # questions and records of what is no query of ours, behind which an OPT is looked for


class Fault(enum.Enum):
    """What is wrong with a query that has a header."""

    FORMAT = "malformed, or not one question"
    OPCODE = "no opcode but QUERY"
    VERSION = "no version of EDNS but 0"
    KEY = "signed with a key, and there is none"


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT of a query: the UDP size that the client takes, whether it set DO, and asks how long TCP is kept."""

    size: int
    do: bool
    version: int = 0
    keepalive: bool = False


@dataclass(frozen=True, slots=True)
class Tsig:
    """The TSIG of a query, as much as a reply repeats: octets of the key's name, of the algorithm's, time and fudge."""

    key: bytes
    algorithm: bytes
    signed: bytes
    original: int


@dataclass(frozen=True, slots=True)
class Query:
    """A query, or what could be read of one; `question` is its octets as they came, empty when it is not sound."""

    id: int
    flags: int
    question: bytes = b""
    name: Name = ()
    type: int = 0
    klass: int = IN
    edns: Edns | None = None
    fault: Fault | None = None
    tsig: Tsig | None = None


class _Malformed(Exception):
    """The octets are no DNS message."""


def parse(packet: bytes) -> Query | None:
    """Read a query; None for an answer (QR=1) and for less than a header, which stay without reply."""
    if len(packet) < HEADER.size:
        return None
    ident, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    if flags & QR:
        return None
    counts_fit = questions == 1 and answers == 0 and authorities <= 1 and additional <= _MAX_ADDITIONAL
    try:
        if flags & OPCODE or not counts_fit:
            raise _Malformed
        name, end = _read_name(packet, HEADER.size)
        qtype, klass = _PAIR.unpack_from(packet, end) if end + 4 <= len(packet) else _fail()
    except _Malformed:
        edns = _find_opt(packet, questions, answers + authorities, additional)
        return Query(ident, flags, edns=edns, fault=Fault.OPCODE if flags & OPCODE else Fault.FORMAT)
    question = packet[HEADER.size : end + 4]
    edns, tsig, fault = None, None, None
    if authorities or additional:
        edns, tsig, fault = _read_records(packet, end + 4, authorities, additional, qtype)
    elif len(packet) != end + 4:
        fault = Fault.FORMAT
    if qtype in (OPT, NXNAME):  # no type that can be asked for: RFC 6891 §6.1.1, RFC 9824 §3.5
        fault = Fault.FORMAT
    return Query(ident, flags, question, name, qtype, klass, edns, fault, tsig if fault is Fault.KEY else None)


def _fail() -> tuple[int, int]:
    raise _Malformed


def _read_name(packet: bytes, offset: int) -> tuple[Name, int]:
    """Read a name without pointers; give its lower-case labels and the offset behind it."""
    labels: list[bytes] = []
    start, size = offset, len(packet)
    while offset < size:
        length = packet[offset]
        offset += 1
        if length == 0:
            if offset - start > MAX_NAME:
                break
            return tuple(labels), offset
        if length > MAX_LABEL:
            break
        labels.append(packet[offset : offset + length].lower())
        offset += length
    raise _Malformed


def _skip_name(packet: bytes, offset: int) -> int:
    """Give the offset behind a name, following nothing: a pointer ends it."""
    start = offset
    while offset < len(packet) and offset - start < MAX_NAME:
        length = packet[offset]
        if length == 0:
            return offset + 1
        if length >= _POINTER:
            return offset + 2
        if length > MAX_LABEL:
            break
        offset += 1 + length
    raise _Malformed


def _find_opt(packet: bytes, questions: int, others: int, additional: int) -> Edns | None:
    """Give the OPT of what is no query of ours: who sends one gets one, whatever the answer (RFC 6891 §6.1.1).

    Other opcodes that have sections have records in them too (RFC 1996 §3.7, RFC 2136 §2).
    """
    if questions + others + additional > _MAX_STEPPED_OVER:
        return None
    offset = HEADER.size
    try:
        for _ in range(questions):
            offset = _skip_name(packet, offset) + _PAIR.size
    except _Malformed:
        return None
    return _read_records(packet, offset, others, additional, 0)[0]


def _read_records(
    packet: bytes, offset: int, authorities: int, additional: int, qtype: int
) -> tuple[Edns | None, Tsig | None, Fault | None]:
    """Step over the records behind the question, reading OPT and TSIG; nothing may be left over."""
    edns, tsig, fault = None, None, None
    if authorities and qtype != IXFR:  # only IXFR has one, the client's SOA: RFC 1995 §3
        fault = Fault.FORMAT
    try:
        for number in range(authorities + additional):
            owner = offset
            offset = _skip_name(packet, offset)
            if offset + RECORD.size > len(packet):
                raise _Malformed
            rtype, klass, ttl, length = RECORD.unpack_from(packet, offset)
            offset += RECORD.size
            if rtype == OPT:
                sound = edns is None and number >= authorities and packet[owner] == 0
                options = _read_options(packet, offset, length)
                edns = edns or Edns(klass, bool(ttl & DO), ttl >> 16 & 0xFF, KEEPALIVE in (options or ()))
                if not sound or options is None:
                    fault = Fault.FORMAT
            elif rtype == TSIG and number >= authorities:
                if number + 1 < authorities + additional:  # it must be the last record, RFC 8945 §5.1
                    fault = Fault.FORMAT
                tsig = _read_tsig(packet, owner, offset, length)
            offset += length
        if offset != len(packet):
            fault = Fault.FORMAT
    except _Malformed:
        fault = Fault.FORMAT
    if fault is None and edns is not None and edns.version != 0:
        fault = Fault.VERSION
    return edns, tsig, fault or (Fault.KEY if tsig else None)


def _read_tsig(packet: bytes, owner: int, offset: int, length: int) -> Tsig:
    """Read a TSIG, whose names are not compressed and whose parts fill its data (RFC 8945 §4.2)."""
    _, behind = _read_name(packet, owner)
    _, fields = _read_name(packet, offset)
    end = offset + length
    if fields + _SIGNED.size > end or end > len(packet):
        raise _Malformed
    signed, size = _SIGNED.unpack_from(packet, fields)
    rest = fields + _SIGNED.size + size
    if rest + _ORIGINAL.size > end:
        raise _Malformed
    original, _, other = _ORIGINAL.unpack_from(packet, rest)
    if rest + _ORIGINAL.size + other != end:
        raise _Malformed
    return Tsig(packet[owner:behind], packet[offset:fields], signed, original)


def _read_options(packet: bytes, offset: int, length: int) -> list[int] | None:
    """Give the codes of the options of an OPT; None when they do not fill its data exactly (RFC 6891 §6.1.2)."""
    end = offset + length
    if end > len(packet):
        return None
    codes = []
    for _ in range(_MAX_OPTIONS):
        if offset + _PAIR.size > end:
            break
        code, size = _PAIR.unpack_from(packet, offset)
        codes.append(code)
        offset += _PAIR.size + size
    return codes if offset == end else None
