"""Clients that need a decision out, decisions in; and the listings as people and programs ask for them.

The caller owns the transaction. `take_pending` locks the clients that it gives until the end of it, so that any
number of calculators may run and ingestion of these clients' new events waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from repzone.model import Client, Exemptions, Listing
from repzone.policy.calculator import Decision, Offence
from repzone.policy.rules import Rulebook
from repzone.reasons import COUNTED, Category
from repzone.store.changes import add_changes
from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.tables import listing, listing_evidence

Key = tuple[str, Category]
"""A client key as text, and the category: what is decided for at once."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules need to know of one client and category."""

    client: Client
    category: Category
    offences: list[Offence]
    earlier: list[Listing]


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
    windows = {category: rulebook.longest_window(category) for category in COUNTED}
    arrays = {
        "keys": [key for key, _ in keys],
        "categories": [category for _, category in keys],
        "since": [since - windows[category] for _, category, since in taken],
        "first": min(since - windows[category] for _, category, since in taken),
        "until": now + FUTURE,
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
    return [Case(Client.from_text(key[0]), key[1], offences[key], earlier[key]) for key in keys]


def add_decisions(connection: sa.Connection, decisions: Sequence[tuple[Case, Decision]], now: int) -> None:
    """Store the listings that begin, with their evidence, and give them serials."""
    if not decisions:
        return
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
    add_changes(connection, numbers, now)


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

_EARLIER = sa.text(f"""
SELECT taken.key, taken.category, listing.offence, extract(epoch FROM listing.began)::bigint,
    extract(epoch FROM listing.expires)::bigint, listing.state
FROM {_TAKEN} JOIN listing USING (key, category)
ORDER BY listing.began""")  # noqa: S608 - our own words
