"""A span of time in, numbers over it out: listings in force by category, events by reason, mails refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import Client, Exemptions
from repzone.policy.rules import HOUR
from repzone.reasons import CATEGORIES, Category
from repzone.store.dossier import Line
from repzone.store.engine import instant, seconds
from repzone.store.tables import listing_change

MINUTES = 60
"""So many minutes of events are told."""


@dataclass(frozen=True, slots=True)
class Active:
    """How many listings were in force at instants that are equally far from each other, by category."""

    instants: Sequence[int]
    counts: Mapping[Category, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many events of a reason there were, and the components that told some of them: not every event keeps its."""

    reason: str
    components: Sequence[str]
    count: int


def load_active(connection: sa.Connection, now: int, span: int, step: int) -> Active:
    """Give how many listings were in force from `span` seconds ago until now, every `step` seconds.

    Those that were taken back, dropped or held, and shadow listings, count for nobody.
    """
    instants = range(now - span // step * step, now + 1, step)
    arguments = {"first": instants.start, "step": step, "last": len(instants), "since": instant(instants.start)}
    counts = {category: [0] * (len(instants) + 1) for category in CATEGORIES}
    for category, behind, change in connection.execute(_CHANGES, arguments):
        counts[category][behind] += int(change)
    for row in counts.values():
        for at in range(1, len(row)):
            row[at] += row[at - 1]
    return Active(instants, {category: row[:-1] for category, row in counts.items()})


def load_rates(connection: sa.Connection, now: int) -> list[Rate]:
    """Give the events of the last MINUTES minutes by reason, the most first."""
    rows = connection.execute(_RATES, {"since": instant(now - MINUTES * 60), "now": instant(now)})
    return [Rate(reason, tuple(components or ()), int(count)) for reason, components, count in rows]


def load_gathered(
    connection: sa.Connection,
    keys: Sequence[Client],
    exemptions: Exemptions,
    since: int,
    width: int,
    edges: Iterable[int],
) -> list[Line]:
    """Give all events of keys from an instant on, the oldest first, those of one reason gathered over `width` seconds
    and never across an edge, in the name of their key; what their lines told is left out.
    """
    arguments = {"keys": [str(key) for key in keys], "since": instant(since), "begin": since, "width": width}
    rows = connection.execute(_GATHERED, {**arguments, "edges": sorted(set(edges))})
    lines = []
    for at, key, category, reason, count, late, exempt in rows:
        client = Client.from_text(key)
        exempt = exempt or exemptions.find(client, at) is not None
        lines.append(Line(at, client, category, reason, count, late, exempt, "", ""))
    return lines


def load_refused(connection: sa.Connection, now: int, hours: int = 24) -> list[tuple[int, int]]:
    """Give the mails that were refused thanks to the zones, hour by hour, the oldest first."""
    first = now // HOUR * HOUR - (hours - 1) * HOUR
    found = {int(at): int(count) for at, count in connection.execute(_REFUSED, {"since": instant(first)})}
    return [(at, found.get(at, 0)) for at in range(first, first + hours * HOUR, HOUR)]


def load_changed(connection: sa.Connection) -> int | None:
    """Give when the zones last changed; None when they never did."""
    columns = listing_change.c
    query = sa.select(seconds(columns.at)).order_by(columns.serial.desc()).limit(1)  # listing_change_pkey
    return connection.scalar(query)


# listing_expires_idx: what ended before that time is not read.
_CHANGES = sa.text("""
SELECT category, behind, sum(change) FROM (
    SELECT category, change,
        least(:last, greatest(0, ceil((extract(epoch FROM at) - :first) / :step)))::integer AS behind
    FROM listing CROSS JOIN LATERAL (VALUES (began, 1), (expires, -1)) AS turn (at, change)
    WHERE expires >= :since AND state IN ('active', 'expired', 'released') AND expires > began
) AS turns
GROUP BY category, behind""")

# The partitions of the last hour.
_RATES = sa.text("""
SELECT reason, array_agg(component ORDER BY component) FILTER (WHERE component <> ''), sum(count)::bigint
FROM (SELECT reason, component, sum(count) AS count FROM event WHERE at > :since AND at <= :now GROUP BY 1, 2) AS told
GROUP BY reason ORDER BY 3 DESC, 1""")

# event_key_category_at_idx
_GATHERED = sa.text("""
SELECT extract(epoch FROM min(at))::bigint, key, category, reason, sum(count)::bigint, late, exempt
FROM event CROSS JOIN LATERAL (SELECT extract(epoch FROM at)::bigint AS second) AS whole
WHERE key = ANY(CAST(:keys AS inet[])) AND at >= :since
GROUP BY (second - :begin) / :width, width_bucket(second, CAST(:edges AS bigint[])), key, category, reason, late, exempt
ORDER BY 1""")

# hit_hour_idx
_REFUSED = sa.text("""
SELECT extract(epoch FROM hour)::bigint, sum(count)::bigint FROM hit WHERE hour >= :since GROUP BY 1 ORDER BY 1""")
