"""Exemptions as the database holds them, and the listings that they lift.

The operator's own networks are among them, since ever and for as long as the configuration names them.

Whoever changes who is exempt has the rules alone (`locks.lock_rules`): nobody stores events or decides meanwhile. What
has been decided of times from now on, as the clock of a log is ahead, is decided anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from repzone.model import Client, Exemption, State
from repzone.reasons import Category
from repzone.store.acts import Act, store_act, utc
from repzone.store.changes import add_changes, add_exemption_changes
from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.locks import lock_acts, lock_own_networks, lock_rules
from repzone.store.lookup import OWN
from repzone.store.tables import MARKED, VOID, VOIDED_AHEAD, exemption


@dataclass(frozen=True, slots=True)
class Exempted:
    """How many exemptions are new, how many got another comment or end, how many were so already; the listings that
    were lifted, by client and category.
    """

    new: int
    replaced: int
    same: int
    lifted: tuple[tuple[Client, Category], ...]


Progress = Callable[[int, int], None]
"""Is told how many listings have been lifted, and how many there are."""

STEP = 2000
"""So many listings are lifted by one statement, so that progress can be told and none takes long."""


def _untold(lifted: int, total: int) -> None:
    """Tell nobody."""


def load_exemptions(connection: sa.Connection) -> list[Exemption]:
    """Give every exemption, those that ended too: they tell which old events never count."""
    columns = exemption.c
    query = sa.select(
        columns.network, seconds(columns.added), seconds(columns.ended), columns.comment, columns.author
    ).order_by(columns.id)
    return [
        Exemption(Client.from_text(network), added, ended, comment, author)
        for network, added, ended, comment, author in connection.execute(query)
    ]


def store_own_networks(connection: sa.Connection, networks: Iterable[Client], now: int) -> Exempted:
    """Exempt exactly these own networks from now on; new ones for all earlier time too, and nobody in them is listed
    any longer.
    """
    wanted = {network.to_text() for network in networks}
    lock_own_networks(connection)
    columns = exemption.c
    mine = sa.and_(columns.author == OWN, columns.ended.is_(None))
    held = set(connection.scalars(sa.select(columns.network).where(mine)))
    added, ended = sorted(wanted - held), sorted(held - wanted)
    if not added and not ended:
        return Exempted(0, 0, len(held), ())
    lock_acts(connection)
    lock_rules(connection)
    row = {"added": instant(0), "author": OWN, "comment": "own network"}
    new = _insert(connection, [{"network": network, **row} for network in added])
    gone = exemption.update().where(mine, columns.network.in_(ended)).values(ended=instant(now))
    old = sorted(connection.scalars(gone.returning(columns.id)))
    lifted = _lift(connection, new, old, now)
    number = store_act(
        connection, Act(now, OWN, "configure", OWN, "", {"added": added, "ended": ended, "lifted": len(lifted)})
    )
    _add_changes(connection, [*new, *old], lifted, now, number)
    return Exempted(len(new), 0, len(held) - len(old), _named(lifted))


def add_exemptions(
    connection: sa.Connection,
    networks: Mapping[Client, str],
    ended: int | None,
    act: Act,
    progress: Progress = _untold,
) -> Exempted:
    """Exempt networks, each with its comment, from now to `ended` (None: for good), and lift the listings inside.

    Exemptions of the same networks that the operator has in force get the new comment and end.
    """
    lock_acts(connection)
    now = act.at
    held = _load_held(connection, networks, now)
    new = [network for network in networks if network not in held]
    other = {held[one][0]: one for one in networks if one in held and held[one][1:] != (networks[one], ended)}
    same = len(networks) - len(new) - len(other)
    if not new and not other:
        return Exempted(0, 0, same, ())
    lock_rules(connection)
    row = {"author": act.author, "ended": None if ended is None else instant(ended)}
    begin = {"added": instant(now), **row}
    numbers = _insert(connection, [{"network": str(one), "comment": networks[one], **begin} for one in new])
    if other:
        replaced = [{"number": number, "words": networks[one], **row} for number, one in sorted(other.items())]
        connection.execute(_REPLACE, replaced)
    numbers += sorted(other)
    lifted = _lift(connection, numbers, (), now, progress)
    counts = {"new": len(new), "replaced": len(other), "lifted": len(lifted)}
    number = store_act(connection, act, **counts, until=None if ended is None else utc(ended))
    _add_changes(connection, numbers, lifted, now, number)
    return Exempted(len(new), len(other), same, _named(lifted))


def end_exemption(connection: sa.Connection, network: Client, act: Act) -> int:
    """End the operator's exemption of exactly this network; give how many that were. Own networks stay."""
    lock_acts(connection)
    lock_rules(connection)
    now = instant(act.at)
    columns = exemption.c
    mine = sa.and_(columns.network == network.to_text(), columns.author != OWN)
    lasting = sa.or_(columns.ended.is_(None), columns.ended > now)
    ended = exemption.update().where(mine, lasting).values(ended=sa.func.greatest(columns.added, now))
    numbers = sorted(connection.scalars(ended.returning(columns.id)))
    if numbers:
        changed = _lift(connection, (), numbers, act.at)
        _add_changes(connection, numbers, changed, act.at, store_act(connection, act))
    return len(numbers)


@dataclass(frozen=True, slots=True)
class _Lifted:
    id: int
    client: Client
    category: Category
    state: State


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    statement = exemption.insert().returning(exemption.c.id, sort_by_parameter_order=True)
    return [int(number) for number in connection.scalars(statement, rows)] if rows else []


def _load_held(
    connection: sa.Connection, networks: Iterable[Client], now: int
) -> dict[Client, tuple[int, str, int | None]]:
    """Give number, comment and end of the operator's exemptions in force of exactly these networks."""
    columns = exemption.c
    query = (
        sa.select(columns.network, columns.id, columns.comment, seconds(columns.ended))
        .where(columns.network == sa.any_(sa.cast([str(one) for one in networks], sa.ARRAY(columns.network.type))))
        .where(columns.author != OWN, columns.added <= instant(now))
        .where(sa.or_(columns.ended.is_(None), columns.ended > instant(now)))
        .order_by(columns.id)
    )  # exemption_network_idx
    return {Client.from_text(network): (number, *kept) for network, number, *kept in connection.execute(query)}


def _lift(
    connection: sa.Connection,
    began: Sequence[int],
    ended: Sequence[int],
    now: int,
    progress: Progress = _untold,
) -> list[_Lifted]:
    """Reverse what runs wholly inside exemptions that began, held ones too; have what is inside these, or inside those
    that end, decided anew from now on. Exemptions are given by number; what is different now is given.
    """
    arguments = {
        "ids": [*began, *ended],
        "began": list(began),
        "now": instant(now),
        "void": VOIDED_AHEAD,
        "future": FUTURE,
    }
    changed = list(connection.execute(_VOID_AHEAD, arguments))
    inside = sorted(set(connection.scalars(_INSIDE, arguments)))
    for first in range(0, len(inside), STEP):
        progress(first, len(inside))
        changed += connection.execute(_REVERSE, {**arguments, "inside": inside[first : first + STEP]})
    connection.execute(_MARK, {**arguments, "changed": [number for number, *_ in changed]})
    return sorted((_Lifted(number, Client.from_text(key), *what) for number, key, *what in changed), key=_by_id)


def _named(lifted: Iterable[_Lifted]) -> tuple[tuple[Client, Category], ...]:
    return tuple(sorted((one.client, one.category) for one in lifted if one.state == "reversed"))


def _by_id(one: _Lifted) -> int:
    return one.id


def _add_changes(
    connection: sa.Connection, exemption_ids: Sequence[int], lifted: Sequence[_Lifted], now: int, act: int
) -> None:
    add_exemption_changes(connection, exemption_ids, now, act)
    if lifted:
        add_changes(connection, [one.id for one in lifted], now, act)


_REPLACE = (
    exemption.update()
    .where(exemption.c.id == sa.bindparam("number"))
    .values(comment=sa.bindparam("words"), author=sa.bindparam("author"), ended=sa.bindparam("ended"))
)

# The range of listing_key_category_began_key in which all is that lies inside of `network`. With OFFSET 0 behind it
# each exemption looks up its own range and nothing else.
_INSIDE_OF = """key >= network(network)
    AND key <= set_masklen(broadcast(network), CASE family(network) WHEN 4 THEN 32 ELSE 128 END)"""

# Of logs whose clock is ahead; nobody has decided on bans.
_VOID_AHEAD = sa.text(f"""
UPDATE listing SET state = 'reversed', comment = :void, expires = began, counts_until = coalesce(counts_until, began)
FROM (
    SELECT DISTINCT ahead.id FROM exemption
    CROSS JOIN LATERAL (
        SELECT id FROM listing
        WHERE {_INSIDE_OF}
            AND category <> 'manual' AND began >= :now AND NOT {VOID}
        OFFSET 0
    ) AS ahead
    WHERE exemption.id = ANY(CAST(:ids AS integer[]))
) AS found
WHERE listing.id = found.id
RETURNING listing.id, key, category, state""")  # noqa: S608 - our own words

# Whose listings are others now, and whose events are of when an exemption that ends holds no more: of the partitions of
# today, or tomorrow.
_MARK = sa.text(f"""
INSERT INTO pending (key, category, since, due)
SELECT key, category, min(at), greatest(:now, min(at) - make_interval(secs => :future))
FROM (
    SELECT key, category, CAST(:now AS timestamptz) AS at FROM listing
    WHERE id = ANY(CAST(:changed AS bigint[])) AND category <> 'manual'
    UNION ALL
    SELECT key, category, at FROM event JOIN exemption ON client <<= network AND at >= ended
    WHERE exemption.id = ANY(CAST(:ids AS integer[])) AND at >= :now AND NOT late AND NOT exempt
) AS known
GROUP BY key, category ORDER BY key, category
{MARKED}""")  # noqa: S608 - our own words

_INSIDE = sa.text(f"""
SELECT inside.id FROM exemption
CROSS JOIN LATERAL (
    SELECT id, state, began, expires FROM listing
    WHERE {_INSIDE_OF}
    OFFSET 0
) AS inside
WHERE exemption.id = ANY(CAST(:began AS integer[]))
    AND expires > :now AND state IN ('active', 'held', 'expired', 'shadow')""")  # noqa: S608 - our own words

# listing_pkey. It waits for a sweep, which itself waits for nobody: what that ends has not ended yet at `now`.
_REVERSE = sa.text("""
UPDATE listing SET expires = :now,
    state = CASE WHEN state = 'shadow' THEN state ELSE 'reversed' END,
    counts_until = CASE WHEN state <> 'shadow' THEN :now - interval '1 s' END
WHERE id IN (
    SELECT id FROM listing
    WHERE id = ANY(CAST(:inside AS bigint[])) AND expires > :now AND state IN ('active', 'held', 'expired', 'shadow')
    ORDER BY id FOR NO KEY UPDATE
)
RETURNING id, key, category, state""")
