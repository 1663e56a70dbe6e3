"""What an operator did by hand in, rows of the audit out: who, when, what and why. Written with what it changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from repzone.store.engine import instant, seconds
from repzone.store.tables import act


@dataclass(frozen=True, slots=True)
class Act:
    """One act of an operator; `subject` is an address, a network, an apex, or what was chosen by."""

    at: int
    author: str
    verb: str
    subject: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


def utc(at: int) -> str:
    """Write an instant for the details of an act: RFC 3339 with Z."""
    return f"{instant(at):%Y-%m-%dT%H:%M:%SZ}"


def add_act(
    connection: sa.Connection,
    author: str,
    verb: str,
    subject: str,
    reason: str,
    now: int,
    details: Mapping[str, Any] | None = None,
) -> int:
    """Store an act and give its number, for the changes that it makes in the same transaction."""
    row = {"author": author, "verb": verb, "subject": subject, "reason": reason, "details": dict(details or {})}
    return int(connection.scalar(act.insert().values(at=instant(now), **row).returning(act.c.id)) or 0)


def store_act(connection: sa.Connection, done: Act, **details: Any) -> int:
    """Store an act with these details beside its own, and give its number."""
    known = {**done.details, **details}
    return add_act(connection, done.author, done.verb, done.subject, done.reason, done.at, known)


def load_acts(connection: sa.Connection, *, since: int = 0, most: int | None = None) -> list[Act]:
    """Give the acts from an instant on, the newest first."""
    columns = act.c
    query = (
        sa.select(seconds(columns.at), columns.author, columns.verb, columns.subject, columns.reason, columns.details)
        .where(columns.at >= instant(since))  # act_at_idx
        .order_by(columns.at.desc(), columns.id.desc())
        .limit(most)
    )
    return [Act(*row) for row in connection.execute(query)]
