"""What a replay says of clients in; their listings as it says out, corrected in one transaction that says who did it.

Locks come in the order that `locks` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.store.changes import add_changes, lock_serials
from repzone.store.engine import instant
from repzone.store.listings import Key, Made, add_listings, revise_listings
from repzone.store.tables import MARKED, VOIDED


@dataclass(frozen=True, slots=True)
class Corrected:
    """What is to be done: listings to be stored, ones (by number) to be as these say, and the numbers of ones that
    never should have been.
    """

    missing: list[Made]
    changed: list[tuple[int, Made]]
    wrong: list[int]


def lock_keys(connection: sa.Connection, keys: Sequence[Key], now: int) -> None:
    """Let nobody decide for these clients, or add events of them, until this transaction ends.

    They are to be decided anew then.
    """
    arrays = {"keys": [key for key, _ in keys], "categories": [category for _, category in keys], "now": instant(now)}
    connection.execute(_LOCK_KEYS, arrays)


def correct(connection: sa.Connection, corrected: Corrected, act: int, now: int) -> None:
    """Make the listings what they should be; the act is whose doing it is.

    What never should have been and runs ends now; it stays to be seen, as reversed.
    """
    numbers = list(corrected.wrong)
    connection.execute(_REVERSE, {"ids": numbers, "now": instant(now), "void": VOIDED})
    numbers += [number for number, _ in corrected.changed]
    revise_listings(connection, corrected.changed)
    if corrected.missing:
        numbers += add_listings(connection, corrected.missing)
    if numbers:
        lock_serials(connection)
        add_changes(connection, numbers, now, act)


# As ingestion marks them, in the order of their keys.
_LOCK_KEYS = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT key, category, CAST(:now AS timestamptz), CAST(:now AS timestamptz)
FROM unnest(CAST(:keys AS inet[]), CAST(:categories AS category[])) AS locked (key, category)
ORDER BY key, category
{MARKED}""")  # noqa: S608 - our own words

_REVERSE = sa.text("""
UPDATE listing SET state = 'reversed', comment = :void,
    expires = CASE WHEN expires > :now THEN greatest(began, :now) ELSE expires END,
    counts_until = coalesce(counts_until, began)
WHERE id IN (SELECT id FROM listing WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE)""")
