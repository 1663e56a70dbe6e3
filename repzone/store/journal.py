"""A place in the audit in, one page of acts out: who did what, when and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.store.acts import Act
from repzone.store.browse import PAGE
from repzone.store.engine import instant, seconds
from repzone.store.tables import act


@dataclass(frozen=True, slots=True)
class Entry:
    """An act with its number."""

    id: int
    act: Act


@dataclass(frozen=True, slots=True)
class Journal:
    """Acts, the newest first; whether there are newer ones, or older ones."""

    entries: Sequence[Entry]
    newer: bool
    older: bool


def load_journal(
    connection: sa.Connection, *, before: tuple[int, int] | None = None, after: tuple[int, int] | None = None
) -> Journal:
    """Give the page of acts before an instant and number, or after them; without either, the newest."""
    columns = act.c
    query = sa.select(
        *(columns.id, seconds(columns.at), columns.author, columns.verb, columns.subject, columns.reason),
        columns.details,
    ).limit(PAGE + 1)  # act_at_idx
    place = sa.tuple_(columns.at, columns.id)
    if after is not None:
        query = query.where(place > sa.tuple_(sa.literal(instant(after[0])), sa.literal(after[1])))
        query = query.order_by(columns.at, columns.id)
    else:
        query = query.order_by(columns.at.desc(), columns.id.desc())
        if before is not None:
            query = query.where(place < sa.tuple_(sa.literal(instant(before[0])), sa.literal(before[1])))
    entries = [Entry(number, Act(*rest)) for number, *rest in connection.execute(query)]
    more, entries = len(entries) > PAGE, entries[:PAGE]
    if after is not None:
        return Journal(entries[::-1], newer=more, older=True)
    return Journal(entries, newer=before is not None, older=more)
