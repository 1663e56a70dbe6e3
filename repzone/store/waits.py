"""Greylisted letters in, events for those that never came again out; the order of reading makes no difference.

A letter (sender and recipient) that a server told to come again is waited for until it gets through, from the same
network: greylisters match so, and large senders try again from a neighbour. Servers' logs are not read at once, so a
retry may be known before the attempt that it answers. Therefore what is stamped at or after the log time, the least
that every living log has been read to, lies ahead; up to the log time everything is taken in order of time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.model import V4, Client, Event, Exemptions, Wait

NEVER_RETRIED = "greylist_never_retried"
COMPONENT = "greylist"
_LIVING = 2
"""Times greylist_wait that a log may go unread before nobody waits for it any more."""


def settle_waits(
    connection: sa.Connection, waits: Sequence[Wait], exemptions: Exemptions, greylist_wait: int, now: int
) -> list[Event]:
    """Take what opens and closes waits; give an event for each that is `greylist_wait` seconds old in log time.

    Call it once a transaction, with nothing too: after `store_state`, which moves the log time, and before
    `add_events`, which is to store the events, at days that may be missing. Exempt clients owe nothing. One
    transaction settles at a time; what another brings meanwhile lies ahead for the next.
    """
    steps = [
        _Step(wait.at, wait.closed, wait.letter, wait.client)
        for wait in waits
        if exemptions.find(wait.client, wait.at) is None
    ]
    alone, log_time = connection.execute(_BEGIN, {"since": now - _LIVING * greylist_wait}).one()
    if not alone or log_time is None:
        _add_ahead(connection, steps)
        return []
    _add_ahead(connection, [step for step in steps if step.at >= log_time])
    due = [step for step in steps if step.at < log_time]
    for at, closed, letter, client in connection.execute(_TAKE_AHEAD, {"at": log_time}):
        due.append(_Step(at, closed, letter, Client.from_text(client)))
    failed = _take(connection, due, greylist_wait) if due else []
    for at, letter, client in connection.execute(_TAKE_OLD, {"at": log_time - greylist_wait}):
        failed.append(_Step(at, False, letter, Client.from_text(client)))
    failed.sort(key=lambda step: (step.at, step.client, step.letter))
    return [Event(step.at + greylist_wait, step.client, NEVER_RETRIED, component=COMPONENT) for step in failed]


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


def _take(connection: sa.Connection, steps: Iterable[_Step], greylist_wait: int) -> list[_Step]:
    """Change the waits as the steps say; give the openings that have failed on the way."""
    by_name: dict[tuple[str, str], list[_Step]] = defaultdict(list)
    for step in steps:
        by_name[step.name].append(step)
    names = list(by_name)
    arrays = {"networks": [network for network, _ in names], "letters": [letter for _, letter in names]}
    open_ = {}
    for number, at, letter, client in connection.execute(_FIND, arrays):
        open_[names[number - 1]] = _Step(at, False, letter, Client.from_text(client))
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


def _add_ahead(connection: sa.Connection, steps: Sequence[_Step]) -> None:
    if steps:
        arrays = {
            "instants": [step.at for step in steps],
            "letters": [step.letter for step in steps],
            "closed": [step.closed for step in steps],
            "clients": [step.client.to_text() for step in steps],
        }
        connection.execute(_ADD_AHEAD, arrays)


_BEGIN = sa.text("""
SELECT pg_try_advisory_xact_lock(hashtext('repzone.greylist')),
    (SELECT extract(epoch FROM min(logged))::bigint FROM source WHERE seen > to_timestamp(:since))""")

_ADD_AHEAD = sa.text("""
INSERT INTO greylist_ahead (at, letter, closed, client)
SELECT to_timestamp(at), letter, closed, client
FROM unnest(CAST(:instants AS bigint[]), CAST(:letters AS uuid[]), CAST(:closed AS boolean[]),
    CAST(:clients AS inet[])) AS new (at, letter, closed, client)""")

_TAKE_AHEAD = sa.text("""
DELETE FROM greylist_ahead WHERE at < to_timestamp(:at)  -- greylist_ahead_at_idx
RETURNING extract(epoch FROM at)::bigint, closed, encode(uuid_send(letter), 'hex'), host(client)""")

_NAMES = """unnest(CAST(:networks AS inet[]), CAST(:letters AS uuid[])) WITH ORDINALITY AS named (network, letter, n)"""

_FIND = sa.text(f"""
SELECT n, extract(epoch FROM at)::bigint, encode(uuid_send(letter), 'hex'), host(client)
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
RETURNING extract(epoch FROM at)::bigint, encode(uuid_send(letter), 'hex'), host(client)""")
