"""Which time is replayed in; the history of one client and category after the other, with the listings that are stored.

One statement has PostgreSQL sort and pack everything, so that a row is all there is of a client and category and what
is sent is a few octets an event. Clients whose points of the whole time are below the threshold are left out.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

import psycopg
import sqlalchemy as sa

from repzone.model import RESERVED, STATES, V4, V6, Client, Exemption, Exemptions, Listing, State
from repzone.policy.calculator import Offence, Spared
from repzone.policy.replay import Act, History
from repzone.policy.rules import Rulebook
from repzone.reasons import CATALOGUE, COUNTED, Category
from repzone.store.engine import instant
from repzone.store.events import FUTURE
from repzone.store.exemptions import load_exemptions
from repzone.store.listings import Key
from repzone.store.tables import VOID, event, spared


@dataclass(frozen=True, slots=True)
class Stored:
    """A listing that there is; `void`: a rebuild has found that it never should have been."""

    id: int
    began: int
    expires: int
    offence: int
    state: State
    points: int
    counts_until: int | None
    void: bool


@dataclass(frozen=True, slots=True)
class Past:
    """What is to be replayed of a client and category, the listings that it has, and whether its clean mail came in."""

    history: History
    stored: list[Stored]
    delivered: bool


@dataclass(frozen=True, slots=True)
class Question:
    """Replay from `since` to `until`, in seconds, under a rulebook.

    `running` are the policies that were in force: if `rulebook` is them, what was weighed then is not weighed again.
    `only` are the keys and categories that are asked for, if not all.
    """

    since: int
    until: int
    rulebook: Rulebook
    running: Rulebook
    only: Sequence[Key] | None = None

    @property
    def again(self) -> bool:
        """Tell whether this is what happened, once more."""
        return self.rulebook is self.running


def keep_days(connection: sa.Connection) -> None:
    """Let no day of events be dropped until this transaction ends. Do it first: it sees nothing yet."""
    connection.exec_driver_sql("LOCK TABLE event IN ACCESS SHARE MODE")


def count_events(connection: sa.Connection, question: Question) -> int:
    """Give how many events a replay looks at."""
    columns = event.c
    until = instant(question.until + FUTURE)
    query = sa.select(sa.func.count()).where(columns.at > instant(_reach(question)), columns.at <= until)
    return int(connection.scalar(query) or 0)


def count_spared(connection: sa.Connection, since: int) -> dict[Category, int]:
    """Give how many clients were spared since an instant, by category."""
    columns = spared.c
    query = (
        sa.select(columns.category, sa.func.count(sa.distinct(columns.key)))
        .where(columns.last >= instant(since))  # spared_last_idx
        .group_by(columns.category)
    )
    return {category: clients for category, clients in connection.execute(query)}


def load_pasts(connection: sa.Connection, question: Question) -> Generator[Past, None, None]:
    """Give every client and category that can have listings, or has, in the order of their keys. Close it: until then
    nothing else can be asked.

    The transaction sees one state of the database only if it is REPEATABLE READ, or its clients are locked.
    """
    exempt = load_exemptions(connection)
    reader = _Reader(question, Exemptions(exempt), _load_acts(connection, question))
    connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the driver that engine.connect names
    statement = f"COPY ({_statement(question)}) TO STDOUT (FORMAT BINARY)"
    try:
        with raw.cursor() as cursor, cursor.copy(statement, _arguments(question, exempt)) as rows:
            rows.set_types(_TYPES)
            for row in rows.rows():
                yield reader.read(*row)
    except KeyboardInterrupt:  # it may leave the connection amid the COPY, where nothing can be rolled back
        connection.invalidate()
        raise


_TYPES = ("bytea", "text", "bytea", "int8[]", "int8[]", "int8[]", "bool")
_EVENT = Struct(">qi")
_EPOCH = 946_684_800  # 2000-01-01, where PostgreSQL's instants count from, in microseconds
_REASONS = tuple(CATALOGUE)


@dataclass(frozen=True, slots=True)
class _Reader:
    question: Question
    exemptions: Exemptions
    acts: "_Acts"

    def read(
        self,
        inet: bytes,
        category: Category,
        events: bytes | None,
        listings: list[list[int]] | None,
        episodes: list[list[int]] | None,
        clean: list[list[int]] | None,
        delivered: bool,
    ) -> Past:
        """Unpack one row."""
        key = Client.from_number(V4 if inet[0] == 2 else V6, int.from_bytes(inet[4:]), inet[1])
        since = self.question.since
        stored = [_stored(*row) for row in listings or ()]
        acts, unmeant = self.acts.of(key, category), frozenset[int]()
        if self.question.again:
            acts, unmeant = _meaning(acts, stored)
        exempt = self.exemptions.find  # own networks are exempt also for what was decided before
        earlier = (one for one in stored if one.began < since and not one.void and not exempt(key, one.began))
        history = History(
            key,
            category,
            offences=self._offences(key, events or b""),
            earlier=[_listing(key, category, one) for one in earlier],
            acts=acts,
            clean=[(hour, messages) for hour, messages in clean or ()],
            spared=[episode for episode in (Spared(*row) for row in episodes or ()) if episode.began <= episode.last],
            lifted=[one.added for one in self.exemptions.find_ever(key)],
            listed={one.began: one.points for one in stored if not one.void} if self.question.again else {},
            unmeant=unmeant,
        )
        return Past(history, stored, delivered)

    def _offences(self, key: Client, events: bytes) -> list[Offence]:
        offences: Any = [  # rows of the same shape are made much faster
            (at // 1_000_000 + _EPOCH, _REASONS[what >> 16], what & 0xFFFF) for at, what in _EVENT.iter_unpack(events)
        ]
        covering = self.exemptions.find_ever(key)
        if covering:
            offences = [one for one in offences if not any(exemption.holds_at(one[0]) for exemption in covering)]
        return offences  # type: ignore[no-any-return]


def _stored(
    number: int, began: int, expires: int, offence: int, state: int, points: int, counts_until: int | None, void: int
) -> Stored:
    return Stored(number, began, expires, offence, STATES[state], points, counts_until, bool(void))


def _meaning(acts: Sequence[Act], stored: Sequence[Stored]) -> tuple[list[Act], frozenset[int]]:
    """Give the acts that were not done to what a rebuild found void and was decided anew since.

    With them the begins of listings which nobody did anything to, or which somebody did something to themselves. What a
    rebuild made as undone, since an act means it too, is neither.
    """
    there = {one.began: one.state in ("released", "reversed", "dropped") for one in stored if not one.void}
    acts = [act for act in acts if there.get(act.began, True)]
    done = {act.began for act in acts}
    return acts, frozenset(began for began, undone in there.items() if began in done or not undone)


def _listing(key: Client, category: Category, one: Stored) -> Listing:
    return Listing(key, category, one.offence, one.began, one.expires, one.state, counts_until=one.counts_until)


class _Acts:
    """What was done by hand, found by a key: also one of another length, when IPv6 clients are now listed by that."""

    def __init__(self, shortest: int) -> None:
        self._shortest = shortest
        self._acts: dict[tuple[Client, Category], list[tuple[Client, Act]]] = {}

    def add(self, key: Client, category: Category, act: Act) -> None:
        self._acts.setdefault((key.key(self._shortest), category), []).append((key, act))

    def of(self, key: Client, category: Category) -> list[Act]:
        found = self._acts.get((key.key(self._shortest), category), ())
        return [act for other, act in found if other.covers(key) or key.covers(other)]


def _load_acts(connection: sa.Connection, question: Question) -> _Acts:
    acts = _Acts(_shortest(question))
    arguments = {"since": question.since, "early": question.since - FUTURE, "until": question.until}
    for key, category, *done in connection.execute(_ACTS, arguments):
        acts.add(Client.from_text(key), category, Act(*done))
    return acts


def _shortest(question: Question) -> int:
    versions = (*question.rulebook.versions, *question.running.versions)
    return min(version.policy.ipv6_prefix for version in versions)


def _reach(question: Question) -> int:
    """Give the instant back to which an event can matter."""
    return question.since - max(question.rulebook.reach(category) for category in COUNTED)


def _prefixes(rulebook: Rulebook, since: int, until: int) -> list[tuple[int, int]]:
    """Give the lengths of IPv6 keys from `since` to `until`, each with the instant from which it no longer holds."""
    found: list[tuple[int, int]] = []
    while since <= until:
        version, changes = rulebook.in_force(since)
        if found and found[-1][0] == version.policy.ipv6_prefix:
            found.pop()
        found.append((version.policy.ipv6_prefix, min(changes, until + 1)))
        since = changes
    return found


def _arguments(question: Question, exempt: Sequence[Exemption]) -> Mapping[str, Any]:
    rulebook, since, until = question.rulebook, question.since, question.until
    policies = [version.policy for version in rulebook.versions]
    weights = {reason: max(policy.weight(reason) for policy in policies) for reason in CATALOGUE}
    weighing = [reason for reason, weight in weights.items() if weight]
    memory = max(policy.offence_memory for policy in policies)
    shortest = _shortest(question)
    reserved = (Exemption(network, 0) for network in RESERVED)
    narrow = [
        one for one in (*reserved, *exempt) if one.network.version == V6 and one.network.length > shortest
    ]  # may hold for some of a key's addresses; what holds for all of a key is tested once a key
    return {
        "reach": _reach(question),
        "since": since,
        "until": until,
        "horizon": min(since - memory, _reach(question)),
        "future": until + FUTURE,
        "reasons": weighing,
        "packed": [_REASONS.index(reason) << 16 for reason in weighing],
        "weights": [weights[reason] for reason in weighing],
        "categories": list(COUNTED),
        "thresholds": [min(policy.rules(category).threshold for policy in policies) for category in COUNTED],
        "networks": [one.network.to_text() for one in narrow],
        "added": [one.added for one in narrow],
        "ended": [_FAR if one.ended is None else one.ended for one in narrow],
        "weighing": [category for category in COUNTED if rulebook.weighs_clean(category)],
        "shortest": shortest,
        "only_keys": [key for key, _ in question.only or ()],
        "only_categories": [category for _, category in question.only or ()],
        "spared_until": _FAR if question.again else since - 1,
    }


_FAR = 253_402_300_799  # year 9999


def _statement(question: Question) -> str:
    """Give the statement for a question: where keys are as they were stored, they need not be made again."""
    span = _reach(question), question.until + FUTURE
    prefixes = _prefixes(question.rulebook, *span)
    same = prefixes == _prefixes(question.running, *span)
    key = "key"
    if not same:
        lengths = " ".join(f"WHEN at < to_timestamp({changes}) THEN {length}" for length, changes in prefixes)
        key = f"CASE family(client) WHEN 4 THEN client ELSE network(set_masklen(client, CASE {lengths} END))::inet END"
    only = ""
    if question.only is not None:
        only = "(key, category) IN (SELECT * FROM unnest(%(only_keys)s::inet[], %(only_categories)s::category[])) AND "
    # The hours of a key; of a longer one those of the key it was counted for, of a shorter one those of all in it.
    hours = "traffic.key = known.key"
    if not same:
        hours = (
            "traffic.key BETWEEN network(set_masklen(known.key, least(masklen(known.key), "
            "CASE family(known.key) WHEN 4 THEN 32 ELSE %(shortest)s END)))::inet "
            "AND set_masklen(broadcast(known.key), CASE family(known.key) WHEN 4 THEN 32 ELSE 128 END) "
            "AND (traffic.key <<= known.key OR traffic.key >>= known.key)"
        )
    # A part of a key that was stored is not asked for: what came in while it was exempt tells that itself.
    return _PASTS.format(key=key, only=only, hours=hours, narrow="" if same else _NARROW)


_NARROW = """AND (family(client) = 4 OR NOT EXISTS (
                SELECT FROM unnest(%(networks)s::inet[], %(added)s::bigint[], %(ended)s::bigint[])
                    AS narrow (network, added, ended)
                WHERE client <<= network AND at >= to_timestamp(added) AND at < to_timestamp(ended)
            ))"""

# Partitions of the days that matter, read once and sorted; listing_expires_idx; spared_pkey and traffic_pkey for those
# clients that are left. A reason that never weighs has no weight to be joined with.
_PASTS = f"""
WITH offended AS (
    SELECT key, category, string_agg(timestamptz_send(at) || int4send(packed + count), '' ORDER BY at) AS events
    FROM (
        SELECT {{key}} AS key, category, at, count, packed, weight
        FROM event JOIN unnest(%(reasons)s::reason[], %(packed)s::integer[], %(weights)s::integer[])
            AS weighing (reason, packed, weight) USING (reason)
        WHERE {{only}} NOT late AND NOT exempt AND at > to_timestamp(%(reach)s) AND at <= to_timestamp(%(future)s)
            {{narrow}}
    ) AS weighed
    GROUP BY key, category
    HAVING sum(count::bigint * weight)
        >= (%(thresholds)s::integer[])[array_position(%(categories)s::category[], category)]
), listed AS (
    SELECT key, category, array_agg(ARRAY[
        id, extract(epoch FROM began)::bigint, extract(epoch FROM expires)::bigint, offence,
        array_position(enum_range(NULL::listing_state), state) - 1, coalesce(points, 0),
        extract(epoch FROM counts_until)::bigint,
        CASE WHEN {VOID} THEN 1 ELSE 0 END
    ] ORDER BY began) AS listings
    FROM listing
    WHERE {{only}} category <> 'manual' AND expires >= to_timestamp(%(horizon)s)
    GROUP BY key, category
), known AS (
    SELECT * FROM offended FULL JOIN listed USING (key, category)
)
SELECT inet_send(key), category::text, events, listings, episodes, hours, delivered
FROM known
CROSS JOIN LATERAL (
    SELECT array_agg(ARRAY[
        extract(epoch FROM began)::bigint, extract(epoch FROM least(last, to_timestamp(%(spared_until)s)))::bigint,
        policy_version_id, points, offences, clean
    ] ORDER BY began) AS episodes
    FROM spared
    WHERE spared.key = known.key AND spared.category = known.category AND last >= to_timestamp(%(reach)s)
) AS spared
CROSS JOIN LATERAL (
    SELECT array_agg(ARRAY[hour, messages] ORDER BY hour)
            FILTER (WHERE known.category = ANY(%(weighing)s::category[])) AS hours,
        coalesce(bool_or(hour >= %(since)s - 3599), false) AS delivered
    FROM (
        SELECT extract(epoch FROM hour)::bigint AS hour, sum(messages)::bigint AS messages FROM traffic
        WHERE {{hours}} AND messages > 0
            AND hour >= to_timestamp(%(reach)s) AND hour <= to_timestamp(%(until)s)
        GROUP BY hour
    ) AS hourly
) AS traffic
ORDER BY key, category"""  # noqa: S608 - our own words

# What became of listings by hand, and is not told by exemptions: listing_change_at_idx. What was done to one whose
# begin was still to come, as the clock of its log is ahead, was done at its begin: it ends there. It falls when that is
# void or decided anew since.
_EXEMPTING = "ARRAY['configure', 'allow add', 'allow import', 'allow remove']"
_ACTS = sa.text(f"""
SELECT change.key, change.category, extract(epoch FROM greatest(change.at, change.began))::bigint, change.state,
    extract(epoch FROM change.began)::bigint, extract(epoch FROM change.expires)::bigint,
    extract(epoch FROM listing.counts_until)::bigint
FROM listing_change AS change
JOIN act ON act.id = change.act_id
LEFT JOIN listing ON listing.id = change.listing_id
WHERE change.at >= to_timestamp(:early) AND change.at <= to_timestamp(:until)
    AND change.state IN ('released', 'reversed', 'dropped') AND change.category <> 'manual'
    AND change.began >= to_timestamp(:since)
    AND act.verb <> 'rebuild' AND act.verb <> ALL({_EXEMPTING})
    AND NOT EXISTS (
        SELECT FROM listing_change AS again LEFT JOIN act AS other ON other.id = again.act_id
        WHERE again.listing_id = change.listing_id AND again.serial > change.serial AND (
            again.act_id IS NULL OR again.state IN ('active', 'held', 'shadow')
            OR (again.at <= again.began AND other.verb = ANY({_EXEMPTING}))
        )
    )
ORDER BY greatest(change.at, change.began), change.serial""")  # noqa: S608 - our own words
