"""Simulation: under the policies that were in force it is what happened; under others what would have."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import calculate, simulate
from repzone.model import Exemptions
from repzone.policy.replay import replay
from repzone.policy.rules import parse
from repzone.store.engine import Connection, Engine
from repzone.store.exemptions import load_exemptions
from repzone.store.policies import load_rulebook
from repzone.store.replay import load_pasts
from repzone.store.retention import store_events_from
from tests.jobs.histories import DENSE_STEPS, HOUR, POLICIES, SHORT, START, STEPS, Step, World
from tests.store.acts import join, start, wait_for_lock

SOAK = os.environ.get("REPZONE_SOAK") == "1"
database = settings(max_examples=400 if SOAK else 25, suppress_health_check=[HealthCheck.function_scoped_fixture])

Bounds = tuple[str, str, int, int, int, bool]
"""Client, category, begin, end, offence number, whether it is shadow."""


def both(engine: Engine, since: int, now: int) -> tuple[list[Bounds], list[Bounds]]:
    """Give the listings that there are since then, and those of the running policies' replay."""
    stored: list[Bounds] = []
    found: list[Bounds] = []
    with engine.connect() as connection:
        question = simulate.make_question(connection, None, since, now)
        exemptions = Exemptions(load_exemptions(connection))
        for past in load_pasts(connection, question):
            client, category = past.history.client, past.history.category
            for made, listings in ((stored, past.stored), (found, replay(past.history, question.rulebook).listings)):
                made += [
                    (str(client), category, one.began, one.expires, one.offence, one.state == "shadow")
                    for one in listings
                    if one.began >= since
                    and not getattr(one, "void", False)
                    and exemptions.find(client, one.began) is None
                ]
    return sorted(stored), sorted(found)


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


ADDRESS = "192.0.2.1"
BURST = [(0, ADDRESS, "unknown_recipient", 6)]
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


def test_a_policy_waits_for_a_calculator_that_has_read_the_others_and_judges_what_comes_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(engine)
    world.policy(SHORT)
    world.now += 60
    world.log([(60, "192.0.2.9", "unknown_recipient", 6)])
    threads: list[threading.Thread] = []

    def change() -> None:
        world.policy(SHORT.replace("threshold = 6", "threshold = 9"))
        world.log(BURST)

    def load(connection: Connection) -> object:
        rulebook = load_rulebook(connection)
        if not threads:
            threads.extend(start(change))
            wait_for_lock(engine, threads[0])
        return rulebook

    monkeypatch.setattr(calculate, "load_rulebook", load)
    world.calculate(None)
    join(threads)
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
    threads: list[threading.Thread] = []

    def load(connection: Connection) -> object:
        if not threads:
            threads.extend(start(lambda: world.act(("false", 0))))
            wait_for_lock(engine, threads[0])
        return load_rulebook(connection)

    monkeypatch.setattr(calculate, "load_rulebook", load)
    world.calculate(None)
    join(threads)
    world.now += 600
    world.calculate(None)
    stored, found = both(engine, START - 86_400, world.now)
    assert found == stored
    assert [offence for *_, offence, _ in stored] == [1, 2]


def simulated(world: World, words: str, since: int = START - 86_400) -> simulate.Outcome:
    policy = parse(words, "other.toml")
    return simulate.run(world.engine, policy, since, world.now)


def test_both_sides_are_counted_by_category_and_by_what_becomes_of_a_client(engine: Engine) -> None:
    world = World(engine)
    others = [(0, "192.0.2.2", "unknown_recipient", 4), (0, "192.0.2.3", "auth_failed", 10)]
    world.run([(1, "log", [*BURST, *others]), (HOUR, "calculate", None)])
    found = simulated(
        world, '[categories.errors]\nthreshold = 4\ndurations = ["1h"]\n[categories.auth]\nthreshold = 11'
    )
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.listings, old.seconds, old.clients) == (1, 1200, 1)
    assert (new.listings, new.seconds, new.clients) == (2, 7200, 2)
    assert found.kinds == {"longer": 1, "newly": 1, "never": 1}
    assert [(str(one.client), one.kind) for one in found.most] == [
        *(("192.0.2.3", "never"), ("192.0.2.2", "newly"), ("192.0.2.1", "longer")),
    ]
    assert (max(found.active["old"].counts()), max(found.active["new"].counts())) == (2, 2)


def test_the_chart_ends_now_and_shows_a_peak_that_is_shorter_than_a_step() -> None:
    """Two listings of a minute each, one after the other within a step, are one at most."""
    since, until = START, START + 30 * 86_400 + 12_345
    active = simulate.Active(since, until)
    for began, expires in ((since - 5, since + 5), (since + 86_400, since + 86_460), (since + 86_460, since + 86_520)):
        active.add(simulate.Lasted(began, expires))
    active.add(simulate.Lasted(until - 60, until + 60))
    active.add(simulate.Lasted(since + 99, since + 99))
    counts = dict(zip(active.instants, active.counts(), strict=True))
    assert active.instants[-1] == until
    assert len(counts) <= simulate.POINTS
    assert max(counts.values()) == 1
    assert [at for at, count in counts.items() if count] == [
        min(counts),
        min(at for at in counts if at >= since + 86_400),
        until,
    ]


def test_clients_that_delivered_clean_mail_are_counted_apart_and_who_is_spared_too(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "clean", (2, ADDRESS, 30)), (1, "log", BURST), (1, "calculate", None)])
    found = simulated(world, SHORT + "max_clean = 2")
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.clients, old.delivered, old.spared) == (1, 1, 0)
    assert (new.clients, new.delivered, new.spared) == (0, 0, 1)
    assert [one.delivered for one in found.most] == [True]


def test_a_fault_amid_it_is_told_and_nothing_waits_for_the_database(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None)])

    def fail(*_: int) -> None:
        raise ZeroDivisionError

    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            simulate.run(engine, parse(SHORT, "x"), START - 86_400, world.now, progress=fail)

    join(start(run))


def test_another_prefix_length_makes_other_clients_of_the_same_addresses(engine: Engine) -> None:
    world = World(engine)
    shared = [(0, f"2001:db8:1:{n}::1", "unknown_recipient", 2) for n in range(3)]
    world.run([(1, "clean", (2, "2001:db8:1:2::9", 5)), (1, "log", shared), (1, "calculate", None)])
    wide = simulated(world, "ipv6_prefix = 48\n" + SHORT)
    assert [(str(one.client), one.kind, one.delivered) for one in wide.most] == [("2001:db8:1::/48", "newly", True)]
    world.run([(1, "log", [(0, "2001:db8:1:7::1", "unknown_recipient", 6)]), (1, "calculate", None)])
    narrow = simulated(world, "ipv6_prefix = 128\n" + SHORT)
    assert {(str(one.client), one.kind) for one in narrow.most} == {
        ("2001:db8:1:7::/64", "never"),
        ("2001:db8:1:7::1", "newly"),
    }


def test_listings_begun_before_the_time_stand_and_make_the_next_longer_on_both_sides(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST), (HOUR, "calculate", None)])
    found = simulated(world, SHORT.replace('"40m"', '"50m"'), since=START + HOUR)
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.listings, old.seconds, new.listings, new.seconds) == (1, 2400, 1, 3000)
    (one,) = both(engine, START + HOUR, world.now)[0]
    assert one[4] == 2


def test_where_events_were_pruned_it_begins_where_all_are_there(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None)])
    with engine.begin() as connection:
        store_events_from(connection, (world.now - 30 * 86_400) // 86_400 * 86_400)
    found = simulate.run(engine, None, START - 90 * 86_400, world.now)
    first = (world.now - 30 * 86_400) // 86_400 * 86_400
    assert (found.wanted, found.since) == (START - 90 * 86_400, first + 6 * HOUR)
    assert simulate.run(engine, None, START, world.now).since == START
