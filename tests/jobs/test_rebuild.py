"""Rebuilding: nothing where nothing was wrong, and what is left of the events decides where something was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import text

from repzone.jobs import calculate, rebuild, sweep
from repzone.store import retention
from repzone.store.engine import Connection, Engine
from repzone.store.purge import Faulty, purge
from repzone.store.replay import Question, count_events
from tests.jobs.histories import ADDRESS, BURST, HOUR, SHORT, START, STEPS, Step, World, both, database
from tests.store.acts import join, start

BEFORE = START - 86_400
WRONG = [(0, ADDRESS, "pregreet", 2)]


def purge_reason(world: World, reason: str) -> int:
    with world.engine.begin() as connection:
        return purge(connection, Faulty(reason=reason), world.said("purge"))


def correct(world: World) -> list[str]:
    """Rebuild, and give what was different."""
    world.now += 1
    found = rebuild.run(world.engine, BEFORE, lambda: world.now, world.said("rebuild")).differences
    return [one.kind for one in found]


def different(world: World) -> list[rebuild.Difference]:
    return rebuild.run(world.engine, BEFORE, lambda: world.now).differences


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def listings(world: World) -> list[tuple[object, ...]]:
    """Give state, begin and end in seconds since START, offence number and points of each listing."""
    bounds = "extract(epoch FROM began)::int, extract(epoch FROM expires)::int"
    found = rows(world.engine, f"SELECT {bounds}, state::text, offence, points FROM listing ORDER BY began")  # noqa: S608
    return [(state, began - START, expires - START, *counts) for began, expires, state, *counts in found]


@given(STEPS, STEPS)
@database
def test_a_rebuild_finds_nothing_until_events_are_purged_and_nothing_after_it(
    fresh_engine: Callable[[], Engine], steps: list[Step], later: list[Step]
) -> None:
    world = World(fresh_engine())
    world.run(steps)
    assert different(world) == []
    purge_reason(world, "unknown_recipient")
    correct(world)
    assert different(world) == []
    world.run(later)
    stored, found = both(world.engine, BEFORE, world.now)
    assert found == stored
    assert different(world) == []


@pytest.fixture
def world(engine: Engine) -> World:
    """A world in which the address was listed twice: first for what was wrong, two hours later with good reason."""
    made = World(engine)
    made.run([(0, "log", WRONG), (60, "calculate", None), (2 * HOUR, "log", BURST), (60, "calculate", None)])
    assert listings(made) == [("active", 0, 1200, 1, 10), ("active", 7260, 9660, 2, 6)]
    return made


def test_what_never_should_have_been_is_reversed_and_the_next_is_shorter(world: World) -> None:
    assert purge_reason(world, "pregreet") == 1
    assert listings(world)[0][0] == "active"
    assert correct(world) == ["wrong", "changed"]
    assert listings(world) == [("reversed", 0, 1200, 1, 10), ("active", 7260, 8460, 1, 6)]
    assert rows(world.engine, "SELECT state::text, author, verb FROM listing_change JOIN act ON act.id = act_id") == [
        ("reversed", "somebody", "rebuild"),
        ("active", "somebody", "rebuild"),
    ]
    details = rows(world.engine, "SELECT details FROM act WHERE verb = 'rebuild'")
    assert details == [({"missing": 0, "changed": 1, "wrong": 1},)]


def test_a_wrong_listing_that_runs_ends_at_the_second_of_the_act(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", WRONG), (60, "calculate", None)])
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong"]
    assert listings(world) == [("reversed", 0, world.now - START, 1, 10)]
    assert rows(engine, "SELECT expires - at FROM listing_change ORDER BY serial DESC LIMIT 1") == rows(
        engine, "SELECT interval '0'"
    )


def test_what_the_wrong_one_hid_is_listed_with_its_evidence_and_lines(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", WRONG), (1, "calculate", None), (60, "log", BURST)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE event SET detail = 'the line' WHERE reason = 'unknown_recipient'"))
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong", "missing"]
    assert [row[:2] for row in listings(world)] == [("reversed", 0), ("active", 61)]
    evidence = "SELECT reason::text, count FROM listing_evidence WHERE listing_id = (SELECT max(id) FROM listing)"
    assert rows(engine, evidence) == [("unknown_recipient", 6)]
    assert rows(engine, "SELECT detail FROM listing_sample") == [("the line",)]


def test_a_listing_that_had_other_reasons_too_keeps_its_bounds_and_loses_the_false_evidence(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", [*WRONG, *BURST]), (1, "calculate", None)])
    purge_reason(world, "pregreet")
    assert correct(world) == ["changed"]
    assert listings(world) == [("active", 0, 1200, 1, 6)]
    assert rows(engine, "SELECT reason::text, count FROM listing_evidence") == [("unknown_recipient", 6)]


def test_what_a_reversal_means_too_counts_up_to_it_for_what_comes_in_after_the_rebuild(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", WRONG), (1, "calculate", None), (60, "log", BURST), (3 * HOUR, "act", ("false", 0))])
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong", "missing"]
    assert listings(world)[1] == ("reversed", 61, 1261, 1, 6)
    world.log([(HOUR, ADDRESS, "unknown_recipient", 6)])
    world.calculate(None)
    assert listings(world)[2][3] == 2
    assert different(world) == []


def test_what_is_decided_again_after_a_rebuild_is_not_meant_by_what_was_done_before_it(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", WRONG), (1, "calculate", None), (3 * HOUR, "act", ("false", 0))])
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong"]
    ago = world.now - START
    world.log([(ago, ADDRESS, "unknown_recipient", 6), *BURST])
    world.calculate(None)
    assert [row[3] for row in listings(world)] == [1, 2]
    assert different(world) == []


def test_a_void_listing_makes_nothing_late(engine: Engine) -> None:
    world = World(engine)
    world.run([(2 * HOUR, "log", WRONG), (1, "calculate", None)])
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong"]
    world.log([(HOUR, ADDRESS, "unknown_recipient", 6)])
    world.calculate(None)
    assert [row[0] for row in listings(world)] == ["active", "reversed"]


DAY = 86_400
KEPT = sweep.Retention(30 * DAY, 365 * DAY)


@pytest.fixture
def months(engine: Engine) -> World:
    """A world in which the address was listed every ten days, for seventy days."""
    world = World(engine)
    world.policy(SHORT)
    for _ in range(8):
        world.log(BURST)
        world.calculate(None)
        world.now += 10 * DAY
    sweep.expire_ended(engine, lambda: world.now)
    return world


def test_what_was_listed_for_pruned_events_stays_also_when_events_are_to_be_kept_longer_from_now_on(
    months: World,
) -> None:
    engine = months.engine
    assert sweep.prune(engine, lambda: months.now, KEPT).days
    sweep.prune(engine, lambda: months.now, sweep.Retention(90 * DAY, 365 * DAY))
    assert different(months) == []


def test_what_was_listed_for_pruned_events_stays_also_when_pruning_was_stopped_between(months: World) -> None:
    class Soon(threading.Event):
        left = 5

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    outcome = sweep.prune(months.engine, lambda: months.now, KEPT, Soon())
    assert outcome.days
    assert outcome.left
    assert different(months) == []


@pytest.mark.parametrize("look", [1, 2])
def test_what_is_pruned_while_it_looks_stays(months: World, monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    engine, counted = months.engine, count_events
    with engine.begin() as connection:
        connection.execute(text("UPDATE listing SET expires = expires - interval '1 min' WHERE id = 8"))
    looks = []

    def count(connection: Connection, question: Question) -> int:
        looks.append(question)
        if len(looks) == look:
            join(start(lambda: sweep.prune(engine, lambda: months.now, KEPT)))
        return counted(connection, question)

    monkeypatch.setattr(rebuild, "count_events", count)
    monkeypatch.setattr(retention, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(sweep, "PAUSE", 0.0)
    assert ([one.kind for one in different(months)] if look == 1 else correct(months)) == ["changed"]
    assert len(looks) == look


@pytest.mark.parametrize("policy", [SHORT, SHORT.replace("threshold = 6", "threshold = 4")])
def test_what_is_decided_and_done_while_it_looks_stays(world: World, policy: str) -> None:
    purge_reason(world, "pregreet")
    began = world.now + 3 * HOUR

    def meanwhile(*_: int) -> None:
        if world.now < began:
            world.now = began
            world.policy(policy)
            world.now += 600
            world.log([(0, ADDRESS, "unknown_recipient", 5), (0, "192.0.2.2", "unknown_recipient", 6)])
            world.log([(0, ADDRESS, "unknown_recipient", 1)])
            world.calculate(None)
            world.act(("release", 0))

    found = rebuild.run(world.engine, BEFORE, lambda: world.now, world.said("rebuild"), meanwhile).differences
    assert [one.kind for one in found] == ["wrong", "changed", "changed"]
    acted = "SELECT extract(epoch FROM at)::int FROM act WHERE verb = 'rebuild'"
    assert rows(world.engine, acted) == [(world.now,)]
    assert [row[0] for row in listings(world)].count("released") == 1
    stored, again = both(world.engine, BEFORE, world.now)
    assert again == stored
    assert different(world) == []


def test_without_an_act_nothing_is_changed(world: World) -> None:
    purge_reason(world, "pregreet")
    before = listings(world), rows(world.engine, "SELECT * FROM listing_change")
    assert [one.kind for one in different(world)] == ["wrong", "changed"]
    assert (listings(world), rows(world.engine, "SELECT * FROM listing_change")) == before


def test_calculators_and_logs_go_on_while_it_is_rebuilt(world: World) -> None:
    """Nobody waits in a circle, and in the end everything is as the events ask for."""
    purge_reason(world, "pregreet")
    faults: list[BaseException] = []

    def offend(number: int) -> None:
        try:
            other = World(world.engine, world.now)
            for _ in range(5):
                other.log([(number, ADDRESS, "unknown_recipient", 3), (number, f"192.0.2.{number}", "timeout", 6)])
                calculate.run(world.engine, lambda: world.now)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=offend, args=(number,)) for number in (7, 8, 9)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rebuild.run(world.engine, BEFORE, lambda: world.now, world.said("rebuild"))
    for thread in threads:
        thread.join(60)
    assert faults == []
    world.calculate(None)
    correct(world)
    assert different(world) == []


def test_who_offends_at_the_second_of_a_void_listing_is_listed_as_if_that_had_never_been(engine: Engine) -> None:
    world = World(engine)
    world.run([(0, "log", WRONG), (60, "calculate", None)])
    purge_reason(world, "pregreet")
    assert correct(world) == ["wrong"]
    world.log([(world.now - START, ADDRESS, "unknown_recipient", 7)])  # the log was read again, rightly
    world.calculate(None)
    assert listings(world) == [("active", 0, 1200, 1, 7)]
    assert rows(engine, "SELECT reason::text, count FROM listing_evidence") == [("unknown_recipient", 7)]
    assert different(world) == []
