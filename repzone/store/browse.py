"""A search, filters and a place in the list in; one page of listings, and how many there are, out.

Pages follow a key, never an offset: (expires, id). Each combination of state and category that is wanted is a range of
listing_state_category_expires_id_idx, of which a page's worth is read; a network is a range of
listing_key_category_began_key. Counts end at MOST.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from repzone.model import STATES, WIDTH, Client, Listing, State
from repzone.reasons import CATEGORIES, Category
from repzone.store.engine import answering, instant

PAGE = 50
"""Rows of a page."""

MOST = 10_000
"""Where counting ends."""

PATIENCE = 500
"""Milliseconds that one statement may take."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A row in the list: when its listing ends, in seconds, and the listing's number."""

    expires: int
    id: int


@dataclass(frozen=True, slots=True)
class Search:
    """What is wanted; None is all. `client` is an address or network: what covers it, and what lies in it."""

    client: Client | None = None
    category: Category | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A listing, its place, and how many of its client's mails were refused for it."""

    listing: Listing
    place: Place
    hits: int


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, the one that ends last first; whether there are others that end later, or earlier."""

    rows: tuple[Row, ...]
    newer: bool
    older: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What a decision on held listings would be about: how many by category, some of their clients, and a word that is
    another one when they are others.
    """

    counts: Mapping[Category, int]
    clients: Sequence[Client]
    mark: str

    @property
    def total(self) -> int:
        """Give how many that are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Counts:
    """How many listings a search finds, by state and category; those of MOST + 1 are more than MOST.

    `whole` is False where a network has so many that none could be told apart: then they are the least there are.
    """

    found: Mapping[tuple[State, Category], int]
    whole: bool = True

    def of(self, state: State | None, category: Category | None) -> int:
        """Give how many there are of a state and category, None for any."""
        return sum(
            count for (one, other), count in self.found.items() if state in (None, one) and category in (None, other)
        )

    def text(self, state: State | None, category: Category | None) -> str:
        """Write that number: `1,204`, or `>10,000` where counting ended."""
        parts = [
            count for (one, other), count in self.found.items() if state in (None, one) and category in (None, other)
        ]
        number = sum(parts)
        if number > MOST:
            return f">{MOST:,}"
        return f"{number:,}" if self.whole else f"≥{number:,}"


@contextmanager
def reading(engine: sa.Engine, patience: int = PATIENCE) -> Iterator[sa.Connection]:
    """Give a connection that can only read, and on which no statement takes longer than so many milliseconds."""
    with answering(), engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {patience:d}")
        yield connection


@contextmanager
def undone(engine: sa.Engine, patience: int = 4 * PATIENCE) -> Iterator[sa.Connection]:
    """Give a transaction of which nothing stays unless it is committed; no statement in it takes longer than so many
    milliseconds (0: as long as it takes).
    """
    with answering(), engine.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {patience:d}")
        try:
            yield connection
        finally:
            connection.rollback()


def load_page(
    connection: sa.Connection, search: Search, now: int, *, before: Place | None = None, after: Place | None = None
) -> Page:
    """Give the page that ends before a place in the list, or after it; without one, the first page."""
    upwards = after is not None
    found = _load_rows(connection, search, now, after or before, upwards=upwards)
    more, found = len(found) > PAGE, found[:PAGE]
    if upwards:
        found.reverse()
        return Page(_with_words(connection, found), newer=more, older=True)
    return Page(_with_words(connection, found), newer=before is not None, older=more)


def count(connection: sa.Connection, search: Search, now: int) -> Counts:
    """Count what a search finds in every state and category, whatever state and category it names."""
    if search.client is None:
        ranges = _ranges(replace(search, state=None, category=None), now)
        return Counts(_summed(connection.execute(_COUNT, {**ranges, "most": MOST + 1}).all()))
    inside = {**_inside(search.client), "now": instant(now), "most": MOST + 1}
    rows = connection.execute(_COUNT_INSIDE, inside).all()
    return Counts(_summed(rows), whole=sum(row[2] for row in rows) <= MOST)


def load_held(
    connection: sa.Connection, keys: Iterable[Client] | None, category: Category | None, most: int = 20
) -> Held:
    """Tell what is held, those too whose end has come: of these keys and that category, None for any."""
    chosen = None if keys is None else [str(key) for key in keys]
    rows = connection.execute(_HELD, {"keys": chosen, "category": category, "most": most}).all()
    clients = [Client.from_text(key) for *_, some in rows for key in some]
    mark = sha256(" ".join(row[2] for row in rows).encode()).hexdigest()[:32]
    return Held({row[0]: int(row[1]) for row in rows}, tuple(dict.fromkeys(clients))[:most], mark)


def _summed(rows: Sequence[Any]) -> dict[tuple[State, Category], int]:
    counts: dict[tuple[State, Category], int] = {}
    for state, category, number in rows:
        counts[state, category] = counts.get((state, category), 0) + int(number)
    return {key: number for key, number in counts.items() if number}


_LAST_ID = (1 << 63) - 1
_FIRST, _LAST = Place(-1, 0), Place(253_370_764_800, _LAST_ID)
"""Before and behind every listing."""


def _ranges(search: Search, now: int, low: Place = _FIRST, high: Place = _LAST) -> dict[str, Any]:
    """Give the ranges of the index that a search means between two places, neither of which is in it.

    What has ended is expired, as `Listing.state_at` tells it.
    """
    ended = Place(now, _LAST_ID)  # behind all that end at this second
    stored: list[tuple[State, State, Place, Place]] = []
    for state in STATES if search.state is None else (search.state,):
        if state == "active":
            stored.append(("active", "active", max(low, ended), high))
        elif state == "expired":
            stored += [("expired", "expired", low, high), ("active", "expired", low, min(high, ended))]
        else:
            stored.append((state, state, low, high))
    categories = CATEGORIES if search.category is None else (search.category,)
    ranges = [(*one, category) for one in stored for category in categories if one[2] < one[3]]
    return {
        "stored": [one[0] for one in ranges],
        "shown": [one[1] for one in ranges],
        "low": [instant(one[2].expires) for one in ranges],
        "low_id": [one[2].id for one in ranges],
        "high": [instant(one[3].expires) for one in ranges],
        "high_id": [one[3].id for one in ranges],
        "categories": [one[4] for one in ranges],
    }


def _inside(client: Client) -> dict[str, Any]:
    """Give the networks around a client, and the first and last address in it."""
    width = WIDTH[client.version]
    last = Client(client.version, client.value | ((1 << (width - client.length)) - 1), width)
    covering = [client.truncate(length).to_text() for length in range(client.length)]
    return {"covering": covering, "first": client.to_text(), "last": last.to_text()}


def _load_rows(
    connection: sa.Connection, search: Search, now: int, place: Place | None, *, upwards: bool
) -> list[sa.Row[Any]]:
    """Give a page's rows and one more, from a place on, in the direction of reading."""
    low, high = (place or _FIRST, _LAST) if upwards else (_FIRST, place or _LAST)
    arguments = {**_ranges(search, now, low, high), "most": PAGE + 1}
    if search.client is None:
        return list(connection.execute(_ROWS[upwards], arguments))
    inside = _inside(search.client)
    few = (connection.scalar(_HOW_MANY, {**inside, "most": MOST + 1}) or 0) <= MOST
    return list(connection.execute((_ROWS_OF_FEW if few else _ROWS_OF_MANY)[upwards], {**arguments, **inside}))


def _with_words(connection: sa.Connection, found: Sequence[sa.Row[Any]]) -> tuple[Row, ...]:
    numbers = [row[0] for row in found]
    reasons: dict[int, dict[str, int]] = {}
    for number, reason, times in connection.execute(_REASONS, {"ids": numbers}):
        reasons.setdefault(number, {})[reason] = int(times)
    hits = {number: int(times) for number, times in connection.execute(_HITS, {"ids": numbers})}
    return tuple(
        Row(
            Listing(Client.from_text(key), category, offence, began, expires, state, reasons.get(number, {}), comment),
            Place(expires, number),
            hits.get(number, 0),
        )
        for number, key, category, offence, began, expires, state, comment in map(tuple, found)
    )


_COLUMNS = """
    listing.id, listing.key, listing.category, listing.offence, extract(epoch FROM listing.began)::bigint AS begins,
    extract(epoch FROM listing.expires)::bigint AS ends, asked.shown, listing.comment"""
_ASKED = """unnest(
    CAST(:stored AS listing_state[]), CAST(:shown AS text[]), CAST(:low AS timestamptz[]), CAST(:low_id AS bigint[]),
    CAST(:high AS timestamptz[]), CAST(:high_id AS bigint[]), CAST(:categories AS category[])
) AS asked (stored, shown, low, low_id, high, high_id, of)"""
_KEYS = "(key = ANY(CAST(:covering AS inet[])) OR key BETWEEN CAST(:first AS inet) AND CAST(:last AS inet))"

# As rows, not as columns that are equal: so no other index has their order, however few the planner thinks they are.
_BETWEEN = """
    (listing.state, listing.category, listing.expires, listing.id) > (asked.stored, asked.of, low, low_id)
    AND (listing.state, listing.category, listing.expires, listing.id) < (asked.stored, asked.of, high, high_id)"""


def _by_index(way: str) -> str:
    return f"ORDER BY listing.state {way}, listing.category {way}, listing.expires {way}, listing.id {way}"


def _each_range(way: str, keys: str = "") -> sa.TextClause:
    """Read a page of each range by listing_state_category_expires_id_idx, and put them together."""
    return sa.text(f"""
SELECT found.* FROM {_ASKED} CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM listing WHERE {_BETWEEN} {keys} {_by_index(way)} LIMIT :most
) AS found
ORDER BY ends {way}, id {way} LIMIT :most""")  # noqa: S608 - our own words


def _each_key(way: str) -> sa.TextClause:
    """Read all of a network by listing_key_category_began_key, and sort it."""
    return sa.text(f"""
SELECT {_COLUMNS} FROM (SELECT * FROM listing WHERE {_KEYS} OFFSET 0) AS listing
JOIN {_ASKED} ON listing.state = asked.stored AND listing.category = asked.of AND {_BETWEEN}
ORDER BY ends {way}, id {way} LIMIT :most""")  # noqa: S608 - our own words


_ROWS = {False: _each_range("DESC"), True: _each_range("ASC")}
_ROWS_OF_MANY = {False: _each_range("DESC", f"AND {_KEYS}"), True: _each_range("ASC", f"AND {_KEYS}")}
_ROWS_OF_FEW = {False: _each_key("DESC"), True: _each_key("ASC")}

# listing_state_category_expires_id_idx, and nothing else
_COUNT = sa.text(f"""
SELECT asked.shown, asked.of, times FROM {_ASKED} CROSS JOIN LATERAL (
    SELECT count(*) AS times FROM (SELECT FROM listing WHERE {_BETWEEN} {_by_index("ASC")} LIMIT :most) AS few
) AS counted""")  # noqa: S608 - our own words

# listing_key_category_began_key
_HOW_MANY = sa.text(f"""
SELECT count(*) FROM (SELECT FROM listing WHERE {_KEYS} LIMIT :most) AS few""")  # noqa: S608 - our own words

# The same.
_COUNT_INSIDE = sa.text(f"""
SELECT CASE WHEN state = 'active' AND expires <= :now THEN 'expired' ELSE state::text END, category, count(*)
FROM (SELECT state, category, expires FROM listing WHERE {_KEYS} LIMIT :most) AS few
GROUP BY 1, 2""")  # noqa: S608 - our own words

# listing_held_idx
_HELD = sa.text("""
SELECT category, count(*), md5(string_agg(id::text, ' ' ORDER BY id)),
    (array_agg(key::text ORDER BY began DESC, key))[1:CAST(:most AS integer)]
FROM listing
WHERE state = 'held' AND (CAST(:keys AS inet[]) IS NULL OR key = ANY(CAST(:keys AS inet[])))
    AND (CAST(:category AS category) IS NULL OR category = CAST(:category AS category))
GROUP BY category ORDER BY category""")

# listing_evidence_pkey
_REASONS = sa.text("""
SELECT listing_id, reason, count FROM listing_evidence WHERE listing_id = ANY(CAST(:ids AS bigint[]))
ORDER BY listing_id, count DESC, reason""")

# hit_listing_id_idx
_HITS = sa.text("""
SELECT listing_id, sum(count)::bigint FROM hit WHERE listing_id = ANY(CAST(:ids AS bigint[])) GROUP BY listing_id""")
