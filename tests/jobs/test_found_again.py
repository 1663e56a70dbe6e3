"""What happened is found again: the running policies' replay gives exactly the listings that there are."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import calculate, sweep
from repzone.model import Client
from repzone.store.engine import Connection, Engine
from repzone.store.exemptions import add_exemptions
from repzone.store.locks import hold_rules
from repzone.store.policies import load_rulebook
from repzone.store.retention import expire
from tests.jobs.histories import (
    ADDRESS,
    BURST,
    DENSE_STEPS,
    HOUR,
    POLICIES,
    SHORT,
    START,
    STEPS,
    Step,
    World,
    both,
    database,
)
from tests.store.acts import join, start, wait_for_lock


@given(STEPS, st.integers(0, 20))
@database
def test_simulating_the_running_policies_gives_exactly_the_listings_that_there_are(
    fresh_engine: Callable[[], Engine], steps: list[Step], share: int
) -> None:
    world = World(fresh_engine())
    world.run(steps)
    for since in (START - 86_400, START + (world.now - START) * share // 20):
        stored, found = both(world.engine, since, world.now)
        assert found == stored


@given(DENSE_STEPS)
@database
def test_so_it_does_where_all_happens_within_minutes_and_clocks_are_ahead(
    fresh_engine: Callable[[], Engine], steps: list[Step]
) -> None:
    world = World(fresh_engine())
    world.run(steps)
    stored, found = both(world.engine, START - 86_400, world.now)
    assert found == stored


MERCIFUL = POLICIES[2]
PART = [(0, "2001:db8:1:2::1", "unknown_recipient", 6)]
NEIGHBOUR = [(0, "2001:db8:1:2::2", "unknown_recipient", 6)]
AHEAD = [(ago, ADDRESS, "unknown_recipient", 6) for ago in (-100, -250)]
HISTORIES: dict[str, list[Step]] = {
    "an old listing was false, and who is listed meanwhile is decided late": [
        *((1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST)),
        *((60, "act", ("false", 0)), (60, "calculate", None)),
    ],
    "clean mail became known after the decision": [
        *((1, "policy", MERCIFUL), (1, "log", BURST), (1, "calculate", None)),
        *((1, "clean", (4, ADDRESS, 40)), (3 * HOUR, "log", [(0, ADDRESS, "unknown_recipient", 1)])),
    ],
    "more offences of a second became known after it was spared": [
        *((1, "policy", MERCIFUL), (1, "clean", (4, ADDRESS, 10)), (1, "log", BURST), (1, "calculate", None)),
        *((1, "log", [(1, ADDRESS, "unknown_recipient", 3)]), (1, "calculate", None)),
        (1, "log", [(2, ADDRESS, "unknown_recipient", 3)]),
    ],
    "offences before two seconds at which it was spared became known": [
        *((1, "policy", MERCIFUL), (1, "clean", (4, ADDRESS, 40)), (1, "log", BURST), (1, "calculate", None)),
        *((60, "log", [(0, ADDRESS, "unknown_recipient", 3)]), (1, "calculate", None)),
        (60, "log", [(180, ADDRESS, "unknown_recipient", 9)] * 5),
    ],
    "an older log, whose offences are spared too, is read after one in which it was spared": [
        *((1, "policy", MERCIFUL), (6 * HOUR, "clean", (4, ADDRESS, 10)), (1, "log", BURST), (1, "calculate", None)),
        *((1, "log", [(2 * HOUR, ADDRESS, "unknown_recipient", 6)]), (1, "calculate", None)),
        *((1, "log", [(3 * HOUR, ADDRESS, "unknown_recipient", 1)]), (26 * HOUR, "log", BURST)),
    ],
    "an event came late": [
        *((1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST), (1, "calculate", None)),
        (1, "log", [(HOUR, ADDRESS, "unknown_recipient", 6)]),
    ],
    "a listing was released in the second in which it began, and more came of it": [
        *((1, "log", BURST), (0, "calculate", None), (0, "act", ("release", 0))),
        *((0, "log", BURST), (1, "calculate", None), (1, "log", BURST)),
    ],
    "an old listing was false, and who was listed in that second had been decided": [
        *((1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST), (0, "calculate", None)),
        (0, "act", ("false", 0)),
    ],
    "an old listing was false, and who was listed in that second was not yet decided": [
        *((1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST)),
        *((0, "act", ("false", 0)), (0, "calculate", None)),
    ],
    "a listing was released before its begin, as the clock of its log was ahead": [
        *((1, "log", [(-200, ADDRESS, "unknown_recipient", 6)]), (1, "calculate", None), (1, "act", ("release", 0))),
        (300, "log", BURST),
    ],
    "a listing was false, and the next, of a log whose clock was ahead, had been decided": [
        *((1, "log", BURST), (1, "calculate", None), (1100, "log", [(-200, ADDRESS, "unknown_recipient", 6)])),
        *((0, "calculate", None), (1, "act", ("false", 0)), (600, "log", BURST)),
    ],
    "a policy came when a listing of a log whose clock was ahead had been decided": [
        *((1, "log", [(-200, ADDRESS, "unknown_recipient", 6)]), (1, "calculate", None)),
        *((1, "policy", POLICIES[4]), (4 * HOUR, "log", BURST), (1, "log", BURST)),
    ],
    "a client was exempt for a while before anybody decided": [
        *(
            (1, "log", BURST),
            (60, "exempt", (ADDRESS, None)),
            (60, "unexempt", 0),
            (60, "log", BURST),
            (1, "calculate", None),
        ),
    ],
    "offences came in while a client was exempt, and are of when it was no more": [
        *(
            (1, "exempt", (ADDRESS, None)),
            (1, "log", [(-200, ADDRESS, "unknown_recipient", 6)]),
            (60, "calculate", None),
        ),
        (1, "unexempt", 0),
    ],
    "a listing was false before the client became exempt, and it is listed in between": [
        *((1, "log", BURST), (1, "calculate", None), (60, "act", ("false", 0)), (60, "log", BURST)),
        *((0, "calculate", None), (60, "exempt", (ADDRESS, None))),
    ],
    "a listing was released before the client became exempt, and it is listed in between": [
        *((1, "log", BURST), (1, "calculate", None), (60, "act", ("release", 0)), (60, "log", BURST)),
        *((0, "calculate", None), (60, "exempt", (ADDRESS, None))),
    ],
    "a listing was released, and the client became exempt, before its begin, as the clock of its log was ahead": [
        *((1, "log", [(-200, ADDRESS, "auth_failed", 10)]), (0, "calculate", None), (1, "act", ("release", 0))),
        *((1, "exempt", (ADDRESS, None)), (600, "unexempt", 0), (60, "log", [(0, ADDRESS, "auth_failed", 10)])),
    ],
    "a listing ended, the next had been decided ahead, and the client was exempt for a second": [
        *((1, "log", BURST), (1, "calculate", None), (1100, "log", [(-200, ADDRESS, "unknown_recipient", 6)])),
        *((0, "calculate", None), (1, "exempt", (ADDRESS, None)), (1, "unexempt", 0), (600, "log", BURST)),
    ],
    "of two offences ahead one was within a listing that was released": [
        *((1, "log", BURST), (1, "calculate", None), (1000, "log", AHEAD), (0, "calculate", None)),
        *((1, "act", ("release", 0)), (1, "calculate", None), (400, "log", BURST)),
    ],
    "of two offences ahead one was within a listing that was lifted": [
        *((1, "log", BURST), (1, "calculate", None), (1000, "log", AHEAD), (0, "calculate", None)),
        *((1, "exempt", (ADDRESS, None)), (1, "unexempt", 0), (400, "log", BURST)),
    ],
    "a listing had ended when its network was our own for a while": [
        *((1, "log", BURST), (1, "calculate", None), (HOUR, "own", [ADDRESS]), (60, "own", []), (60, "log", BURST)),
    ],
    "one address of a listed network was exempt": [
        *((1, "exempt", ("2001:db8:1:2::1", None)), (1, "log", [(0, "2001:db8:1:2::1", "unknown_recipient", 6)])),
        *((1, "log", [(0, "2001:db8:1:2::2", "unknown_recipient", 3)]), (1, "calculate", None)),
        (1, "log", [(0, "2001:db8:1:2::2", "unknown_recipient", 3)]),
    ],
    "one address of a listed network became exempt in the second of the begin": [
        *((1, "log", PART), (0, "calculate", None), (0, "exempt", (PART[0][1], None)), (60, "log", PART)),
        (HOUR, "log", NEIGHBOUR),
    ],
    "one address of a network became exempt before the begin, as the clock of the log was ahead": [
        *((1, "log", [(-200, *PART[0][1:])]), (0, "calculate", None), (1, "exempt", (PART[0][1], None))),
        *((1, "log", [(-250, *PART[0][1:])]), (HOUR, "log", NEIGHBOUR)),
    ],
    "one address of a network was exempt when its offences came in, of a log whose clock was ahead, and then no more": [
        *((1, "exempt", (PART[0][1], None)), (0, "log", [(-200, *PART[0][1:])]), (1, "unexempt", 0)),
        *((1, "log", [(-250, *NEIGHBOUR[0][1:])]), (300, "log", NEIGHBOUR)),
    ],
    "one address of a listed network was our own": [
        *((1, "log", PART), (0, "calculate", None), (60, "own", [PART[0][1]]), (HOUR, "log", PART)),
        *((0, "log", NEIGHBOUR), (60, "own", []), (HOUR, "log", PART)),
    ],
    "offences came in that are still to come, by more than is decided at once and then no more": [
        *((1, "log", [(-500, ADDRESS, "unknown_recipient", 6)]), (0, "calculate", None), (300, "calculate", None)),
    ],
    "what was still to come weighed nothing, until a policy came": [
        *((1, "policy", POLICIES[6]), (1, "log", [(-HOUR, ADDRESS, "unknown_recipient", 6)]), (1, "policy", SHORT)),
        (HOUR, "calculate", None),
    ],
    "an exemption was to end before offences of a log whose clock was ahead, and then for good": [
        *((1, "exempt", (ADDRESS, 60)), (1, "log", AHEAD), (0, "calculate", None), (1, "exempt", (ADDRESS, None))),
        *((600, "unexempt", 0), (1, "log", BURST)),
    ],
    "a client was exempt for a while, and the log was ahead within the listing that was lifted": [
        *((1, "log", [(-30, ADDRESS, "unknown_recipient", 6), *BURST]), (1, "calculate", None)),
        (0, "exempt", ("192.0.2.0/30", 20)),
    ],
    "a client was exempt until after an offence that led to a listing, of a log whose clock was ahead": [
        *(
            (1, "log", [(-200, ADDRESS, "unknown_recipient", 3), (-30, ADDRESS, "unknown_recipient", 3)]),
            (1, "log", BURST),
        ),
        *((1, "calculate", None), (1, "exempt", (ADDRESS, 60))),
    ],
    "two listings of a log whose clock was ahead were released, then false": [
        *((3, "log", [(-200, ADDRESS, "unknown_recipient", 6)]), (0, "log", [(-299, ADDRESS, "unknown_recipient", 6)])),
        *((3, "calculate", None), (1, "act", ("release", 0)), (1, "calculate", None), (0, "act", ("false", 8))),
    ],
    "a listing was false before its begin, and an exemption ended, so that it is decided anew": [
        *((1, "log", [(-30, *PART[0][1:])]), (0, "exempt", ("2001:db8:1:2::/64", 20)), (2, "calculate", None)),
        *(
            (0, "act", ("false", 0)),
            (6, "unexempt", 0),
            (3, "calculate", None),
            (20, "exempt", ("2001:db8:1::/48", 20)),
        ),
    ],
    "a network in shadow was our own for a while": [
        *((1, "policy", POLICIES[5]), (3, "log", [(-1, *PART[0][1:])]), (0, "calculate", None)),
        *((2, "own", ["2001:db8:1::/48"]), (1, "log", [(-200, *PART[0][1:])]), (0, "own", [])),
    ],
    "a listing was released in the second in which its client became exempt": [
        *((1, "log", BURST), (1, "calculate", None), (60, "act", ("release", 0)), (0, "exempt", (ADDRESS, 60))),
        *((HOUR, "log", BURST), (1, "calculate", None)),
    ],
    "a listing was released before its begin, decided anew as an exemption ended, and released again": [
        *((1, "log", [(-200, ADDRESS, "unknown_recipient", 6)]), (1, "calculate", None), (1, "act", ("release", 0))),
        *((1, "exempt", (ADDRESS, None)), (1, "unexempt", 0), (1, "calculate", None), (400, "act", ("release", 0))),
        (2 * HOUR, "log", BURST),
    ],
    "the brake held a listing and it was dropped": [
        *((1, "policy", POLICIES[3]), (1, "log", BURST), (1, "log", [(0, "192.0.2.2", "unknown_recipient", 6)])),
        *((1, "calculate", None), (1, "act", ("drop", 0)), (60, "log", BURST), (60, "log", BURST)),
        (60, "log", [(0, "192.0.2.2", "unknown_recipient", 6)]),
    ],
}


@pytest.mark.parametrize("steps", HISTORIES.values(), ids=HISTORIES)
def test_what_happened_is_found_again_when(engine: Engine, steps: list[Step]) -> None:
    world = World(engine)
    world.run(steps)
    stored, found = both(engine, START - 86_400, world.now)
    assert found == stored
    assert stored


def test_what_was_decided_ahead_says_why_it_was_decided_anew(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", AHEAD[:1]), (1, "calculate", None), (1, "exempt", (ADDRESS, None))])
    with engine.connect() as connection:
        found = connection.execute(text("SELECT state, comment FROM listing")).all()
    assert [tuple(row) for row in found] == [
        ("reversed", "decided anew, since who is exempt changed before it began"),
    ]


def test_what_was_released_before_its_begin_is_so_when_it_is_replayed_from_between(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", AHEAD[:1]), (1, "calculate", None), (1, "act", ("release", 0)), (300, "calculate", None)])
    stored, found = both(engine, START + 50, world.now)
    assert found == stored
    assert [began == expires for _, _, began, expires, *_ in stored] == [True]


def meet(monkeypatch: pytest.MonkeyPatch, world: World, other: Callable[[], object]) -> None:
    """Let a calculator run that has its clients and policies, and another who waits for it."""
    threads: list[threading.Thread] = []

    def load(connection: Connection) -> object:
        rulebook = load_rulebook(connection)
        if not threads:
            threads.extend(start(other))
            wait_for_lock(world.engine, threads[0])
        return rulebook

    monkeypatch.setattr(calculate, "load_rulebook", load)
    world.calculate(None)
    join(threads)


def test_a_policy_waits_for_a_calculator_that_has_read_the_others_and_judges_what_comes_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(engine)
    world.policy(SHORT)
    world.now += 60
    world.log([(60, "192.0.2.9", "unknown_recipient", 6)])

    def change() -> None:
        world.policy(SHORT.replace("threshold = 6", "threshold = 9"))
        world.log(BURST)

    meet(monkeypatch, world, change)
    world.now += 1
    world.calculate(None)
    stored, found = both(engine, START - 86_400, world.now)
    assert found == stored


def test_a_reversal_of_what_has_ended_waits_for_a_calculator_that_counts_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (2 * HOUR, "calculate", None)])
    world.log(AHEAD[:1])
    meet(monkeypatch, world, lambda: world.act(("false", 0)))
    world.now += 600
    world.calculate(None)
    stored, found = both(engine, START - 86_400, world.now)
    assert found == stored
    assert [offence for *_, offence, _ in stored] == [1, 2]


def exempt_amid_a_sweep(world: World, sweeping: Callable[[Callable[[], None]], None]) -> None:
    """Exempt the address three seconds before its listing ends, while it is swept two seconds after that."""
    world.run([(1, "log", BURST), (1, "calculate", None), (1190, "calculate", None)])
    (end,) = (expires for _, _, _, expires, *_ in both(world.engine, START - 86_400, world.now)[0])
    world.now = end - 3
    done = world.said("allow add")

    def allow() -> None:
        world.now += 5
        with world.engine.begin() as connection:
            add_exemptions(connection, {Client.from_text(ADDRESS): ""}, None, done)

    sweeping(allow)
    stored, found = both(world.engine, START - 86_400, world.now)
    assert found == stored
    assert [expires - end for _, _, _, expires, *_ in stored] == [-3]


def test_what_is_swept_while_an_exemption_waits_is_lifted_at_its_second(engine: Engine) -> None:
    world = World(engine)

    def sweeping(allow: Callable[[], None]) -> None:
        with engine.begin() as connection:
            hold_rules(connection)
            threads = start(allow)
            wait_for_lock(engine, threads[0])
            assert sweep.expire_ended(engine, lambda: world.now) == 1
        join(threads)

    exempt_amid_a_sweep(world, sweeping)


def test_what_a_sweep_has_locked_is_lifted_when_it_is_done(engine: Engine) -> None:
    world = World(engine)

    def sweeping(allow: Callable[[], None]) -> None:
        with engine.begin() as connection:
            assert expire(connection, world.now + 5, 500) == 1
            threads = start(allow)
            wait_for_lock(engine, threads[0])
        join(threads)

    exempt_amid_a_sweep(world, sweeping)
