"""Clients that need a decision out, decisions in.

The caller owns the transaction. `take_pending` locks the clients that it gives until the end of it, so that any
number of calculators may run and ingestion of these clients' new events waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from repzone.model import Client, Exemptions, Listing
from repzone.policy.calculator import Decision, Judgement, Offence, Spared, calculate
from repzone.policy.rules import Rulebook
from repzone.reasons import COUNTED, Category
from repzone.store.changes import add_changes, lock_serials
from repzone.store.engine import instant
from repzone.store.events import FUTURE
from repzone.store.tables import VOID, listing, listing_evidence, listing_sample, spared

Key = tuple[str, Category]
"""A client key as text, and the category: what is decided for at once."""


@dataclass(frozen=True, slots=True)
class Due:
    """A key and category to be judged, and the instant at which what is new of it begins."""

    key: str
    category: Category
    since: int


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules need to know of one client and category."""

    client: Client
    category: Category
    offences: list[Offence]
    earlier: list[Listing]
    clean: list[tuple[int, int]]
    spared: list[Spared]
    lifted: list[int]

    def judge(self, rulebook: Rulebook) -> Judgement:
        """Ask the rules."""
        known = self.offences, self.earlier, self.category, rulebook, self.clean, self.spared
        return calculate(*known, lifted=self.lifted)


def take_pending(connection: sa.Connection, now: int, most: int) -> list[Due]:
    """Take up to `most` clients that are due and not another calculator's.

    Events stamped more than FUTURE seconds ahead of now stay for later. From here on no new ones of these clients come
    in: policies and exemptions that are read now hold for all there are.
    """
    taken = [Due(*row) for row in connection.execute(_TAKE, {"now": now, "most": most})]
    if taken:
        connection.execute(_MARK_LATER, {**_named(taken), "until": now + FUTURE, "future": FUTURE})
    return taken


def load_cases(
    connection: sa.Connection, taken: Sequence[Due], rulebook: Rulebook, exemptions: Exemptions, now: int
) -> list[Case]:
    """Give what the rules need to know of each key and category to judge it from `since` on; locks nothing."""
    arrays = _arrays(taken, rulebook, now)
    keys: list[Key] = [(due.key, due.category) for due in taken]
    offences: dict[Key, list[Offence]] = {key: [] for key in keys}
    clients = {key: Client.from_text(key[0]) for key in keys}
    covering = {key: exemptions.find_ever(clients[key]) for key in keys}
    for key, category, at, reason, count in connection.execute(_OFFENCES, arrays):
        if not any(exemption.holds_at(at) for exemption in covering[key, category]):
            offences[key, category].append(Offence(at, reason, count))
    earlier: dict[Key, list[Listing]] = {key: [] for key in keys}
    for key, category, number, began, expires, state, counts_until in connection.execute(_EARLIER, arrays):
        # Own networks are exempt also for what was decided before.
        if not any(exemption.holds_at(began) for exemption in covering[key, category]):
            known = clients[key, category], category, number, began, expires, state
            earlier[key, category].append(Listing(*known, counts_until=counts_until))
    clean: dict[Key, list[tuple[int, int]]] = {key: [] for key in keys}
    mercies: dict[Key, list[Spared]] = {key: [] for key in keys}
    if arrays["weighing"]:
        for key, category, hour, messages in connection.execute(_CLEAN, arrays):
            clean[key, category].append((hour, messages))
    for key, category, *episode in connection.execute(_SPARED, arrays):
        mercies[key, category].append(Spared(*episode))
    return [
        Case(
            *(clients[key], key[1], offences[key], earlier[key], clean[key], mercies[key]),
            lifted=[exemption.added for exemption in covering[key]],
        )
        for key in keys
    ]


def _named(taken: Sequence[Due]) -> dict[str, Any]:
    return {
        "keys": [due.key for due in taken],
        "categories": [due.category for due in taken],
        "since": [due.since for due in taken],
    }


def _arrays(taken: Sequence[Due], rulebook: Rulebook, now: int) -> dict[str, Any]:
    reach = {category: rulebook.reach(category) for category in COUNTED}
    since = [due.since - reach[due.category] for due in taken]
    return {
        **_named(taken),
        "since": since,
        "first": min(since),
        "until": now + FUTURE,
        "weighing": [category for category in COUNTED if rulebook.weighs_clean(category)],
    }


def add_decisions(
    connection: sa.Connection, judged: Sequence[tuple[Case, Judgement]], brake: int | None, now: int
) -> int:
    """Store the listings that begin, with their evidence, and give them serials; note who was spared.

    `brake` is how many listings may begin within an hour (None: BRAKE, or a fifth of the active ones if that is
    more); those above it are held. Gives how many that are.
    """
    add_spared(connection, [(case.client, case.category, judgement) for case, judgement in judged])
    decisions = [(case, decision) for case, judgement in judged for decision in judgement.listings]
    if not decisions:
        return 0
    made = [Made(case.client, case.category, decision, now) for case, decision in decisions]
    numbers = add_listings(connection, made)
    lock_serials(connection)
    held = _hold(connection, numbers, brake, now)
    add_changes(connection, numbers, now)
    return held


@dataclass(frozen=True, slots=True)
class Made:
    """A listing that is to be stored: whose, what was decided, and when that was."""

    client: Client
    category: Category
    decision: Decision
    created: int


def add_listings(connection: sa.Connection, made: Sequence[Made]) -> list[int]:
    """Store listings with their evidence and give their numbers, in the same order; they have no serials yet.

    One that began at the same second and is void is that listing now.
    """
    arrays = {
        "keys": [one.client.to_text() for one in made],
        "categories": [one.category for one in made],
        "begins": [one.decision.began for one in made],
    }
    numbers = {place - 1: number for place, number in connection.execute(_FIND_VOID, arrays)}
    revised = [(number, made[place]) for place, number in numbers.items()]
    new = [place for place in range(len(made)) if place not in numbers]
    if new:
        statement = listing.insert().returning(listing.c.id, sort_by_parameter_order=True)
        added = connection.execute(statement, [_row(made[place]) for place in new]).scalars()
        numbers |= dict(zip(new, map(int, added), strict=True))
        add_evidence(connection, [numbers[place] for place in new], [made[place] for place in new])
    revise_listings(connection, revised)
    return [numbers[place] for place in range(len(made))]


def revise_listings(connection: sa.Connection, revised: Sequence[tuple[int, Made]]) -> None:
    """Make listings, given by number, what was decided now, with that evidence."""
    if not revised:
        return
    names = ("expires", "offence", "state", "counts_until", "points", "policy_version_id", "created", "comment")
    rows = [{f"new_{name}": _row(one)[name] for name in names} | {"number": number} for number, one in revised]
    news = listing.update().values({name: sa.bindparam(f"new_{name}") for name in names})
    connection.execute(news.where(listing.c.id == sa.bindparam("number")), rows)
    numbers = [number for number, _ in revised]
    for table in (listing_evidence, listing_sample):
        connection.execute(table.delete().where(table.c.listing_id.in_(numbers)))
    add_evidence(connection, numbers, [one for _, one in revised])


def add_evidence(connection: sa.Connection, numbers: Sequence[int], made: Sequence[Made]) -> None:
    """Store what led to listings, counted and as samples."""
    evidence = [
        {
            "listing_id": number,
            "reason": reason,
            "count": seen.count,
            "first": instant(seen.first),
            "last": instant(seen.last),
        }
        for number, one in zip(numbers, made, strict=True)
        for reason, seen in one.decision.evidence.items()
    ]
    connection.execute(listing_evidence.insert(), evidence)
    connection.execute(_ADD_SAMPLES, _sampled(numbers, made))


BRAKE = 1000
"""So many listings may begin within BRAKE_SPAN seconds of wall time unless a policy says otherwise."""

BRAKE_SPAN = 3600

SAMPLES = 5
"""Lines that are kept of a listing's evidence."""


def _hold(connection: sa.Connection, numbers: Sequence[int], brake: int | None, now: int) -> int:
    """Hold those of these listings that are above what may begin within an hour; serials must be locked."""
    arrays = {"ids": list(numbers), "now": instant(now), "since": instant(now - BRAKE_SPAN)}
    opened = connection.scalar(_OPENED, arrays) or 0
    if brake is None and opened > BRAKE:
        brake = max(BRAKE, (connection.scalar(_ACTIVE, arrays) or 0) // 5)
    above = opened - (brake or BRAKE)
    return 0 if above <= 0 else connection.execute(_HOLD, {**arrays, "above": above}).rowcount


def _sampled(numbers: Sequence[int], made: Sequence[Made]) -> Mapping[str, object]:
    """Give the arrays of _ADD_SAMPLES: where the lines that led to each listing are to be found."""
    firsts = [min(seen.first for seen in one.decision.evidence.values()) for one in made]
    return {
        "ids": list(numbers),
        "keys": [one.client.to_text() for one in made],
        "categories": [one.category for one in made],
        "firsts": firsts,
        "lasts": [one.decision.began for one in made],
        "first": min(firsts),
        "last": max(one.decision.began for one in made),
        "samples": SAMPLES,
    }


def add_spared(connection: sa.Connection, judged: Sequence[tuple[Client, Category, Judgement]]) -> None:
    """Note who was spared, new or longer than before."""
    rows = [
        {
            "key": client.to_text(),
            "category": category,
            "began": instant(episode.began),
            "last": instant(episode.last),
            "policy_version_id": episode.version,
            "points": episode.points,
            "offences": episode.offences,
            "clean": episode.clean,
        }
        for client, category, judgement in judged
        for episode in judgement.spared
    ]
    if rows:
        added = insert(spared)
        news = {name: added.excluded[name] for name in ("last", "points", "offences", "clean")}
        connection.execute(added.on_conflict_do_update(constraint="spared_pkey", set_=news), rows)


def _row(made: Made) -> Mapping[str, object]:
    decision = made.decision
    return {
        "key": made.client.to_text(),
        "category": made.category,
        "offence": decision.offence,
        "began": instant(decision.began),
        "expires": instant(decision.expires),
        "state": decision.state,
        "counts_until": None if decision.counts_until is None else instant(decision.counts_until),
        "policy_version_id": decision.version,
        "points": decision.points,
        "created": instant(made.created),
        "comment": "",
    }


_TAKE = sa.text("""
DELETE FROM pending USING (
    SELECT key, category FROM pending WHERE due <= to_timestamp(:now)
    ORDER BY due, key, category LIMIT :most FOR UPDATE SKIP LOCKED
) AS free
WHERE pending.key = free.key AND pending.category = free.category
RETURNING pending.key, pending.category, extract(epoch FROM pending.since)::bigint""")

_TAKEN = """unnest(CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:since AS bigint[]))
    AS taken (key, category, since)"""

_MARK_LATER = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT event.key, event.category, min(event.at), min(event.at) - make_interval(secs => :future)
FROM {_TAKEN} JOIN event USING (key, category)
WHERE event.at > to_timestamp(:until) AND NOT event.late AND NOT event.exempt
GROUP BY event.key, event.category""")  # noqa: S608 - our own words

# listing_key_category_began_key
_FIND_VOID = sa.text(f"""
SELECT n, listing.id
FROM unnest(CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:begins AS bigint[]))
    WITH ORDINALITY AS made (key, category, began, n)
JOIN listing ON listing.key = made.key AND listing.category = made.category
    AND listing.began = to_timestamp(made.began)
WHERE {VOID}""")  # noqa: S608 - our own words

# For each client the index event_key_category_at_idx of the days since its window began; `first`, the least of these
# instants, leaves the planner only so many days' partitions to look at.
_OFFENCES = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM found.at)::bigint, found.reason, found.count
FROM {_TAKEN}
CROSS JOIN LATERAL (
    SELECT max(expires) AS expires FROM listing
    WHERE listing.key = taken.key AND listing.category = taken.category AND NOT {VOID}
) AS last
CROSS JOIN LATERAL (
    SELECT at, reason, sum(count)::integer AS count FROM event
    WHERE event.key = taken.key AND event.category = taken.category AND NOT late AND NOT exempt
        AND at > to_timestamp(taken.since) AND at <= to_timestamp(:until) AND at > to_timestamp(:first)
        AND at >= coalesce(last.expires, '-infinity')
    GROUP BY at, reason
) AS found
ORDER BY taken.key, taken.category, found.at, found.reason""")  # noqa: S608 - our own words

# traffic_pkey
_CLEAN = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM hour)::bigint, messages
FROM {_TAKEN} JOIN traffic ON traffic.key = taken.key AND hour >= to_timestamp(taken.since) AND messages > 0
WHERE taken.category = ANY(CAST(:weighing AS category[]))
ORDER BY hour""")  # noqa: S608 - our own words

# spared_pkey
_SPARED = sa.text(f"""
SELECT taken.key, taken.category, extract(epoch FROM began)::bigint, extract(epoch FROM last)::bigint,
    policy_version_id, points, offences, clean
FROM {_TAKEN} JOIN spared USING (key, category)
WHERE last >= to_timestamp(taken.since)
ORDER BY began""")  # noqa: S608 - our own words

# The newest of the lines that weighed, by the index event_key_category_at_idx of the days that a listing took.
_ADD_SAMPLES = sa.text("""
INSERT INTO listing_sample (listing_id, at, client, reason, component, detail)
SELECT n.id, found.at, found.client, found.reason, found.component, found.detail
FROM unnest(CAST(:ids AS bigint[]), CAST(:keys AS inet[]), CAST(:categories AS category[]), CAST(:firsts AS bigint[]),
    CAST(:lasts AS bigint[])) AS n (id, key, category, first, last)
CROSS JOIN LATERAL (
    SELECT at, client, reason, component, detail FROM event
    WHERE event.key = n.key AND event.category = n.category AND NOT late AND NOT exempt AND detail <> ''
        AND at >= to_timestamp(n.first) AND at <= to_timestamp(n.last)
        AND at >= to_timestamp(:first) AND at <= to_timestamp(:last)
        AND reason IN (SELECT reason FROM listing_evidence WHERE listing_id = n.id)
    ORDER BY at DESC LIMIT :samples
) AS found""")

# listing_created_idx
_OPENED = sa.text("""
SELECT count(*) FROM listing
WHERE created > :since AND state = 'active' AND expires > :now AND category <> 'manual'""")

# listing_active_expires_idx
_ACTIVE = sa.text("SELECT count(*) FROM listing WHERE state = 'active' AND expires > :now")

_HOLD = sa.text("""
UPDATE listing SET state = 'held' WHERE id IN (
    SELECT id FROM listing WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'active' AND expires > :now
    ORDER BY began DESC, id DESC LIMIT :above
)""")

# listing_key_category_began_key
_EARLIER = sa.text(f"""
SELECT taken.key, taken.category, listing.offence, extract(epoch FROM listing.began)::bigint,
    extract(epoch FROM listing.expires)::bigint, listing.state, extract(epoch FROM counts_until)::bigint
FROM {_TAKEN} JOIN listing USING (key, category)
WHERE NOT {VOID}
ORDER BY listing.began""")  # noqa: S608 - our own words
