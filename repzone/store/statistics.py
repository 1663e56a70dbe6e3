"""An instant in, sums of all that happened since out: offences, listings, mails refused, clean traffic.

Days are UTC. What weighs nothing is counted too: it was seen. Each of the two sums over events reads the day
partitions since then once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import Client
from repzone.store.engine import instant


@dataclass(frozen=True, slots=True)
class Offences:
    """How many offences of a reason a source told on a day; `component` stands in some of them only."""

    day: str
    category: str
    reason: str
    source: str
    component: str
    count: int


@dataclass(frozen=True, slots=True)
class Network:
    """A network (/24, /48) with its offences and the addresses that committed them."""

    network: Client
    count: int
    addresses: int


@dataclass(frozen=True, slots=True)
class Offender:
    """A client with the listings that stand, the highest offence number of them, and the mails refused."""

    client: Client
    listings: int
    offence: int
    hits: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything since an instant; mappings by day (`2026-11-24`) and, where it says so, category.

    `listings` counts those that stand by day of their begin and category, `undone` the reversed, dropped and shadow
    ones by state; `clean` gives connections and accepted messages.
    """

    offences: tuple[Offences, ...]
    networks: tuple[Network, ...]
    offenders: tuple[Offender, ...]
    listings: Mapping[tuple[str, str], int]
    undone: Mapping[str, int]
    hits: Mapping[str, int]
    clean: Mapping[str, tuple[int, int]]
    spared: Mapping[str, int]


def load_statistics(connection: sa.Connection, since: int, most: int = 10) -> Statistics:
    """Give the sums of all since that instant; `most` networks and repeat offenders, the worst first."""
    arguments = {"since": instant(since), "most": most}
    listings: dict[tuple[str, str], int] = {}
    undone: dict[str, int] = {}
    for day, category, state, count in connection.execute(_LISTINGS, arguments):
        if state in _UNDONE:
            undone[state] = undone.get(state, 0) + count
        else:
            listings[day, category] = listings.get((day, category), 0) + count
    networks = connection.execute(_NETWORKS, arguments)
    offenders = connection.execute(_OFFENDERS, arguments)
    return Statistics(
        offences=tuple(Offences(*row) for row in connection.execute(_OFFENCES, arguments)),
        networks=tuple(Network(Client.from_text(network), *counts) for network, *counts in networks),
        offenders=tuple(Offender(Client.from_text(key), *counts) for key, *counts in offenders),
        listings=listings,
        undone=undone,
        hits={day: count for day, count in connection.execute(_HITS, arguments)},
        clean={day: (connections, messages) for day, connections, messages in connection.execute(_CLEAN, arguments)},
        spared={category: count for category, count in connection.execute(_SPARED, arguments)},
    )


_UNDONE = ("reversed", "dropped", "shadow")

_OFFENCES = sa.text("""
SELECT day::text, category, reason, CASE WHEN source.id IS NULL THEN '' ELSE source.host || ':' || path END,
    component, count
FROM (
    SELECT at::date AS day, category, reason, source_id, component, sum(count) AS count FROM event
    WHERE at >= :since GROUP BY 1, 2, 3, 4, 5
) AS told
LEFT JOIN source ON source.id = source_id
ORDER BY day, category, reason, 4, component""")

_NETWORKS = sa.text("""
SELECT network(set_masklen(client, CASE family(client) WHEN 4 THEN 24 ELSE 48 END))::text,
    sum(count)::bigint, count(*)
FROM (SELECT client, sum(count) AS count FROM event WHERE at >= :since GROUP BY client) AS offender
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most""")

# What began since then ends since then: listing_expires_idx.
_SINCE = "began >= :since AND expires >= :since"

_LISTINGS = sa.text(f"""
SELECT began::date::text, category, state, count(*) FROM listing WHERE {_SINCE}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""")  # noqa: S608 - our own words

_OFFENDERS = sa.text(f"""
SELECT key, times, offence, (SELECT coalesce(sum(count), 0)::bigint FROM hit
    WHERE hit.key = worst.key AND hour > :since - interval '1 h')
FROM (
    SELECT key, count(*) AS times, max(offence) AS offence FROM listing
    WHERE {_SINCE} AND state NOT IN ('reversed', 'dropped', 'shadow') AND category <> 'manual'
    GROUP BY key HAVING count(*) > 1 OR max(offence) > 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT :most
) AS worst
ORDER BY times DESC, offence DESC, key""")  # noqa: S608 - our own words

# hit_hour_idx; hours begin before what they hold
_HITS = sa.text("""
SELECT hour::date::text, sum(count)::bigint FROM hit WHERE hour > :since - interval '1 h' GROUP BY 1 ORDER BY 1""")

# traffic_hour_idx
_CLEAN = sa.text("""
SELECT hour::date::text, sum(connections)::bigint, sum(messages)::bigint FROM traffic
WHERE hour > :since - interval '1 h' GROUP BY 1 ORDER BY 1""")

# spared_last_idx
_SPARED = sa.text("""
SELECT category, count(DISTINCT key) FROM spared WHERE last >= :since GROUP BY category ORDER BY category""")
