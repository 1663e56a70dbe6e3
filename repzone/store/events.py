"""Events and hits in; rows, evidence of running listings and marks of the clients that need a new decision out.

The caller owns the transaction, in which the position of the log is stored too. The order matters: the marks are
locked first, so that no calculator decides for these clients until this transaction ends, and what is late is
judged by the listings as they then are. The database is asked once about each key and category of a batch, not about
each event; the rows then go into their days by COPY.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import sqlalchemy as sa

from repzone.model import Client, Event, Exemption, Exemptions, Hit
from repzone.policy.rules import Policy, Rulebook
from repzone.reasons import CATALOGUE, Category
from repzone.store import binary
from repzone.store.tables import MARKED, VOID

FUTURE = 300
"""Seconds that a stamp may be ahead of now; what is further ahead is decided once it is so no more."""

SAMPLES = 5
"""So many events of a key, category and day (UTC) keep component and detail: the first that come, and the first behind
the end of its last listing.
"""

PENDING = "repzone_pending"
"""The channel that a commit of new events notifies."""

_DAY = 86_400


def add_days(engine: sa.Engine, instants: Iterable[int]) -> None:
    """Make the day partitions of `event` that are missing, in a transaction of their own.

    One that was just being pruned when its events came is part of all again.
    """
    days = {f"event_{day:%Y%m%d}": day for day in (datetime.fromtimestamp(at, UTC).date() for at in instants)}
    with engine.connect() as connection:
        have = set(connection.scalars(_FIND_DAYS, {"names": list(days)}))
    for name in sorted(days.keys() - have):
        day, after = days[name], days[name] + timedelta(days=1)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.event_days'))")
            if connection.scalar(_FIND_DAYS, {"names": [name]}) is not None:
                continue  # another has made it meanwhile
            if connection.scalar(_FIND_DETACHING, {"name": name}) is not None:
                connection.exec_driver_sql(f"ALTER TABLE event DETACH PARTITION {name} FINALIZE")
            # ATTACH, unlike PARTITION OF, does not lock out those who read and write the other days.
            like = "(LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {name} {like}")
            bounds = f"FROM ('{day} 00:00:00+00') TO ('{after} 00:00:00+00')"
            connection.exec_driver_sql(f"ALTER TABLE event ATTACH PARTITION {name} FOR VALUES {bounds}")


def add_events(
    connection: sa.Connection,
    source_id: int,
    events: Sequence[Event],
    rulebook: Rulebook,
    exemptions: Exemptions,
    now: int,
) -> dict[str, int]:
    """Store events of one source, those with an id once; give how many offences by category are new.

    Their days must exist (`add_days`). `rulebook` and `exemptions` are those of the database at this time. Call it
    once a transaction: marks are locked in the order of their keys, so that nobody waits in a circle.
    """
    events = _unknown(connection, source_id, events)
    if not events:
        return {}
    cases = _gather(events, rulebook, exemptions)
    _mark(connection, cases, now)
    lasts = _ask(connection, cases)
    _add_evidence(connection, cases, lasts)
    binary.copy(connection, "event", _COLUMNS, _rows(source_id, cases, lasts))
    connection.exec_driver_sql(f"NOTIFY {PENDING}")
    counts: Counter[str] = Counter()
    for case in cases:
        counts[case.category] += case.count
    return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest listing of a key and category."""

    id: int
    began: int
    expires: int


@dataclass(slots=True)
class _Case:
    """What one key and category did: each event with its act, and whether it weighs."""

    key: str
    category: Category
    count: int = 0
    since: int | None = None  # the first event that weighs
    events: list[tuple[Event, _Act, bool]] = field(default_factory=list)
    days: dict[int, int] = field(default_factory=dict)  # days since 1970: how many events are known of each


@dataclass(frozen=True, slots=True)
class _Who:
    """What a client's events have in common: fields of key and client, exemptions, and the cases of its key."""

    key: str
    fields: bytes
    exemptions: list[Exemption]
    narrow: list[Exemption]  # of these, the ones that do not cover the whole key
    cases: dict[Category, _Case]


@dataclass(frozen=True, slots=True)
class _Act:
    """What a client's events of one reason have in common: fields of their rows, and whether the reason weighs.

    It does not know its case, which knows it with each event: in circles a batch would outlive its transaction.
    """

    kind: bytes  # category and reason
    client: bytes  # key and client
    usual: bytes  # all fields, of one event that is neither late nor exempt nor a sample
    weighs: bool
    exemptions: list[Exemption]
    narrow: list[Exemption]


@dataclass(frozen=True, slots=True)
class _View:
    """How one version of the policy sees things: length of IPv6 keys, the reasons that weigh, what was found so far."""

    ipv6_prefix: int
    weighing: frozenset[str]
    clients: dict[tuple[int, int, int], _Who] = field(default_factory=dict)
    acts: dict[tuple[int, str], tuple[_Case, _Act]] = field(default_factory=dict)  # by id(client), reason

    @classmethod
    def of(cls, policy: Policy) -> Self:
        return cls(policy.ipv6_prefix, frozenset(reason for reason in CATALOGUE if policy.weight(reason) > 0))


def _unknown(connection: sa.Connection, source_id: int, events: Sequence[Event]) -> Sequence[Event]:
    """Leave out the events whose id this source has had."""
    ids = {event.id: event.at for event in reversed(events) if event.id is not None}
    if not ids:
        return events
    arrays = {"source": source_id, "ids": list(ids), "ats": list(ids.values())}
    new = set(connection.scalars(_ADD_IDS, arrays))
    unknown = []
    for event in events:
        if event.id is None:
            unknown.append(event)
        elif event.id in new:
            new.remove(event.id)
            unknown.append(event)
    return unknown


def _gather(events: Sequence[Event], rulebook: Rulebook, exemptions: Exemptions) -> list[_Case]:
    """Sort the events into cases. What many of them share is found once: this is done for every event there is."""
    views = {version.id: _View.of(version.policy) for version in rulebook.versions}
    only = views[rulebook.versions[0].id] if len(views) == 1 else None
    keys: dict[Client, dict[Category, _Case]] = {}
    for event in events:
        at, client, reason = event.at, event.client, event.reason
        view = only or views[rulebook.at(at).id]
        found = view.acts.get((id(client), reason))  # the events keep their clients
        if found is None:
            found = view.acts[id(client), reason] = _act(client, reason, view, exemptions, keys)
        case, act = found
        weighs = act.weighs and not (act.exemptions and any(one.holds_at(at) for one in act.exemptions))
        if weighs and (case.since is None or at < case.since):
            case.since = at
        case.count += event.count
        case.events.append((event, act, weighs))
        case.days[at // _DAY] = 0
    return [case for cases in keys.values() for case in cases.values()]


def _act(
    client: Client, reason: str, view: _View, exemptions: Exemptions, keys: dict[Client, dict[Category, _Case]]
) -> tuple[_Case, _Act]:
    number = client.version, client.value, client.length  # hashed and compared faster than the client
    who = view.clients.get(number)
    if who is None:
        key = client.key(view.ipv6_prefix)
        fields = binary.inet(key) + binary.inet(client)
        covering = exemptions.find_ever(client)
        narrow = [one for one in covering if one.network.length > key.length]
        who = view.clients[number] = _Who(key.to_text(), fields, covering, narrow, keys.setdefault(key, {}))
    category = CATALOGUE[reason]
    case = who.cases.get(category)
    if case is None:
        case = who.cases[category] = _Case(who.key, category)
    kind = _KINDS[reason]
    usual = b"".join((kind, binary.smallint(1), who.fields, binary.FALSE, binary.FALSE, _UNSAMPLED))
    return case, _Act(kind, who.fields, usual, reason in view.weighing, who.exemptions, who.narrow)


def _mark(connection: sa.Connection, cases: Sequence[_Case], now: int) -> None:
    """Mark the clients that have new events which weigh, and with the marks lock them."""
    marked = [(case.key, case.category, case.since) for case in cases if case.since is not None]
    if marked:
        keys, categories, since = map(list, zip(*marked, strict=True))
        due = [max(now, at - FUTURE) for at in since]
        connection.execute(_MARK, {"keys": keys, "categories": categories, "since": since, "due": due})


def _ask(connection: sa.Connection, cases: Sequence[_Case]) -> dict[int, _Last]:
    """Give the newest listing of those cases that have one, by number; note how many events each has had a day."""
    asked = [(n, case, day) for n, case in enumerate(cases) for day in case.days]
    arrays = {
        "keys": [case.key for _, case, _ in asked],
        "categories": [case.category for _, case, _ in asked],
        "days": [day * _DAY for _, _, day in asked],
        "newest": [case.events[-1][0].at for _, case, _ in asked],  # as logs are in order
        "first": min(day for _, _, day in asked) * _DAY,
        "last": max(day for _, _, day in asked) * _DAY,
        "samples": SAMPLES,
    }
    lasts = {}
    for row, count, last, began, expires in connection.execute(_ASK, arrays):
        n, case, day = asked[row - 1]
        case.days[day] = count
        if last is not None:
            lasts[n] = _Last(last, began, expires)
    return lasts


def _add_evidence(connection: sa.Connection, cases: Sequence[_Case], lasts: dict[int, _Last]) -> None:
    """Count what happened within a running listing for that listing."""
    found: dict[tuple[int, str], tuple[int, int, int]] = {}
    for n, last in lasts.items():
        for event, _, weighs in cases[n].events:
            if weighs and last.began <= event.at < last.expires:
                of = last.id, event.reason
                count, first, newest = found.get(of, (0, event.at, event.at))
                found[of] = count + event.count, min(first, event.at), max(newest, event.at)
    if found:
        rows = [(*of, *seen) for of, seen in found.items()]
        columns = ("ids", "reasons", "counts", "first", "last")
        connection.execute(_ADD_EVIDENCE, dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))


_COLUMNS = ("at", "source_id", "category", "reason", "count", "key", "client", "late", "exempt", "component", "detail")
_UNSAMPLED = binary.text("") * 2
_KINDS = {reason: binary.text(category) + binary.text(reason) for reason, category in CATALOGUE.items()}


def _rows(source_id: int, cases: Sequence[_Case], lasts: dict[int, _Last]) -> Iterator[bytes]:
    """Give the events as rows; what is late, what of a part that is exempt, and what a sample, is decided here."""
    begin, source = binary.row(len(_COLUMNS)), binary.integer(source_id)
    leads: dict[int, bytes] = {}
    for n, case in enumerate(cases):
        last = lasts.get(n)
        began = last.began if last else 0
        days = case.days
        for event, act, _ in case.events:
            at = event.at
            lead = leads.get(at)
            if lead is None:
                lead = leads[at] = begin + binary.instant(at) + source
            day = at // _DAY
            if days[day] >= SAMPLES and began <= at and event.count == 1 and not act.narrow:
                yield lead + act.usual
                continue
            sample = _UNSAMPLED
            if days[day] < SAMPLES:
                days[day] += 1
                sample = binary.text(event.component) + binary.text(event.detail)
            late = binary.TRUE if began > at else binary.FALSE
            exempt = binary.TRUE if any(one.holds_at(at) for one in act.narrow) else binary.FALSE
            yield b"".join((lead, act.kind, binary.smallint(event.count), act.client, late, exempt, sample))


def mark_passed_over(connection: sa.Connection, ended: Sequence[tuple[int, int]], now: int) -> None:
    """Have events be late that these listings, each with the end that it had, held until now, and that lie before
    another which has been decided.

    Only a log whose clock is ahead has such.
    """
    if ended:
        numbers, untils = map(list, zip(*ended, strict=True))
        arrays = {"ids": numbers, "untils": untils, "now": now, "soon": now + FUTURE}
        connection.execute(_MARK_PASSED_OVER, arrays)


def add_hits(connection: sa.Connection, hits: Sequence[Hit], rulebook: Rulebook) -> int:
    """Count refusals that our zones caused for the listing in force then; give how many."""
    if hits:
        arrays = {
            "keys": [hit.client.key(rulebook.at(hit.at).policy.ipv6_prefix).to_text() for hit in hits],
            "ats": [hit.at for hit in hits],
        }
        connection.execute(_ADD_HITS, arrays)
    return len(hits)


_FIND_DAYS = sa.text("""
SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE relname = ANY(CAST(:names AS name[])) AND inhparent = 'event'::regclass AND NOT inhdetachpending""")

_FIND_DETACHING = sa.text("""
SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE relname = :name AND inhparent = 'event'::regclass""")

_ADD_IDS = sa.text("""
INSERT INTO event_id (source_id, id, at)
SELECT :source, id, to_timestamp(at) FROM unnest(CAST(:ids AS text[]), CAST(:ats AS bigint[])) AS new (id, at)
ORDER BY id
ON CONFLICT DO NOTHING RETURNING id""")

# DO UPDATE and not DO NOTHING: it locks the mark, and with it the client, until this transaction ends; also where
# nothing is to be changed, which spares the row.
_MARK = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT key, category, to_timestamp(since), to_timestamp(due)
FROM unnest(CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:since AS bigint[]), CAST(:due AS bigint[]))
    AS new (key, category, since, due)
ORDER BY key, category
{MARKED}""")  # noqa: S608 - our own words

# For each key, category and day: listing_key_category_began_key, backward, and the first entries of the day's
# event_key_category_at_idx, or those behind that listing where there are new ones. The bounds of all leave the planner
# only these days' partitions to look at.
_ASK = sa.text(f"""
SELECT n, seen.count, last.id, extract(epoch FROM last.began)::bigint, extract(epoch FROM last.expires)::bigint
FROM unnest(
    CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:days AS bigint[]), CAST(:newest AS bigint[])
) WITH ORDINALITY AS asked (key, category, day, newest, n)
LEFT JOIN LATERAL (
    SELECT id, began, expires FROM listing
    WHERE listing.key = asked.key AND listing.category = asked.category AND NOT {VOID} ORDER BY began DESC LIMIT 1
) AS last ON true
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM event WHERE event.key = asked.key AND event.category = asked.category
            AND at >= to_timestamp(day) AND at < to_timestamp(day + 86400)
            AND (at >= last.expires OR last.expires > to_timestamp(newest) OR last.expires IS NULL)
            AND at >= to_timestamp(:first) AND at < to_timestamp(:last + 86400)
        LIMIT :samples
    ) AS earlier
) AS seen
WHERE seen.count > 0 OR last.id IS NOT NULL""")  # noqa: S608 - our own words

_ADD_EVIDENCE = sa.text("""
INSERT INTO listing_evidence (listing_id, reason, count, first, last)
SELECT listing_id, reason, count, to_timestamp(first), to_timestamp(last)
FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS reason[]), CAST(:counts AS bigint[]), CAST(:first AS bigint[]),
    CAST(:last AS bigint[])) AS new (listing_id, reason, count, first, last)
ORDER BY listing_id, reason
ON CONFLICT (listing_id, reason) DO UPDATE SET
    count = listing_evidence.count + excluded.count,
    first = least(listing_evidence.first, excluded.first), last = greatest(listing_evidence.last, excluded.last)""")

# listing_key_category_began_key; the partitions of today, or tomorrow.
_MARK_PASSED_OVER = sa.text(f"""
UPDATE event SET late = true
FROM unnest(CAST(:ids AS bigint[]), CAST(:untils AS bigint[])) AS had (id, until)
JOIN listing AS ended USING (id) JOIN listing USING (key, category)
WHERE listing.began > ended.began AND listing.began > to_timestamp(:now)
    AND NOT {VOID} AND event.key = ended.key AND event.category = ended.category
    AND event.at >= greatest(ended.expires, ended.began + interval '1 s') AND event.at < to_timestamp(until)
    AND event.at < listing.began
    AND event.at >= to_timestamp(:now) AND event.at < to_timestamp(:soon) AND NOT late""")  # noqa: S608 - our own words

# The listing that the refusal named is the one that ended last, as in the TXT.
_ADD_HITS = sa.text("""
INSERT INTO hit (key, hour, listing_id, count)
SELECT key, date_trunc('hour', at), listing_id, count(*)
FROM (SELECT key, to_timestamp(at) AS at FROM unnest(CAST(:keys AS inet[]), CAST(:ats AS bigint[])) AS new (key, at))
    AS new
LEFT JOIN LATERAL (
    SELECT id AS listing_id FROM listing
    WHERE listing.key = new.key AND began <= new.at AND new.at < expires
        AND state IN ('active', 'expired', 'released', 'reversed')
    ORDER BY expires DESC, category LIMIT 1
) AS named ON true
GROUP BY key, date_trunc('hour', at), listing_id
ORDER BY key, date_trunc('hour', at), listing_id
ON CONFLICT (key, hour, listing_id) DO UPDATE SET count = hit.count + excluded.count""")
