"""Listings that the brake holds in; published, or dropped, and the act stored in the same transaction.

Locks come in the order that `locks` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import Client, Listing
from repzone.reasons import Category
from repzone.store.acts import Act, store_act
from repzone.store.changes import add_changes
from repzone.store.engine import instant
from repzone.store.find import Wanted, stream_listings
from repzone.store.locks import lock_acts
from repzone.store.manual import count_by_category, end_listings, lock_clients
from repzone.store.tables import listing


@dataclass(frozen=True, slots=True)
class Released:
    """How many listings are in the zone now, and how many had already ended, by category."""

    published: Mapping[Category, int]
    expired: Mapping[Category, int]


def find_held(
    connection: sa.Connection, now: int, *, keys: frozenset[Client] | None = None, category: Category | None = None
) -> list[Listing]:
    """Give the listings that are held, those too whose end has come; the last begun first."""
    wanted = Wanted(state="held", category=category)
    return [one for one in stream_listings(connection, wanted, now, "began") if keys is None or one.client in keys]


def release_held(
    connection: sa.Connection, keys: frozenset[Client] | None, category: Category | None, act: Act
) -> Released:
    """Publish what is held, begin and end unchanged; what has ended meanwhile is expired. None of `keys` is all."""
    lock_acts(connection)
    columns = listing.c
    state = sa.case((columns.expires > instant(act.at), "active"), else_="expired")
    released = listing.update().where(*_conditions(keys, category)).values(state=sa.cast(state, columns.state.type))
    rows = connection.execute(released.returning(columns.id, columns.category, columns.state)).all()
    published = [(number, of) for number, of, state in sorted(rows) if state == "active"]
    expired = [(number, of) for number, of, state in sorted(rows) if state == "expired"]
    outcome = Released(count_by_category(published), count_by_category(expired))
    if rows:
        done = store_act(connection, act, published=outcome.published, expired=outcome.expired)
        add_changes(connection, [number for number, _ in (*published, *expired)], act.at, done)
    return outcome


def drop_held(
    connection: sa.Connection, keys: frozenset[Client] | None, category: Category | None, act: Act
) -> dict[Category, int]:
    """End what is held, as if it had never been; give how many by category. None of `keys` is all."""
    lock_acts(connection)
    numbers = list(connection.scalars(sa.select(listing.c.id).where(*_conditions(keys, category))))
    lock_clients(connection, numbers, act.at)
    dropped = end_listings(connection, numbers, "dropped", act.at)
    counts = count_by_category(dropped)
    if dropped:
        done = store_act(connection, act, listings=counts)
        add_changes(connection, [number for number, _ in dropped], act.at, done)
    return counts


def _conditions(keys: frozenset[Client] | None, category: Category | None) -> list[sa.ColumnElement[bool]]:
    conditions = [listing.c.state == "held"]  # listing_held_idx
    if keys is not None:
        conditions.append(listing.c.key.in_([str(key) for key in keys]))
    if category is not None:
        conditions.append(listing.c.category == category)
    return conditions
