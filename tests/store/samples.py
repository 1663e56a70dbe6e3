"""Rows that the tests of what operators see put into the database."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from repzone.model import Exemption, Listing
from repzone.policy.rules import INITIAL
from repzone.store.engine import Engine, instant
from repzone.store.policies import load_policy
from repzone.store.tables import exemption, listing, listing_evidence

NOW = 1_790_000_000
HOUR, DAY = 3600, 86400


def add_policy(engine: Engine, text: str = INITIAL, now: int = NOW - 100 * DAY) -> None:
    """Put a policy in force."""
    with engine.begin() as connection:
        load_policy(connection, text, "policy.toml", now)


def add_listings(engine: Engine, *listings: Listing, points: int | None = None) -> list[int]:
    """Store listings with their evidence, made by the first policy if they have points; give their numbers."""
    with engine.begin() as connection:
        return [_add_listing(connection, one, points) for one in listings]


def _add_listing(connection: sa.Connection, one: Listing, points: int | None) -> int:
    row = {"key": one.client.to_text(), "category": one.category, "offence": one.offence, "state": one.state}
    bounds = {"began": instant(one.began), "expires": instant(one.expires), "created": instant(one.began)}
    if one.state in ("reversed", "dropped"):
        bounds["counts_until"] = instant(one.counts_until or one.began)
    made = {"points": points, "policy_version_id": sa.select(sa.text("min(id) FROM policy_version")).scalar_subquery()}
    statement = listing.insert().values(**row, **bounds, comment=one.comment, **(made if points else {}))
    number = int(connection.execute(statement.returning(listing.c.id)).scalar_one())
    for reason, count in one.reasons.items():
        seen = {"count": count, "first": instant(one.began), "last": instant(one.began)}
        connection.execute(listing_evidence.insert().values(listing_id=number, reason=reason, **seen))
    return number


def add_exemptions(engine: Engine, *exemptions: Exemption) -> None:
    """Store exemptions as they are; nothing is lifted."""
    with engine.begin() as connection:
        for one in exemptions:
            ended = instant(one.ended) if one.ended is not None else None
            row = {"network": one.network.to_text(), "added": instant(one.added), "ended": ended}
            connection.execute(exemption.insert().values(**row, comment=one.comment, author=one.author))


def add_spared(engine: Engine, key: str, category: str, began: int, last: int) -> None:
    """Note that a client with 4 points, 5 offences and 600 clean mails was spared by the first policy."""
    execute(
        engine,
        "INSERT INTO spared SELECT CAST(:key AS inet), CAST(:category AS category), to_timestamp(:began), "
        "to_timestamp(:last), min(id), 4, 5, 600 FROM policy_version",
        {"key": key, "category": category, "began": began, "last": last},
    )


def execute(engine: Engine, statement: str, arguments: Mapping[str, object] | None = None) -> None:
    """Execute a statement of the test's own."""
    with engine.begin() as connection:
        connection.execute(sa.text(statement), dict(arguments or {}))
