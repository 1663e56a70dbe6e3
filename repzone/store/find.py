"""Which listings are wanted in, those listings out: as people and programs ask for them.

A listing wholly inside an exemption in force is not in force itself: so say look-ups too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from repzone.model import Client, Listing, State
from repzone.reasons import Category
from repzone.store.engine import instant, seconds
from repzone.store.tables import listing, listing_evidence

Sort = Literal["until", "began", "client", "offence"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What listings are asked for: without a word about it those that are in force now.

    `everything` is all that there ever were, `state` those in that state; `client` is an address or prefix that they
    cover, `network` one that they lie in; `reason` one that their evidence has; `since` when they began, at the
    earliest.
    """

    everything: bool = False
    category: Category | None = None
    client: Client | None = None
    network: Client | None = None
    state: State | None = None
    reason: str | None = None
    since: int | None = None


def find_listings(
    connection: sa.Connection,
    now: int,
    *,
    everything: bool = False,
    category: Category | None = None,
    client: Client | None = None,
) -> list[Listing]:
    """Give the listings in force now, or all ever; of a category; covering a client; the last to end first."""
    query = _select(connection, Wanted(everything, category, client), now, "until", None)
    return [_listing(row) for row in connection.execute(query)]


def stream_listings(
    connection: sa.Connection, wanted: Wanted, now: int, sort: Sort = "until", most: int | None = None
) -> Iterator[Listing]:
    """Yield listings as the server gives them, `most` at most: the first is the one that ends last, began last,
    has the lowest address, or the highest offence number.
    """
    found = connection.execute(_select(connection, wanted, now, sort, most), execution_options={"yield_per": _BLOCK})
    return map(_listing, found)


def count_listings(connection: sa.Connection, wanted: Wanted, now: int) -> int:
    """Count the listings that are wanted."""
    query = sa.select(sa.func.count()).select_from(listing).where(*_conditions(connection, wanted, now))
    return int(connection.scalar(query) or 0)


def in_force(connection: sa.Connection, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Give the conditions of a listing that look-ups find now.

    Those wholly inside an exemption are few. They are looked up first: as an array of numbers they cost the same
    however the planner guesses, and leave it the order of an index.
    """
    exempt = sa.literal(list(connection.scalars(_EXEMPT, {"now": instant(now)})), ARRAY(sa.BigInteger))
    # listing_active_expires_idx
    return listing.c.state == "active", listing.c.expires > instant(now), listing.c.id != sa.all_(exempt)


_BLOCK = 5000


def _select(connection: sa.Connection, wanted: Wanted, now: int, sort: Sort, most: int | None) -> sa.Select[Any]:
    columns = listing.c
    reasons = (
        sa.select(
            sa.func.jsonb_object_agg(
                listing_evidence.c.reason, aggregate_order_by(listing_evidence.c.count, listing_evidence.c.reason)
            )
        )
        .where(listing_evidence.c.listing_id == columns.id)  # listing_evidence_pkey
        .scalar_subquery()
    )
    return (
        sa.select(
            *(columns.key, columns.category, columns.offence, seconds(columns.began), seconds(columns.expires)),
            *(columns.state, reasons, columns.comment),
        )
        .where(*_conditions(connection, wanted, now))
        .order_by(*_ORDERS[sort])
        .limit(most)
    )


def _listing(row: Sequence[Any]) -> Listing:
    key, category, offence, began, expires, state, reasons, comment = row
    return Listing(Client.from_text(key), category, offence, began, expires, state, reasons or {}, comment)


_KEY = (listing.c.key, listing.c.category, listing.c.began)
_ORDERS: dict[Sort, tuple[sa.ColumnElement[object], ...]] = {
    "until": (listing.c.expires.desc(), *_KEY),
    "began": (listing.c.began.desc(), *_KEY),
    "client": _KEY,
    "offence": (listing.c.offence.desc(), listing.c.expires.desc(), *_KEY),
}


def _conditions(connection: sa.Connection, wanted: Wanted, now: int) -> list[sa.ColumnElement[bool]]:
    columns = listing.c
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.state is not None:
        conditions += _in_state(connection, wanted.state, now)
    elif not wanted.everything:
        conditions += in_force(connection, now)
    if wanted.category is not None:
        conditions.append(columns.category == wanted.category)
    if wanted.client is not None:
        covering = [wanted.client.truncate(length).to_text() for length in range(wanted.client.length + 1)]
        conditions.append(columns.key.in_(covering))  # listing_key_category_began_key
    if wanted.network is not None:
        inside = sa.cast(sa.literal(wanted.network.to_text()), columns.key.type)
        conditions.append(_inside(columns.key, inside))
    if wanted.reason is not None:
        has = sa.select(1).where(
            listing_evidence.c.listing_id == columns.id, listing_evidence.c.reason == wanted.reason
        )
        conditions.append(has.exists())  # listing_evidence_pkey
    if wanted.since is not None:
        # What began then ends later: so listing_expires_idx serves it.
        conditions += [columns.began >= instant(wanted.since), columns.expires >= instant(wanted.since)]
    return conditions


def _in_state(connection: sa.Connection, state: State, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Give the conditions of a state as `Listing.state_at` tells it: what has ended is expired."""
    columns = listing.c
    if state == "active":
        return in_force(connection, now)
    if state == "expired":
        ended = sa.and_(columns.state == "active", columns.expires <= instant(now))
        return (sa.or_(columns.state == "expired", ended),)
    return (columns.state == state,)


def _inside(key: sa.ColumnElement[str], network: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Tell whether a key lies in a network: a range in the order of `inet`, so of listing_key_category_began_key."""
    last = sa.func.set_masklen(sa.func.broadcast(network), sa.case((sa.func.family(network) == 4, 32), else_=128))
    return sa.and_(key >= sa.func.network(network), key <= last)


# As `_inside`. OFFSET 0 has each exemption look up its own range and nothing else: no planner knows how few those are.
_EXEMPT = sa.text("""
SELECT DISTINCT inside.id FROM exemption
CROSS JOIN LATERAL (
    SELECT id, state, expires FROM listing
    WHERE key >= network(network)
        AND key <= set_masklen(broadcast(network), CASE family(network) WHEN 4 THEN 32 ELSE 128 END)
    OFFSET 0
) AS inside
WHERE added <= :now AND (ended IS NULL OR ended > :now) AND state = 'active' AND expires > :now""")
