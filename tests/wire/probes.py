"""Queries that test a server's manners, each with what it must get: RFC 8906 §8, the DNS flag days, malformed ones."""

from tests.wire.sample import HEADER, opt, query, question, wire_name

APEX = "bl.example.net"
QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x80, 0x40, 0x20, 0x10
NOERROR, FORMERR, SERVFAIL, NOTIMP, REFUSED, NOTAUTH, BADVERS = 0, 1, 2, 4, 5, 9, 16


def soa(flags: int = 0, edns: bytes = b"", qtype: int = 6) -> bytes:
    return query(APEX, qtype, flags=flags, edns=edns)


MANY_OPTIONS = b"".join(
    code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    for code, data in {3: b"", 8: b"\0\1\x18\0\xc0\0\2", 10: b"abcdefgh", 11: b"", 12: bytes(4)}.items()
)

SOA_DATA = b"\0\6\0\1" + bytes(4) + b"\0\x16" + bytes(22)

PROBES = {
    # RFC 8906 §8.1: without EDNS
    "8.1.1 an existing name": (soa(), NOERROR, None),
    "8.1.2 an unknown type": (soa(qtype=1000), NOERROR, None),
    "8.1.3.1 a reserved header bit": (soa(flags=Z), NOERROR, None),
    "8.1.3.2 recursion desired": (soa(flags=RD), NOERROR, None),
    "8.1.3.3 AD": (soa(flags=AD), NOERROR, None),
    "8.1.3.4 CD": (soa(flags=CD), NOERROR, None),
    "8.1.4 an unknown opcode": (HEADER.pack(0x1234, 15 << 11, 0, 0, 0, 0), NOTIMP, None),
    # §8.2: with EDNS
    "8.2.1 EDNS version 0": (soa(edns=opt()), NOERROR, 0),
    "8.2.2 EDNS version 1": (soa(edns=opt(version=1)), BADVERS, 0),
    "8.2.3 an unknown option": (soa(edns=opt(options=b"\0\x64\0\0")), NOERROR, 0),
    "8.2.4 an unknown flag": (soa(edns=opt(flags=0x40)), NOERROR, 0),
    "8.2.5 version 1 with an unknown flag": (soa(edns=opt(version=1, flags=0x40)), BADVERS, 0),
    "8.2.6 version 1 with an unknown option": (soa(edns=opt(version=1, options=b"\0\x64\0\0")), BADVERS, 0),
    "8.2.7 a small buffer": (soa(edns=opt(size=512)), NOERROR, 0),
    "8.2.8 DO": (soa(edns=opt(flags=0x8000)), NOERROR, 0),
    "8.2.9 version 1 with DO": (soa(edns=opt(version=1, flags=0x8000)), BADVERS, 0),
    "8.2.10 several options": (soa(edns=opt(options=b"\0\x03\0\0\0\x08\0\4\0\1\0\0\0\x0a\0\x08abcdefgh")), NOERROR, 0),
    # what RFC 8906 leaves out: more flags, sizes, versions, types, classes and opcodes
    "AD and CD and the reserved bit": (soa(flags=AD | CD | Z), NOERROR, None),
    "AA, TC and RA in a query": (soa(flags=AA | TC | RA), NOERROR, None),
    "an rcode in a query": (soa(flags=9), NOERROR, None),
    "type 0": (soa(qtype=0), NOERROR, None),
    "a private type": (soa(qtype=65280), NOERROR, None),
    "a type that is no data": (soa(qtype=250), NOTIMP, None),
    "an unknown class": (query(APEX, 6, 4711), REFUSED, None),
    "class NONE": (query(APEX, 6, 254), REFUSED, None),
    "a zone that is not ours": (query("example.org", 6, edns=opt()), REFUSED, 0),
    "ANY": (soa(qtype=255, edns=opt()), NOERROR, 0),
    "AXFR": (soa(qtype=252, edns=opt()), REFUSED, 0),
    "IXFR": (soa(qtype=251, edns=opt()), REFUSED, 0),
    **{f"a buffer of {size}": (soa(edns=opt(size=size)), NOERROR, 0) for size in (0, 1, 511, 512, 1232, 4096, 65535)},
    "EDNS version 255": (soa(edns=opt(version=255)), BADVERS, 0),
    "every flag of EDNS": (soa(edns=opt(flags=0xFFFF)), NOERROR, 0),
    "an extended rcode in a query": (soa(edns=b"\0" + b"\0\x29\4\xd0\xff\0\0\0\0\0"), NOERROR, 0),
    "NSID, a client subnet, a cookie, keepalive, padding": (soa(edns=opt(options=MANY_OPTIONS)), NOERROR, 0),
    "an option of 1000 octets": (soa(edns=opt(options=b"\xfd\xe9\x03\xe8" + bytes(1000))), NOERROR, 0),
    "BADVERS for a name that is not ours": (query("example.org", edns=opt(version=1)), BADVERS, 0),
    **{
        f"opcode {opcode} ({name})": (query(APEX, 6, flags=opcode << 11), NOTIMP, None)
        for opcode, name in {1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO", 3: "unknown"}.items()
    },
    **{
        f"opcode {opcode} with EDNS": (query(APEX, 6, flags=opcode << 11, edns=opt(flags=0x8000)), NOTIMP, 0)
        for opcode in (4, 5, 15)
    },
    "an opcode and a version of EDNS that are unknown": (soa(flags=15 << 11, edns=opt(version=1)), NOTIMP, 0),
    "a NOTIFY with the SOA that is new, and EDNS": (
        HEADER.pack(0x1234, 4 << 11 | AA, 1, 1, 0, 1) + question(APEX, 6) + wire_name(APEX) + SOA_DATA + opt(),
        *(NOTIMP, 0),
    ),
    "an UPDATE of compressed names, and EDNS": (
        HEADER.pack(0x1234, 5 << 11, 1, 1, 2, 1) + question(APEX, 6) + 3 * (b"\xc0\x0c" + SOA_DATA) + opt(),
        *(NOTIMP, 0),
    ),
}
"""Name: the query (id 0x1234), the rcode, the version of EDNS in the reply (None: no OPT)."""

A_RECORD = wire_name("a.b") + b"\0\1\0\1\0\0\0\0\0\4abcd"
POINTED = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd"
TSIG_DATA = wire_name("hmac-sha256") + bytes(6) + b"\1\x2c\0\2ab\x12\x34\0\0\0\0"


def tsig(data: bytes = TSIG_DATA, owner: bytes = wire_name("key")) -> bytes:
    return owner + b"\0\xfa\0\xff\0\0\0\0" + len(data).to_bytes(2, "big") + data


TSIG = tsig()


def message(body: bytes, *counts: int) -> bytes:
    return HEADER.pack(0x1234, RD, *counts) + body


MALFORMED = {
    "no question": message(b"", 0, 0, 0, 0),
    "no question, an OPT": message(opt(options=b"\0\x0a\0\x08abcdefgh"), 0, 0, 0, 1),
    "two questions": message(question(APEX) * 2, 2, 0, 0, 0),
    "two questions and an OPT": message(question(APEX) * 2 + opt(), 2, 0, 0, 1),
    "a pointer in the question and an OPT": message(b"\xc0\x0c\0\1\0\1" + opt(), 1, 0, 0, 1),
    "an answer and an OPT": message(question(APEX) + A_RECORD + opt(), 1, 1, 0, 1),
    "a missing question": message(b"", 1, 0, 0, 0),
    "a question cut in its name": message(question(APEX)[:5], 1, 0, 0, 0),
    "a question cut in its class": message(question(APEX)[:-1], 1, 0, 0, 0),
    "a pointer in the question": message(b"\xc0\x0c\0\1\0\1", 1, 0, 0, 0),
    "a pointer behind a label": message(b"\1a\xc0\x0c\0\1\0\1", 1, 0, 0, 0),
    "a label of 64 octets": message(b"\x40" + b"a" * 64 + b"\0\0\1\0\1", 1, 0, 0, 0),
    "an extended label": message(b"\x80\1\0\0\1\0\1", 1, 0, 0, 0),
    "a name of 256 octets": message((b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1", 1, 0, 0, 0),
    "octets left over": query() + b"\0",
    "octets left over behind the OPT": query(edns=opt()) + b"x",
    "an answer in a query": message(question(APEX) + A_RECORD, 1, 1, 0, 0),
    "an authority in no IXFR": message(question(APEX) + A_RECORD, 1, 0, 1, 0),
    "more authorities than there are": message(question(APEX, 251) + A_RECORD, 1, 0, 2, 0),
    "more additional records than there are": message(question(APEX) + opt(), 1, 0, 0, 2),
    "too many additional records": message(question(APEX) + A_RECORD * 3, 1, 0, 0, 3),
    "65535 additional records": message(question(APEX) + A_RECORD, 1, 0, 0, 65535),
    "two OPTs": message(question(APEX) + opt() * 2, 1, 0, 0, 2),
    "an OPT with an owner": query(edns=opt(owner=wire_name("a"))),
    "an OPT with a pointer to the root as owner": query(edns=opt(owner=b"\xc0\x23")),
    "an OPT in authority": message(question(APEX, 251) + opt(), 1, 0, 1, 0),
    "an OPT that is cut": query(edns=opt())[:-3],
    "options longer than the message": query(edns=opt(options=b"\0\x0a\0\x08abcdefgh")[:-1]),
    "an option longer than the options": query(edns=opt(options=b"\0\x0a\0\x09abcdefgh")),
    "options with a rest": query(edns=opt(options=b"\0\x0a\0\0abc")),
    "65 options": query(edns=opt(options=b"\0\x0a\0\0" * 65)),
    "a TSIG before an OPT": message(question(APEX) + TSIG + opt(), 1, 0, 0, 2),
    "two TSIGs": message(question(APEX) + TSIG + TSIG, 1, 0, 0, 2),
    "a TSIG of a pointer": message(question(APEX) + tsig(owner=b"\xc0\x0c"), 1, 0, 0, 1),
    "a TSIG whose algorithm is a pointer": message(question(APEX) + tsig(b"\xc0\x0c" + bytes(16)), 1, 0, 0, 1),
    **{
        f"a TSIG of {size} octets": message(question(APEX) + tsig((TSIG_DATA + b"x")[:size]), 1, 0, 0, 1)
        for size in range(len(TSIG_DATA) + 2)
        if size != len(TSIG_DATA)
    },
    "a TSIG that is cut": message(question(APEX) + TSIG[:-1], 1, 0, 0, 1),
    "a question for OPT": query(APEX, 41),
    "a question for NXNAME": query(APEX, 128),
}
"""Every one of these is FORMERR."""

WELL_FORMED = {
    "the longest name": message((b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0\0\1\0\1", 1, 0, 0, 0),
    "64 options in the OPT": query(edns=opt(options=b"\0\x0a\0\0" * 64)),
    "a record with a pointer for owner": message(question(APEX) + POINTED, 1, 0, 0, 1),
    "an IXFR with its SOA": message(question(APEX, 251) + A_RECORD, 1, 0, 1, 0),
}
"""These are not."""
