"""What an operator bans, ends or pauses by hand in; listings, zones and the act changed in one transaction.

Locks come in the order that `locks` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from repzone.errors import RepzoneError
from repzone.model import RESERVED, Client, Exemption, Exemptions, Listing, State
from repzone.reasons import Category
from repzone.store.acts import Act, store_act, utc
from repzone.store.changes import add_changes, load_paused, set_paused
from repzone.store.engine import instant, seconds
from repzone.store.events import mark_passed_over
from repzone.store.exemptions import load_exemptions
from repzone.store.locks import lock_acts
from repzone.store.lookup import OWN
from repzone.store.tables import MARKED, VOID, event, listing, listing_evidence, source, zone_pause

MANUAL: Category = "manual"


@dataclass(frozen=True, slots=True)
class Banned:
    """The listing as it is now, and the end and reason that it had before if there was one."""

    listing: Listing
    before: tuple[int, str] | None


def ban(connection: sa.Connection, client: Client, key: Client, expires: int, act: Act) -> Banned:
    """List the key of a client until an instant; if it is banned already, this is its end and reason now.

    RepzoneError names the exemption that the client lies in.
    """
    lock_acts(connection)
    now, reason = act.at, act.reason
    exempt = Exemptions(load_exemptions(connection)).find(client, now)
    if exempt is not None:
        raise RepzoneError(f"{client} is not banned: {describe(exempt)}")
    found = _find_ban(connection, key, now)
    columns = listing.c
    values = {"expires": instant(expires), "comment": reason}
    if found is None:
        began = now
        row = {"key": key.to_text(), "category": MANUAL, "offence": 1, "began": instant(began), "state": "active"}
        row["counts_until"] = None  # of one that was undone in this second
        new = insert(listing).values(**row, **values, created=instant(now))
        # One that was ended in the very second that it began goes on.
        statement = new.on_conflict_do_update(constraint="listing_key_category_began_key", set_=row | values)
        number = connection.scalar(statement.returning(columns.id))
    else:
        number, began, *_ = found
        connection.execute(listing.update().where(columns.id == number).values(values))
    before = None if found is None else found[2:]
    done = store_act(connection, act, until=utc(expires), replaced=before is not None)
    add_changes(connection, [int(number or 0)], now, done)
    return Banned(Listing(key, MANUAL, 1, began, expires, comment=reason), before)


def _find_ban(connection: sa.Connection, key: Client, now: int) -> tuple[int, int, int, str] | None:
    """Give number, begin, end and reason of the ban of a key that runs, and lock it."""
    columns = listing.c
    query = (
        sa.select(columns.id, seconds(columns.began), seconds(columns.expires), columns.comment)
        .where(columns.key == key.to_text(), columns.category == MANUAL)  # listing_key_category_began_key
        .where(columns.state == "active", columns.expires > instant(now))
        .order_by(columns.began.desc())
        .with_for_update(key_share=True)
    )
    found = connection.execute(query).first()
    return None if found is None else (found[0], found[1], found[2], found[3])


def describe(exempt: Exemption) -> str:
    """Say which exemption it is that something lies in."""
    if exempt.network in RESERVED and not exempt.author:
        return f"{exempt.network} is reserved address space, never listed"
    where = "own_networks of the configuration" if exempt.author == OWN else exempt.comment
    return f"{exempt.network} is exempt" + (f" ({where})" if where else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which listings are meant: without a word all that run now, held ones too; but what was banned by hand only when
    its keys or its category are named.

    `since` is when they began at the earliest, `reason` one that their evidence has, `sources` the numbers of sources
    that events came from which led to them. With `ended` also those that have ended by themselves or by hand.
    """

    keys: frozenset[Client] | None = None
    category: Category | None = None
    since: int | None = None
    reason: str | None = None
    sources: tuple[int, ...] | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a choice means: listings that run by category, how many of these are held, how many others have ended; some
    of the clients, the last begun first.
    """

    running: Mapping[Category, int]
    held: int
    ended: int
    clients: tuple[Client, ...]
    total: int


def preview(connection: sa.Connection, choice: Choice, now: int, most: int = 10) -> Preview:
    """Tell which listings a choice means, and change nothing."""
    chosen, columns = _conditions(choice, now), listing.c
    runs, held = columns.expires > instant(now), columns.state == "held"
    live = sa.and_(columns.state.in_(("active", "held")), runs)
    counts = sa.select(
        columns.category,
        *(sa.func.count().filter(one) for one in (live, sa.and_(held, runs), sa.not_(live))),
    )
    rows = connection.execute(counts.where(*chosen).group_by(columns.category).order_by(columns.category)).all()
    some = sa.select(columns.key).where(*chosen).group_by(columns.key)
    keys = connection.scalars(some.order_by(sa.func.max(columns.began).desc(), columns.key).limit(most))
    return Preview(
        running={category: running for category, running, _, _ in rows if running},
        held=sum(row[2] for row in rows),
        ended=sum(row[3] for row in rows),
        clients=tuple(map(Client.from_text, keys)),
        total=int(connection.scalar(sa.select(sa.func.count(sa.distinct(columns.key))).where(*chosen)) or 0),
    )


def unban(connection: sa.Connection, choice: Choice, act: Act, *, false_positive: bool) -> dict[Category, int]:
    """End the listings that are chosen: released, or reversed so that they make no later one longer.

    Gives how many by category; an act is stored when there was one. What has ended keeps its end.
    """
    lock_acts(connection)
    now = act.at
    numbers = list(connection.scalars(sa.select(listing.c.id).where(*_conditions(choice, now))))
    lock_clients(connection, numbers, now)
    ended = end_listings(connection, numbers, "reversed" if false_positive else "released", now)
    counts = count_by_category(ended)
    if ended:
        done = store_act(connection, act, listings=counts, false_positive=false_positive)
        add_changes(connection, [number for number, _ in ended], now, done)
    return counts


def lock_clients(connection: sa.Connection, listing_ids: Sequence[int], now: int) -> None:
    """Let nobody decide for the clients of these listings, or add events of them, until this transaction ends.

    They are to be decided anew then: events from the end that their listings get on count.
    """
    connection.execute(_LOCK_CLIENTS, {"ids": list(listing_ids), "now": instant(now)})


def end_listings(
    connection: sa.Connection, listing_ids: Sequence[int], state: State, now: int
) -> list[tuple[int, Category]]:
    """Put listings in a state in which they are not in the zone, from now on; give number and category of each.

    One that somebody has just ended in that way, or whose end has just come, is left.
    """
    arguments = {"ids": list(listing_ids), "state": state, "from": _ENDED_FROM[state], "now": instant(now)}
    ended = connection.execute(_END, arguments).all()
    mark_passed_over(connection, [(number, until) for number, _, until in ended if until > now], now)
    return [(number, category) for number, category, _ in ended]


_ENDED_FROM: Mapping[State, list[State]] = {
    "released": ["active", "held"],
    "reversed": ["active", "held", "expired", "released"],
    "dropped": ["held"],
}


def count_by_category(listings: Sequence[tuple[int, Category]]) -> dict[Category, int]:
    """Count listings, given as number and category, by category."""
    counts: dict[Category, int] = {}
    for _, category in sorted(listings, key=lambda one: one[1]):
        counts[category] = counts.get(category, 0) + 1
    return counts


def find_sources(connection: sa.Connection, name: str) -> tuple[int, ...]:
    """Give the numbers of the sources of that path, host, or host:path; RepzoneError names those that there are."""
    rows = connection.execute(sa.select(source.c.id, source.c.host, source.c.path).order_by(source.c.id)).all()
    found = tuple(number for number, host, path in rows if name in (path, host, f"{host}:{path}"))
    if not found:
        known = ", ".join(f"{host}:{path}" for _, host, path in rows[:7]) or "none"
        raise RepzoneError(f"there is no source {name!r}; there are: {known}")
    return found


def load_pauses(connection: sa.Connection) -> dict[str, int]:
    """Give since when zones are paused, by apex."""
    query = sa.select(zone_pause.c.apex, seconds(zone_pause.c.since)).order_by(zone_pause.c.apex)
    return {apex: since for apex, since in connection.execute(query)}


def pause_zones(connection: sa.Connection, apexes: Sequence[str], act: Act, *, paused: bool) -> list[str]:
    """Pause zones, or let them answer again; give those for which that is new. Who says why is heard in any case."""
    lock_acts(connection)
    already = load_paused(connection)
    changed = sorted(apex for apex in set(apexes) if (apex in already) is not paused)
    if changed or act.reason:
        done = store_act(connection, act, zones=changed)
        if changed:
            set_paused(connection, changed, paused, act.at, done)
    return changed


def _conditions(choice: Choice, now: int) -> list[sa.ColumnElement[bool]]:
    columns = listing.c
    states: tuple[State, ...] = ("active", "held", "expired", "released") if choice.ended else ("active", "held")
    conditions: list[sa.ColumnElement[bool]] = [columns.state.in_(states)]
    if not choice.ended:
        conditions.append(columns.expires > instant(now))  # listing_expires_idx
    if choice.keys is not None:
        conditions.append(columns.key.in_([str(key) for key in choice.keys]))  # listing_key_category_began_key
    if choice.category is not None:
        conditions.append(columns.category == choice.category)
    elif choice.keys is None:
        conditions.append(columns.category != MANUAL)
    if choice.since is not None:
        # What began then ends later: so listing_expires_idx serves it.
        conditions += [columns.began >= instant(choice.since), columns.expires >= instant(choice.since)]
    evidence = sa.and_(listing_evidence.c.listing_id == columns.id)  # listing_evidence_pkey
    if choice.reason is not None:
        conditions.append(sa.exists().where(evidence, listing_evidence.c.reason == choice.reason))
    if choice.sources is not None:
        first = sa.select(sa.func.min(listing_evidence.c.first)).where(evidence).scalar_subquery()
        led = sa.and_(event.c.key == columns.key, event.c.category == columns.category, ~event.c.late, ~event.c.exempt)
        bounds = sa.and_(event.c.at >= first, event.c.at <= columns.began)  # event_key_category_at_idx
        conditions.append(sa.exists().where(led, bounds, event.c.source_id.in_(choice.sources)))
    return conditions


# As ingestion marks them, in the order of their keys; also where the listing has ended: who decides for the client just
# then counts it, which its reversal must know. Nobody decides on what is banned by hand.
_LOCK_CLIENTS = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT DISTINCT key, category, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM listing
WHERE id = ANY(CAST(:ids AS bigint[])) AND category <> 'manual'
ORDER BY key, category
{MARKED}""")  # noqa: S608 - our own words

# A listing of a log whose clock is ahead begins later, and was decided when this one still counted:
# listing_key_category_began_key.
_END = sa.text(f"""
UPDATE listing AS ended SET state = CAST(:state AS listing_state),
    expires = CASE WHEN until > :now THEN greatest(began, :now) ELSE until END,
    counts_until = CASE WHEN :state <> 'released' THEN greatest(
        CASE WHEN until > :now THEN :now - interval '1 s' ELSE :now END,
        (SELECT max(listing.began) FROM listing
        WHERE listing.key = ended.key AND listing.category = ended.category AND NOT {VOID})
    ) END
FROM (
    SELECT id, expires AS until FROM listing
    WHERE id = ANY(CAST(:ids AS bigint[])) AND state = ANY(CAST(:from AS listing_state[]))
        AND (state <> 'active' OR expires > :now OR :state = 'reversed')
    ORDER BY id FOR NO KEY UPDATE
) AS had
WHERE ended.id = had.id
RETURNING ended.id, category, extract(epoch FROM until)::bigint""")  # noqa: S608 - our own words
