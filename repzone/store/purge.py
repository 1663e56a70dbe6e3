"""Which events were never true in; how many they are of how many clients, and none of them left, out."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.store.acts import Act, store_act
from repzone.store.engine import instant, seconds
from repzone.store.locks import lock_acts
from repzone.store.tables import event


@dataclass(frozen=True, slots=True)
class Faulty:
    """Events of these sources, of this reason, since an instant; None is whichever."""

    sources: Sequence[int] | None = None
    reason: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """How many events, of how many clients, and when the first and the last of them were (None: there is none)."""

    events: int
    clients: int
    first: int | None
    last: int | None


def find_faulty(connection: sa.Connection, faulty: Faulty) -> Found:
    """Count the events; every one that is stored is looked at."""
    columns = event.c
    query = sa.select(
        *(sa.func.count(), sa.func.count(sa.distinct(columns.key))),
        *(seconds(sa.func.min(columns.at)), seconds(sa.func.max(columns.at))),
    ).where(*_conditions(faulty))
    return Found(*connection.execute(query).one())


def purge(connection: sa.Connection, faulty: Faulty, act: Act) -> int:
    """Delete the events, and store whose act that was; give how many. Listings stay as they are.

    Ids of their senders are remembered: what is sent once more is not stored once more.
    """
    lock_acts(connection)
    found = find_faulty(connection, faulty)
    if not found.events:
        return 0
    deleted = connection.execute(event.delete().where(*_conditions(faulty))).rowcount
    store_act(connection, act, events=deleted, clients=found.clients)
    return deleted


def _conditions(faulty: Faulty) -> list[sa.ColumnElement[bool]]:
    columns = event.c
    conditions: list[sa.ColumnElement[bool]] = []
    if faulty.sources is not None:
        conditions.append(columns.source_id.in_(faulty.sources))
    if faulty.reason is not None:
        conditions.append(columns.reason == faulty.reason)
    if faulty.since is not None:
        conditions.append(columns.at >= instant(faulty.since))
    return conditions
