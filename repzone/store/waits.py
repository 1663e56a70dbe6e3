"""Greylisted letters in, events for those that never came again out; the order of reading makes no difference.

A letter (sender and recipient) that a server told to come again is waited for until it gets through, from the same
network: greylisters match so, and large senders try again from a neighbour. Servers' logs are not read at once, so a
retry may be known before the attempt that it answers. Therefore what logs tell lies ahead at first. Once they have
been read, everything before the log time, up to which they are known, is taken in order of time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import V4, Client, Event, Exemptions, Wait
from repzone.store import binary
from repzone.store.engine import seconds
from repzone.store.positions import held_sources
from repzone.store.tables import source

NEVER_RETRIED = "greylist_never_retried"
COMPONENT = "greylist"

STEPS = 20_000
"""Openings and closings of one transaction at most, give or take those of one second."""

_PATIENCE = 2
"""Times greylist_wait that a log may go unread before nobody waits for it any more, or that its lines may be late."""


def add_waits(connection: sa.Connection, waits: Sequence[Wait], exemptions: Exemptions) -> None:
    """Store what opens and closes waits, for `settle_waits` to take. Exempt clients owe nothing."""
    rows = [_row(wait) for wait in waits if exemptions.find(wait.client, wait.at) is None]
    if rows:
        binary.copy(connection, "greylist_ahead", _COLUMNS, rows)


def settle_waits(connection: sa.Connection, greylist_wait: int, now: int) -> tuple[list[Event], bool]:
    """Take what lies before the log time; give an event for each letter that has not come for `greylist_wait` seconds.

    Also tells whether there is more to take: a transaction takes about STEPS. One settles at a time; where another
    does, nothing is taken. The caller stores the events, in the same transaction, at days that may be missing.
    """
    if not connection.scalar(_LOCK):
        return [], False
    log_time = _log_time(_load_sources(connection), _PATIENCE * greylist_wait, now)
    if log_time is None:
        return [], False
    end = connection.scalar(_FIND_END, {"at": log_time, "most": STEPS})
    more, end = end is not None, end or log_time
    taken = [_step(*row) for row in connection.execute(_TAKE_AHEAD, {"at": end})]
    failed = _take(connection, taken, greylist_wait) if taken else []
    failed += [_step(*row) for row in connection.execute(_TAKE_OLD, {"at": end - greylist_wait})]
    failed.sort(key=lambda step: (step.at, step.client, step.letter))
    return [Event(step.at + greylist_wait, step.client, NEVER_RETRIED, component=COMPONENT) for step in failed], more


@dataclass(frozen=True, slots=True)
class _Source:
    """A log: whether somebody reads it now, when it was last read, the newest stamp in it, when its end was reached."""

    held: bool
    seen: int | None
    logged: int | None
    ended: int | None


def _load_sources(connection: sa.Connection) -> list[_Source]:
    held = held_sources(connection)
    columns = source.c.id, seconds(source.c.seen), seconds(source.c.logged), source.c.state["ended"].as_integer()
    return [_Source(id in held, *rest) for id, *rest in connection.execute(sa.select(*columns))]


def _log_time(sources: Iterable[_Source], patience: int, now: int) -> int | None:
    """Give the instant up to which all logs are known that are still read; None while one of them is all new.

    A log is known up to its newest stamp. One that says nothing for long holds the others back no further than
    `patience`, in which its lines may be under way: but for those it is known up to when its end was reached.
    """
    living = [one for one in sources if one.held or (one.seen is not None and one.seen > now - patience)]
    if any(one.seen is None for one in living):
        return None
    newest = max((one.logged for one in living if one.logged is not None), default=0)  # old logs may be read today
    return min(
        (
            one.logged if one.ended is None else max(one.logged, min(one.ended, newest) - patience)
            for one in living
            if one.logged is not None
        ),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """An opening or a closing."""

    at: int
    closed: bool
    letter: str
    client: Client

    @property
    def name(self) -> tuple[str, str]:
        """What is waited for: a letter from a network."""
        return self.client.truncate(24 if self.client.version == V4 else 64).to_text(), self.letter


def _step(at: int, closed: bool, letter: str, client: str) -> _Step:
    return _Step(at, closed, letter, Client.from_text(client))


def _take(connection: sa.Connection, steps: Iterable[_Step], greylist_wait: int) -> list[_Step]:
    """Change the waits as the steps say; give the openings that have failed on the way."""
    by_name: dict[tuple[str, str], list[_Step]] = defaultdict(list)
    for step in steps:
        by_name[step.name].append(step)
    names = list(by_name)
    arrays = {"networks": [network for network, _ in names], "letters": [letter for _, letter in names]}
    open_ = {}
    for number, *row in connection.execute(_FIND, arrays):
        open_[names[number - 1]] = _step(*row)
    failed: list[_Step] = []
    left = {}
    for name, taken in by_name.items():
        was = open_.get(name)
        left[name] = _walk(was, taken, greylist_wait, failed)
    changed = {name: step for name, step in left.items() if step is not open_.get(name)}
    _store(connection, changed)
    return failed


def _walk(wait: _Step | None, steps: Iterable[_Step], greylist_wait: int, failed: list[_Step]) -> _Step | None:
    """Go through the steps of one letter from one network; give the opening that is left.

    Of one second the closings come last: in doubt nobody has failed.
    """
    for step in sorted(steps, key=lambda step: (step.at, step.closed)):
        if wait is not None and step.at >= wait.at + greylist_wait:
            failed.append(wait)
            wait = None
        if wait is not None and step.at < wait.at:
            continue  # a log that is not in order
        wait = None if step.closed else step
    return wait


def _store(connection: sa.Connection, changed: dict[tuple[str, str], _Step | None]) -> None:
    closed = [name for name, step in changed.items() if step is None]
    opened = [(*name, step.at, step.client.to_text()) for name, step in changed.items() if step is not None]
    if closed:
        networks, letters = map(list, zip(*closed, strict=True))
        connection.execute(_CLOSE, {"networks": networks, "letters": letters})
    if opened:
        networks, letters, instants, clients = map(list, zip(*opened, strict=True))
        arrays = {"networks": networks, "letters": letters, "instants": instants, "clients": clients}
        connection.execute(_OPEN, arrays)


_COLUMNS = ("at", "letter", "closed", "client")


def _row(wait: Wait) -> bytes:
    fields = binary.instant(wait.at), binary.uuid(wait.letter), binary.TRUE if wait.closed else binary.FALSE
    return b"".join((binary.row(len(_COLUMNS)), *fields, binary.inet(wait.client)))


_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(hashtext('repzone.greylist'))")

# The second behind the last that is taken at once; nothing if all is.
_FIND_END = sa.text("""
SELECT extract(epoch FROM at)::bigint + 1 FROM greylist_ahead
WHERE at < to_timestamp(:at)  -- greylist_ahead_at_idx
ORDER BY at OFFSET :most LIMIT 1""")

_STEP = "extract(epoch FROM at)::bigint, closed, encode(uuid_send(letter), 'hex'), host(client)"

# Most closings are of letters that no greylister ever held back: they need not come here.
_TAKE_AHEAD = sa.text(f"""
WITH taken AS (
    DELETE FROM greylist_ahead WHERE at < to_timestamp(:at)  -- greylist_ahead_at_idx
    RETURNING at, closed, letter, client
)
SELECT {_STEP} FROM taken
WHERE letter IN (SELECT letter FROM taken WHERE NOT closed) OR EXISTS (
    SELECT FROM greylist_wait  -- greylist_wait_pkey
    WHERE greylist_wait.letter = taken.letter AND greylist_wait.network
        = network(set_masklen(taken.client, CASE family(taken.client) WHEN 4 THEN 24 ELSE 64 END))
)""")  # noqa: S608 - our own words

_NAMES = """unnest(CAST(:networks AS inet[]), CAST(:letters AS uuid[])) WITH ORDINALITY AS named (network, letter, n)"""

_FIND = sa.text(f"""
SELECT n, extract(epoch FROM at)::bigint, false, encode(uuid_send(letter), 'hex'), host(client)
FROM {_NAMES} JOIN greylist_wait USING (network, letter)""")  # noqa: S608 - our own words

_CLOSE = sa.text(f"""
DELETE FROM greylist_wait USING {_NAMES}
WHERE greylist_wait.network = named.network AND greylist_wait.letter = named.letter""")  # noqa: S608 - our own words

_OPEN = sa.text("""
INSERT INTO greylist_wait (at, letter, network, client)
SELECT to_timestamp(at), letter, network, client
FROM unnest(CAST(:networks AS inet[]), CAST(:letters AS uuid[]), CAST(:instants AS bigint[]), CAST(:clients AS inet[]))
    AS new (network, letter, at, client)
ON CONFLICT (network, letter) DO UPDATE SET at = excluded.at, client = excluded.client""")

_TAKE_OLD = sa.text("""
DELETE FROM greylist_wait WHERE at <= to_timestamp(:at)  -- greylist_wait_at_idx
RETURNING extract(epoch FROM at)::bigint, false, encode(uuid_send(letter), 'hex'), host(client)""")
