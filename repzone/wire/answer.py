"""A `Query` and the `View` of what is known in, an `Answer` out: which records, and why there are none.

Names, codes and test entries are RFC 5782's, negative answers RFC 2308's; a look-up ends in an `Outcome`, and `CODES`
is the one place where that becomes an rcode.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from repzone.model import V4, Client
from repzone.reasons import Category
from repzone.wire.query import AAAA, ANY, ANY_CLASS, AXFR, DS, IN, IXFR, NS, NXNAME, SOA, TXT, A, Fault, Query
from repzone.zone.definition import STATUS, Addresses, Zone
from repzone.zone.entry import Entry, make_entry, test_entry
from repzone.zone.names import Name, Unnamed, from_labels, may_hold_names
from repzone.zone.table import NOTHING, Table

LOOPBACK_NET = 127 << 24
NEVER = LOOPBACK_NET | 1  # 127.0.0.1, the entry that must not be there (RFC 5782 §5)
CLOCK_SKEW = 60  # seconds that the data may seem to come from the future
STALE_AFTER = 60  # seconds without a look at the database after which an answer says that it may be out of date
SOA_TIMES = (300, 60, 86400)  # refresh, retry, expire: a secondary trusts a copy as long as we do


class Outcome(enum.Enum):
    """How a query ends."""

    HIT = enum.auto()
    NO_DATA = enum.auto()
    NO_NAME = enum.auto()
    FORMAT = enum.auto()
    VERSION = enum.auto()
    OPCODE = enum.auto()
    META_TYPE = enum.auto()
    NO_ZONE = enum.auto()
    PROHIBITED = enum.auto()
    NOT_READY = enum.auto()
    STALE = enum.auto()
    FAILED = enum.auto()
    KEY = enum.auto()


CODES: dict[Outcome, tuple[int, int | None]] = {
    Outcome.HIT: (0, None),
    Outcome.NO_DATA: (0, None),
    Outcome.NO_NAME: (3, None),
    Outcome.FORMAT: (1, None),
    Outcome.VERSION: (16, None),  # BADVERS, RFC 6891 §9
    Outcome.OPCODE: (4, None),
    Outcome.META_TYPE: (4, None),
    Outcome.NO_ZONE: (5, 20),  # Not Authoritative
    Outcome.PROHIBITED: (5, 18),  # Prohibited
    Outcome.NOT_READY: (2, 14),  # Not Ready
    Outcome.STALE: (2, 24),  # Invalid Data: "too old or having expired"
    Outcome.FAILED: (2, 0),  # Other: our own bug
    Outcome.KEY: (9, None),  # NOTAUTH, and BADKEY in the TSIG: RFC 8945 §5.2.1
}
"""Outcome to rcode and Extended DNS Error (RFC 8914 §4)."""

STALE_ANSWER, STALE_NXDOMAIN = 3, 19

FAULTS = {
    Fault.FORMAT: Outcome.FORMAT,
    Fault.OPCODE: Outcome.OPCODE,
    Fault.VERSION: Outcome.VERSION,
    Fault.KEY: Outcome.KEY,
}


@dataclass(frozen=True, slots=True)
class Soa:
    """The data of a SOA record."""

    primary: Name
    contact: Name
    times: tuple[int, int, int, int, int]  # serial, refresh, retry, expire, minimum


Data = bytes | Name | Soa
"""A, AAAA and TXT are octets (TXT without its length), NS is a name."""


@dataclass(frozen=True, slots=True)
class Rrset:
    """Records of one name and type; the name is lower-case labels."""

    name: Name
    type: int
    ttl: int
    data: tuple[Data, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reply says; the encoder adds header, question and OPT."""

    outcome: Outcome
    authoritative: bool = False
    answer: tuple[Rrset, ...] = ()
    authority: tuple[Rrset, ...] = ()
    stale: bool = False

    @property
    def codes(self) -> tuple[int, int | None]:
        """The rcode, and the Extended DNS Error if there is one."""
        rcode, error = CODES[self.outcome]
        if self.stale:
            return rcode, STALE_NXDOMAIN if self.outcome is Outcome.NO_NAME else STALE_ANSWER
        return rcode, error


@dataclass(frozen=True, slots=True)
class View:
    """What the server knows at this instant.

    `serial` is that of the last change in the table, `age` the seconds since the data was last known to be whole:
    None before the first time. In the zones whose apex is in `paused` only the test entries are listed. `held` says
    that the database offers a zone which an operator must accept first. `observe` is told each query and its
    answer, and whether it came by UDP. `exempt` is how many listings in the table exemptions cover, when last counted.
    """

    zones: tuple[Zone, ...]
    table: Table
    serial: int
    age: int | None
    max_stale: int = 86400
    paused: frozenset[str] = frozenset()
    held: bool = False
    observe: Callable[[Query, Client, Answer, bool], None] | None = field(default=None, compare=False)
    exempt: Mapping[Category, int] = field(default_factory=dict)

    def count_listed(self) -> Mapping[Category, int]:
        """Give the number of listings in force by category, within what ended or began to be exempt in a minute."""
        return {name: max(0, count - self.exempt.get(name, 0)) for name, count in self.table.counts().items()}

    @property
    def stale(self) -> bool:
        """Tell whether the data is older than it should be, though not too old to be served."""
        return self.age is not None and self.age > STALE_AFTER


def answer(query: Query, client: Client, now: int, view: View) -> Answer:
    """Decide what a query from that address gets at that instant."""
    if query.fault is not None:
        return Answer(FAULTS[query.fault])
    zone = find_zone(query.name, view.zones)
    if zone is None or query.klass not in (IN, ANY_CLASS):
        return Answer(Outcome.NO_ZONE)
    if not zone.admits(client):
        return Answer(Outcome.PROHIBITED)
    if NXNAME < query.type < ANY:  # RFC 6895 §3.1; transfers are not served yet
        return Answer(Outcome.PROHIBITED if query.type in (AXFR, IXFR) else Outcome.META_TYPE)
    if query.type == DS and query.name == zone.name:
        above = find_zone(query.name[1:], view.zones)
        if above is not None and above.admits(client):  # a DS is the upper side's of a zone cut: RFC 4035 §3.1.4.1
            return Answer(Outcome.NO_DATA, query.klass == IN, authority=(_soa(above, view, negative=True),))
    fixed = _fixed(query, zone, view)
    rrsets, outcome = fixed or _known(query, now, zone, view)
    # RFC 1035 §6.2: an answer to class ANY is never authoritative.
    authoritative = query.klass == IN and outcome not in (Outcome.NOT_READY, Outcome.STALE)
    chosen = _choose(rrsets, query.type)
    if outcome is Outcome.HIT and not chosen:
        outcome = Outcome.NO_DATA
    negative = outcome in (Outcome.NO_DATA, Outcome.NO_NAME)
    authority = (_soa(zone, view, negative=True),) if negative else ()
    stale = fixed is None and view.stale and outcome not in (Outcome.NOT_READY, Outcome.STALE)
    return Answer(outcome, authoritative, chosen, authority, stale)


def find_zone(name: Name, zones: tuple[Zone, ...]) -> Zone | None:
    """Give the zone with the longest apex at or above the name."""
    best = None
    for zone in zones:
        apex = zone.name
        if name[-len(apex) :] == apex and (best is None or len(apex) > len(best.name)):
            best = zone
    return best


def leads_to_zone(name: Name, zones: tuple[Zone, ...]) -> bool:
    """Tell whether a name that is no apex is above one, and so exists without data (RFC 8020)."""
    return any(zone.name[-len(name) :] == name for zone in zones)


def _choose(rrsets: tuple[Rrset, ...], qtype: int) -> tuple[Rrset, ...]:
    """Give the rrset of that type; of all of them the first for ANY (RFC 8482 §4.1)."""
    if qtype == ANY:
        return rrsets[:1]
    return tuple(rrset for rrset in rrsets if rrset.type == qtype)


Records = tuple[tuple[Rrset, ...], Outcome]
"""All that a name has (a text that is not asked for stays empty), and how the look-up ended."""


def _fixed(query: Query, zone: Zone, view: View) -> Records | None:
    """Give what is so in every state: the apex, the status, name servers, test entries; None for other names."""
    name = query.name
    labels = name[: -len(zone.name)]
    if not labels:
        return _apex(zone, view), Outcome.HIT
    if len(labels) == 1:
        if labels[0] == STATUS:
            return (Rrset(name, TXT, 0, (_status(zone, view),)),), Outcome.HIT
        if labels[0] in zone.hosts:
            return _addresses(name, zone.hosts[labels[0]], zone.ttl), Outcome.HIT
    client = from_labels(labels)
    if isinstance(client, Client) and client.version == V4 and client.value & ~0xFF == LOOPBACK_NET:
        code = client.value & 0xFF
        if code in zone.test_codes:
            return _listed(name, test_entry(zone, code)), Outcome.HIT
        if client.value == NEVER:
            return (), Outcome.NO_NAME
    return None


def _known(query: Query, now: int, zone: Zone, view: View) -> Records:
    """Give what the table knows, as long as it can be trusted."""
    if view.age is None:
        return (), Outcome.NOT_READY
    if not -CLOCK_SKEW <= view.age <= view.max_stale:
        return (), Outcome.STALE
    labels = query.name[: -len(zone.name)]
    client = from_labels(labels)
    if not isinstance(client, Client):
        exists = client is Unnamed.PARTIAL or leads_to_zone(query.name, view.zones)
        return (), Outcome.NO_DATA if exists else Outcome.NO_NAME
    found = view.table.lookup(client, now) if zone.apex not in view.paused else NOTHING
    entry = make_entry(zone, found, now, client, with_text=query.type == TXT)
    if entry is None:
        return (), Outcome.HIT if may_hold_names(labels) else Outcome.NO_NAME
    return _listed(query.name, entry), Outcome.HIT


def _listed(name: Name, entry: Entry) -> tuple[Rrset, ...]:
    addresses = tuple((LOOPBACK_NET | code).to_bytes(4, "big") for code in entry.codes)
    return Rrset(name, A, entry.ttl, addresses), Rrset(name, TXT, entry.ttl, (entry.text,))


def _apex(zone: Zone, view: View) -> tuple[Rrset, ...]:
    rrsets = (
        _soa(zone, view),
        Rrset(zone.name, NS, zone.ttl, zone.nameservers),
        *_addresses(zone.name, zone.addresses, zone.ttl),
    )
    return (*rrsets, Rrset(zone.name, TXT, zone.ttl, zone.txt)) if zone.txt else rrsets


def _addresses(name: Name, addresses: Addresses, ttl: int) -> tuple[Rrset, ...]:
    both = ((A, addresses.a), (AAAA, addresses.aaaa))
    return tuple(Rrset(name, rtype, ttl, data) for rtype, data in both if data)


def _soa(zone: Zone, view: View, *, negative: bool = False) -> Rrset:
    """Give the SOA; under a negative answer with the TTL that the answer may be kept (RFC 2308 §5)."""
    ttl = min(zone.ttl, zone.negative_ttl) if negative else zone.ttl
    times = (view.serial & 0xFFFFFFFF, *SOA_TIMES, zone.negative_ttl)
    return Rrset(zone.name, SOA, ttl, (Soa(zone.nameservers[0], zone.contact, times),))


def _status(zone: Zone, view: View) -> bytes:
    """Write serial, age of the data in seconds, what is out of the ordinary, and numbers of entries, for a monitor."""
    marks = (" held=yes" if view.held else "") + (" paused=yes" if zone.apex in view.paused else "")
    if zone.kind == "allow":
        counts = ""
    else:
        numbers = view.count_listed()
        counts = "".join(f" {name}={numbers[name]}" for name in sorted(zone.codes, key=zone.codes.__getitem__))
    return f"serial={view.serial} age={'never' if view.age is None else view.age}{marks}{counts}".encode()
