"""Clients that need a decision out, decisions in; and the listings as people and programs ask for them.

The caller owns the transaction. `take_pending` locks the clients that it gives until the end of it, so that any
number of calculators may run and ingestion of these clients' new events waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from repzone.model import Client, Exemptions, Listing
from repzone.policy.calculator import Decision, Judgement, Offence, Spared
from repzone.policy.rules import Rulebook
from repzone.reasons import COUNTED, Category
from repzone.store.changes import add_changes, lock_serials
from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.tables import listing, listing_evidence, spared

Key = tuple[str, Category]
"""A client key as text, and the category: what is decided for at once."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules need to know of one client and category."""

    client: Client
    category: Category
    offences: list[Offence]
    earlier: list[Listing]
    clean: list[tuple[int, int]]
    spared: list[Spared]


def take_pending(
    connection: sa.Connection, rulebook: Rulebook, exemptions: Exemptions, now: int, most: int
) -> list[Case]:
    """Take up to `most` clients that are due and not another calculator's, with the offences that can matter.

    Events stamped more than FUTURE seconds ahead of now stay for later.
    """
    taken = connection.execute(_TAKE, {"now": now, "most": most}).all()
    if not taken:
        return []
    keys: list[Key] = [(key, category) for key, category, _ in taken]
    reach = {category: rulebook.reach(category) for category in COUNTED}
    arrays = {
        "keys": [key for key, _ in keys],
        "categories": [category for _, category in keys],
        "since": [since - reach[category] for _, category, since in taken],
        "first": min(since - reach[category] for _, category, since in taken),
        "until": now + FUTURE,
        "weighing": [category for category in COUNTED if rulebook.weighs_clean(category)],
    }
    connection.execute(_MARK_LATER, arrays)
    offences: dict[Key, list[Offence]] = {key: [] for key in keys}
    for key, category, at, address, reason, count in connection.execute(_OFFENCES, arrays):
        if exemptions.find(Client.from_text(address), at) is None:
            offences[key, category].append(Offence(at, reason, count))
    earlier: dict[Key, list[Listing]] = {key: [] for key in keys}
    for key, category, number, began, expires, state in connection.execute(_EARLIER, arrays):
        client = Client.from_text(key)
        earlier[key, category].append(Listing(client, category, number, began, expires, state))
    clean: dict[Key, list[tuple[int, int]]] = {key: [] for key in keys}
    mercies: dict[Key, list[Spared]] = {key: [] for key in keys}
    if arrays["weighing"]:
        for key, category, hour, messages in connection.execute(_CLEAN, arrays):
            clean[key, category].append((hour, messages))
    for key, category, *episode in connection.execute(_SPARED, arrays):
        mercies[key, category].append(Spared(*episode))
    return [
        Case(Client.from_text(key[0]), key[1], offences[key], earlier[key], clean[key], mercies[key]) for key in keys
    ]


def add_decisions(
    connection: sa.Connection, judged: Sequence[tuple[Case, Judgement]], brake: int | None, now: int
) -> int:
    """Store the listings that begin, with their evidence, and give them serials; note who was spared.

    `brake` is how many listings may begin within an hour (None: BRAKE, or a fifth of the active ones if that is
    more); those above it are held. Gives how many that are.
    """
    _add_spared(connection, judged)
    decisions = [(case, decision) for case, judgement in judged for decision in judgement.listings]
    if not decisions:
        return 0
    rows = [_listing_row(case, decision, now) for case, decision in decisions]
    statement = listing.insert().returning(listing.c.id, sort_by_parameter_order=True)
    numbers = [int(number) for number in connection.execute(statement, rows).scalars()]
    evidence = [
        {
            "listing_id": number,
            "reason": reason,
            "count": seen.count,
            "first": instant(seen.first),
            "last": instant(seen.last),
        }
        for number, (_, decision) in zip(numbers, decisions, strict=True)
        for reason, seen in decision.evidence.items()
    ]
    connection.execute(listing_evidence.insert(), evidence)
    connection.execute(_ADD_SAMPLES, _sampled(numbers, decisions))
    lock_serials(connection)
    held = _hold(connection, numbers, brake, now)
    add_changes(connection, numbers, now)
    return held


BRAKE = 1000
"""So many listings may begin within BRAKE_SPAN seconds of wall time unless a policy says otherwise."""

BRAKE_SPAN = 3600

SAMPLES = 5
"""Lines that are kept of a listing's evidence."""


def _hold(connection: sa.Connection, numbers: Sequence[int], brake: int | None, now: int) -> int:
    """Hold those of these listings that are above what may begin within an hour; serials must be locked."""
    arrays = {"ids": list(numbers), "now": instant(now), "since": instant(now - BRAKE_SPAN)}
    opened = connection.scalar(_OPENED, arrays) or 0
    if brake is None and opened > BRAKE:
        brake = max(BRAKE, (connection.scalar(_ACTIVE, arrays) or 0) // 5)
    above = opened - (brake or BRAKE)
    return 0 if above <= 0 else connection.execute(_HOLD, {**arrays, "above": above}).rowcount


def _sampled(numbers: Sequence[int], decisions: Sequence[tuple[Case, Decision]]) -> Mapping[str, object]:
    """Give the arrays of _ADD_SAMPLES: where the lines that led to each listing are to be found."""
    firsts = [min(seen.first for seen in decision.evidence.values()) for _, decision in decisions]
    return {
        "ids": list(numbers),
        "keys": [case.client.to_text() for case, _ in decisions],
        "categories": [case.category for case, _ in decisions],
        "firsts": firsts,
        "lasts": [decision.began for _, decision in decisions],
        "first": min(firsts),
        "last": max(decision.began for _, decision in decisions),
        "samples": SAMPLES,
    }


def _add_spared(connection: sa.Connection, judged: Sequence[tuple[Case, Judgement]]) -> None:
    rows = [
        {
            "key": case.client.to_text(),
            "category": case.category,
            "began": instant(episode.began),
            "last": instant(episode.last),
            "policy_version_id": episode.version,
            "points": episode.points,
            "offences": episode.offences,
            "clean": episode.clean,
        }
        for case, judgement in judged
        for episode in judgement.spared
    ]
    if rows:
        added = insert(spared)
        news = {name: added.excluded[name] for name in ("last", "points", "offences", "clean")}
        connection.execute(added.on_conflict_do_update(constraint="spared_pkey", set_=news), rows)


def find_listings(
    connection: sa.Connection,
    now: int,
    *,
    everything: bool = False,
    category: Category | None = None,
    client: Client | None = None,
) -> list[Listing]:
    """Give the listings in force now, or all ever; of a category; covering a client; the last to end first."""
    columns = listing.c
    reasons = (
        sa.select(
            sa.func.jsonb_object_agg(
                listing_evidence.c.reason, aggregate_order_by(listing_evidence.c.count, listing_evidence.c.reason)
            )
        )
        .where(listing_evidence.c.listing_id == columns.id)
        .scalar_subquery()
    )
    query = sa.select(
        *(columns.key, columns.category, columns.offence, seconds(columns.began), seconds(columns.expires)),
        *(columns.state, reasons, columns.comment),
    ).order_by(columns.expires.desc(), columns.key, columns.category, columns.began)
    if not everything:
        query = query.where(columns.state == "active", columns.expires > instant(now))
    if category is not None:
        query = query.where(columns.category == category)
    if client is not None:
        covering = [client.truncate(length).to_text() for length in range(client.length + 1)]
        query = query.where(columns.key.in_(covering))  # listing_key_category_began_key
    return [
        Listing(Client.from_text(key), kind, number, began, expires, state, reasons or {}, comment)
        for key, kind, number, began, expires, state, reasons, comment in connection.execute(query)
    ]


def _listing_row(case: Case, decision: Decision, now: int) -> Mapping[str, object]:
    return {
        "key": case.client.to_text(),
        "category": case.category,
        "offence": decision.offence,
        "began": instant(decision.began),
        "expires": instant(decision.expires),
        "state": decision.state,
        "policy_version_id": decision.version,
        "points": decision.points,
        "created": instant(now),
    }


_TAKE = sa.text("""
DELETE FROM pending USING (
    SELECT key, category FROM pending WHERE due <= to_timestamp(:now)
    ORDER BY due, key, category LIMIT :most FOR UPDATE SKIP LOCKED
) AS free
WHERE pending.key = free.key AND pending.category = free.category
RETURNING pending.key, pending.category, extract(epoch FROM pending.since)::bigint""")

_TAKEN = """unnest(CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:since AS bigint[]))
    AS taken (key, category, since)"""

_MARK_LATER = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT event.key, event.category, min(event.at), min(event.at)
FROM {_TAKEN} JOIN event USING (key, category)
WHERE event.at > to_timestamp(:until) AND NOT event.late
GROUP BY event.key, event.category""")  # noqa: S608 - our own words

# For each client the index event_key_category_at_idx of the days since its window began; `first`, the least of these
# instants, leaves the planner only so many days' partitions to look at.
_OFFENCES = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM found.at)::bigint, found.client, found.reason, found.count
FROM {_TAKEN}
CROSS JOIN LATERAL (
    SELECT max(expires) AS expires FROM listing
    WHERE listing.key = taken.key AND listing.category = taken.category
) AS last
CROSS JOIN LATERAL (
    SELECT at, client, reason, sum(count)::integer AS count FROM event
    WHERE event.key = taken.key AND event.category = taken.category AND NOT late
        AND at > to_timestamp(taken.since) AND at <= to_timestamp(:until) AND at > to_timestamp(:first)
        AND at >= coalesce(last.expires, '-infinity')
    GROUP BY at, client, reason ORDER BY at, client, reason
) AS found
ORDER BY taken.key, taken.category, found.at, found.client, found.reason""")  # noqa: S608 - our own words

# traffic_pkey
_CLEAN = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM hour)::bigint, messages
FROM {_TAKEN} JOIN traffic ON traffic.key = taken.key AND hour >= to_timestamp(taken.since) AND messages > 0
WHERE taken.category = ANY(CAST(:weighing AS category[]))
ORDER BY hour""")  # noqa: S608 - our own words

# spared_pkey
_SPARED = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM began)::bigint, extract(epoch FROM last)::bigint,
    policy_version_id, points, offences, clean
FROM {_TAKEN} JOIN spared USING (key, category)
WHERE last >= to_timestamp(taken.since)
ORDER BY began""")  # noqa: S608 - our own words

# The newest of each listing's lines, by the index event_key_category_at_idx of the days that it took.
_ADD_SAMPLES = sa.text("""
INSERT INTO listing_sample (listing_id, at, client, reason, component, detail)
SELECT n.id, found.at, found.client, found.reason, found.component, found.detail
FROM unnest(CAST(:ids AS bigint[]), CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:firsts AS bigint[]),
    CAST(:lasts AS bigint[])) AS n (id, key, category, first, last)
CROSS JOIN LATERAL (
    SELECT at, client, reason, component, detail FROM event
    WHERE event.key = n.key AND event.category = n.category AND NOT late AND detail <> ''
        AND at >= to_timestamp(n.first) AND at <= to_timestamp(n.last)
        AND at >= to_timestamp(:first) AND at <= to_timestamp(:last)
    ORDER BY at DESC LIMIT :samples
) AS found""")

# listing_created_idx
_OPENED = sa.text("""
SELECT count(*) FROM listing
WHERE created > :since AND state = 'active' AND expires > :now AND category <> 'manual'""")

# listing_active_expires_idx
_ACTIVE = sa.text("SELECT count(*) FROM listing WHERE state = 'active' AND expires > :now")

_HOLD = sa.text("""
UPDATE listing SET state = 'held' WHERE id IN (
    SELECT id FROM listing WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'active' AND expires > :now
    ORDER BY began DESC, id DESC LIMIT :above
)""")

_EARLIER = sa.text(f"""
SELECT taken.key, taken.category, listing.offence, extract(epoch FROM listing.began)::bigint,
    extract(epoch FROM listing.expires)::bigint, listing.state
FROM {_TAKEN} JOIN listing USING (key, category)
ORDER BY listing.began""")  # noqa: S608 - our own words
