"""Listings with their changes, put into a database as an operator's or a calculator's commit would."""

from collections.abc import Sequence

from sqlalchemy import text

from repzone.store.changes import add_changes
from repzone.store.engine import Engine, instant

_ADD = text("""
INSERT INTO listing (key, category, offence, began, expires, state, created)
SELECT key, CAST(:category AS category), 1, :began, :expires, 'active', :began FROM unnest(CAST(:keys AS inet[])) AS key
RETURNING id""")
_END = text("""
UPDATE listing SET state = CAST(:state AS listing_state), counts_until = CASE WHEN :state = 'reversed' THEN began END
WHERE id = ANY(:ids)""")


def add_listings(
    engine: Engine, keys: Sequence[str], now: int, *, category: str = "spam", seconds: int = 3600
) -> list[int]:
    """List addresses from now on, in one commit; gives the numbers of the listings."""
    row = {"category": category, "began": instant(now), "expires": instant(now + seconds), "keys": list(keys)}
    with engine.begin() as connection:
        numbers = list(connection.scalars(_ADD, row))
        add_changes(connection, numbers, now)
    return numbers


def end_listings(engine: Engine, numbers: Sequence[int], now: int, state: str = "released") -> None:
    """End listings, in one commit."""
    with engine.begin() as connection:
        connection.execute(_END, {"state": state, "ids": list(numbers)})
        add_changes(connection, numbers, now)
