"""Simulation: under the policies that were in force it is what happened; under others what would have."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.jobs import simulate
from repzone.model import Exemptions
from repzone.policy.replay import replay
from repzone.store.engine import Engine
from repzone.store.exemptions import load_exemptions
from repzone.store.replay import load_pasts
from tests.jobs.histories import HOUR, POLICIES, START, STEPS, Step, World

SOAK = os.environ.get("REPZONE_SOAK") == "1"
database = settings(
    max_examples=400 if SOAK else 25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Bounds = tuple[str, str, int, int, int, bool]
"""Client, category, begin, end, offence number, whether it is shadow."""


def both(engine: Engine, since: int, now: int) -> tuple[list[Bounds], list[Bounds]]:
    """Give the listings that there are since then, and those of the running policies' replay."""
    stored: list[Bounds] = []
    found: list[Bounds] = []
    with engine.connect() as connection:
        question = simulate.make_question(connection, None, since, now, 30 * 86_400)
        exemptions = Exemptions(load_exemptions(connection))
        for past in load_pasts(connection, question):
            client, category = past.history.client, past.history.category
            for made, listings in ((stored, past.stored), (found, replay(past.history, question.rulebook).listings)):
                made += [
                    (str(client), category, one.began, one.expires, one.offence, one.state == "shadow")
                    for one in listings
                    if one.began >= since and not getattr(one, "void", False) and exemptions.find(client, one.began) is None
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


ADDRESS = "192.0.2.1"
BURST = [(0, ADDRESS, "unknown_recipient", 6)]
MERCIFUL = POLICIES[2]
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
    "a client was exempt for a while before anybody decided": [
        *((1, "log", BURST), (60, "exempt", ADDRESS), (60, "unexempt", 0), (60, "log", BURST), (1, "calculate", None)),
    ],
    "one address of a listed network was exempt": [
        *((1, "exempt", "2001:db8:1:2::1"), (1, "log", [(0, "2001:db8:1:2::1", "unknown_recipient", 6)])),
        *((1, "log", [(0, "2001:db8:1:2::2", "unknown_recipient", 3)]), (1, "calculate", None)),
        (1, "log", [(0, "2001:db8:1:2::2", "unknown_recipient", 3)]),
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
