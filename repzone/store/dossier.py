"""One client in, all that is known of it out: its listings and what became of them, its events, its clean mail.

Nothing is locked, and nothing is decided here: `cases` are what the rules need to know to say how it stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import Client, Exemptions, Listing, State
from repzone.policy.calculator import Spared
from repzone.policy.rules import DAY, Rulebook
from repzone.reasons import COUNTED, Category
from repzone.store.engine import instant, seconds
from repzone.store.listings import Case, Due, load_cases
from repzone.store.tables import (
    VOIDED,
    VOIDED_AHEAD,
    act,
    hit,
    listing,
    listing_change,
    listing_evidence,
    listing_sample,
    spared,
    traffic,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One event, with what its line told if that was kept; `late` ones and `exempt` ones never counted."""

    at: int
    client: Client
    category: Category | None
    reason: str
    count: int
    late: bool
    exempt: bool
    component: str
    detail: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of a listing, and by whose act if it was one; `author` is empty where nobody did it by hand."""

    at: int
    state: State
    expires: int
    author: str = ""
    verb: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """A listing with the policy version and points that made it (None: an operator), its lines, and mails refused."""

    listing: Listing
    version: int | None
    points: int | None
    turns: tuple[Turn, ...]
    samples: tuple[Line, ...]
    hits: int


@dataclass(frozen=True, slots=True)
class Seen:
    """How often something happened, and its first and last instant."""

    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that is known of a client.

    `key` is what is listed for it, None for a network wider than one. `histories` are the newest listings that cover
    it, of `listings` in all; `events` the newest events of its key while they are kept, `reasons` and `addresses` the
    sums of all of them; `connections` and `messages` the clean traffic of the last day; `hits` the mails refused.
    """

    client: Client
    key: Client | None
    listings: int
    histories: tuple[History, ...]
    cases: tuple[Case, ...]
    spared: tuple[tuple[Category, Spared], ...]
    reasons: Mapping[str, Seen]
    addresses: Mapping[Client, Seen]
    events: tuple[Line, ...]
    connections: int
    messages: int
    hits: int

    def why_vain(self, line: Line) -> str:
        """Say why an event counts for nothing; "" where it counts. What came at the begin of a listing led to it."""
        if line.late or line.exempt:
            return "late" if line.late else "exempt"
        listings = (one.listing for one in self.histories if one.listing.category == line.category)
        bounding = (one for one in listings if one.state != "reversed" or one.comment not in (VOIDED, VOIDED_AHEAD))
        return "during a listing" if any(one.began < line.at < one.expires for one in bounding) else ""


def load_dossier(
    connection: sa.Connection, client: Client, rulebook: Rulebook, exemptions: Exemptions, now: int, most: int = 20
) -> Dossier:
    """Give all that is known of an address, or of a network that is listed as a whole; `most` of listings and events.

    The policy's length of an IPv6 key may have changed: events and spared episodes are those of the key of any time.
    """
    prefixes = {version.policy.ipv6_prefix for version in rulebook.versions}
    keys = sorted({client.key(prefix).to_text() for prefix in prefixes})
    key = client.key(rulebook.at(now).policy.ipv6_prefix)
    judged = key if key.is_address or key.length == rulebook.at(now).policy.ipv6_prefix else None
    covering = [client.truncate(length).to_text() for length in range(client.length + 1)]
    listings = connection.scalar(sa.select(sa.func.count()).where(listing.c.key.in_(covering))) or 0
    reasons, addresses = _load_sums(connection, keys)
    clean = sa.select(
        sa.func.coalesce(sa.func.sum(traffic.c.connections), 0), sa.func.coalesce(sa.func.sum(traffic.c.messages), 0)
    ).where(traffic.c.key.in_(keys), traffic.c.hour > instant(now - DAY))  # traffic_pkey
    connections, messages = connection.execute(clean).one()
    hits = sa.select(sa.func.sum(hit.c.count)).where(hit.c.key.in_(keys))  # hit_key_hour_listing_id_key
    return Dossier(
        client=client,
        key=judged,
        listings=listings,
        histories=tuple(_load_histories(connection, covering, most)),
        cases=tuple(_load_cases(connection, judged, rulebook, exemptions, now)) if judged else (),
        spared=_load_spared(connection, keys),
        reasons=reasons,
        addresses=addresses,
        events=_load_events(connection, keys, exemptions, most),
        connections=int(connections),
        messages=int(messages),
        hits=int(connection.scalar(hits) or 0),
    )


def _load_histories(connection: sa.Connection, covering: Sequence[str], most: int) -> Iterable[History]:
    columns = listing.c
    query = (
        sa.select(
            *(columns.id, columns.key, columns.category, columns.offence, seconds(columns.began)),
            *(seconds(columns.expires), columns.state, columns.comment, columns.policy_version_id, columns.points),
        )
        .where(columns.key.in_(covering))  # listing_key_category_began_key
        .order_by(columns.began.desc(), columns.category)
        .limit(most)
    )
    rows = connection.execute(query).all()
    numbers = [row.id for row in rows]
    reasons = _load_reasons(connection, numbers)
    turns, samples = _load_turns(connection, numbers), _load_samples(connection, numbers)
    refused = sa.select(hit.c.listing_id, sa.func.sum(hit.c.count)).where(hit.c.listing_id.in_(numbers))
    hits = {number: int(count) for number, count in connection.execute(refused.group_by(hit.c.listing_id))}
    for number, key, category, offence, began, expires, state, comment, version, points in rows:
        counted = reasons.get(number, {})
        found = Listing(Client.from_text(key), category, offence, began, expires, state, counted, comment)
        lines = samples.get(number, ())
        yield History(found, version, points, tuple(turns.get(number, ())), tuple(lines), hits.get(number, 0))


def _load_reasons(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    columns = listing_evidence.c
    query = sa.select(columns.listing_id, columns.reason, columns.count).where(columns.listing_id.in_(numbers))
    found: dict[int, dict[str, int]] = {}
    for number, reason, count in connection.execute(query.order_by(columns.count.desc(), columns.reason)):
        found.setdefault(number, {})[reason] = count
    return found


def _load_turns(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, list[Turn]]:
    columns = listing_change.c
    query = (
        sa.select(
            *(columns.listing_id, seconds(columns.at), columns.state, seconds(columns.expires)),
            *(sa.func.coalesce(text, "") for text in (act.c.author, act.c.verb, act.c.reason)),
        )
        .outerjoin(act, columns.act_id == act.c.id)
        .where(columns.listing_id.in_(numbers))  # listing_change_listing_id_idx
        .order_by(columns.serial)
    )
    found: dict[int, list[Turn]] = {}
    for number, *turn in connection.execute(query):
        found.setdefault(number, []).append(Turn(*turn))
    return found


def _load_samples(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, list[Line]]:
    columns = listing_sample.c
    query = (
        sa.select(
            *(columns.listing_id, seconds(columns.at), columns.client, columns.reason),
            *(columns.component, columns.detail),
        )
        .where(columns.listing_id.in_(numbers))  # listing_sample_listing_id_idx
        .order_by(columns.at, columns.detail)
    )
    found: dict[int, list[Line]] = {}
    for number, at, client, reason, component, detail in connection.execute(query):
        line = Line(at, Client.from_text(client), None, reason, 1, False, False, component, detail)
        found.setdefault(number, []).append(line)
    return found


def _load_cases(
    connection: sa.Connection, key: Client, rulebook: Rulebook, exemptions: Exemptions, now: int
) -> list[Case]:
    """Give the cases of all categories, each from where it is pending if it is."""
    arguments = {"key": key.to_text(), "categories": list(COUNTED), "now": now}
    asked = [Due(*row) for row in connection.execute(_ASKED, arguments)]
    return load_cases(connection, asked, rulebook, exemptions, now)


def _load_spared(connection: sa.Connection, keys: Sequence[str]) -> tuple[tuple[Category, Spared], ...]:
    columns = spared.c
    query = (
        sa.select(
            *(columns.category, seconds(columns.began), seconds(columns.last), columns.policy_version_id),
            *(columns.points, columns.offences, columns.clean),
        )
        .where(columns.key.in_(keys))  # spared_pkey
        .order_by(columns.began.desc(), columns.category)
    )
    return tuple((category, Spared(*episode)) for category, *episode in connection.execute(query))


def _load_sums(connection: sa.Connection, keys: Sequence[str]) -> tuple[dict[str, Seen], dict[Client, Seen]]:
    reasons: dict[str, Seen] = {}
    addresses: dict[Client, Seen] = {}
    for reason, client, *seen in connection.execute(_SUMS, {"keys": list(keys)}):
        if reason is not None:
            reasons[reason] = Seen(*seen)
        else:
            addresses[Client.from_text(client)] = Seen(*seen)
    return reasons, addresses


def _load_events(connection: sa.Connection, keys: Sequence[str], exemptions: Exemptions, most: int) -> tuple[Line, ...]:
    rows = connection.execute(_EVENTS, {"keys": list(keys), "categories": list(COUNTED), "most": most})
    lines = []
    for key, at, client, category, reason, count, late, exempt, *told in rows:
        exempt = exempt or exemptions.find(Client.from_text(key), at) is not None
        lines.append(Line(at, Client.from_text(client), category, reason, count, late, exempt, *told))
    return tuple(lines)


_ASKED = sa.text("""
SELECT CAST(:key AS inet), asked.category, least(extract(epoch FROM pending.since)::bigint, :now)
FROM unnest(CAST(:categories AS category[])) WITH ORDINALITY AS asked (category, n)
LEFT JOIN pending ON pending.key = CAST(:key AS inet) AND pending.category = asked.category
ORDER BY n""")

# event_key_category_at_idx of each day
_SUMS = sa.text("""
SELECT reason, client, sum(count)::bigint, extract(epoch FROM min(at))::bigint, extract(epoch FROM max(at))::bigint
FROM event WHERE key = ANY(CAST(:keys AS inet[]))
GROUP BY GROUPING SETS (reason, client) ORDER BY 3 DESC, 1, 2""")

# The same index, backward, of as many days as it takes.
_EVENTS = sa.text("""
SELECT asked.key, extract(epoch FROM found.at)::bigint, client, found.category, reason, count, late, exempt,
    component, detail
FROM unnest(CAST(:keys AS inet[])) AS asked (key)
CROSS JOIN unnest(CAST(:categories AS category[])) AS of (category)
CROSS JOIN LATERAL (
    SELECT at, client, category, reason, count, late, exempt, component, detail FROM event
    WHERE event.key = asked.key AND event.category = of.category ORDER BY at DESC LIMIT :most
) AS found
ORDER BY found.at DESC, client, reason, count LIMIT :most""")
