"""What an operator did to listings of the real world, in a world where they have other bounds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Listing, State
from repzone.policy.calculator import Offence, Spared, calculate, free_from
from repzone.policy.replay import Act, History, replay
from repzone.policy.rules import Rulebook, Version, parse
from tests.policy.test_calculator import CLIENT, HOUR, T0, burst

HOURLY = Rulebook([Version(1, 0, parse('[categories.errors]\ndurations = ["1h", "2h"]', "hourly"))])

Listed = tuple[int, int, int, str]
"""Begin and end in seconds since T0, offence number, state."""


def replayed(offences: Sequence[Offence], *acts: Act) -> list[Listed]:
    judgement = replay(History(CLIENT, "errors", offences, acts=acts), HOURLY)
    return [(one.began - T0, one.expires - T0, one.offence, one.state) for one in judgement.listings]


def act(at: int, state: State, began: int, ended: int) -> Act:
    return Act(T0 + at, state, T0 + began, T0 + ended)


def test_without_acts_it_is_what_the_calculator_decides() -> None:
    assert replayed([*burst(0), *burst(2 * HOUR)]) == [(9, 3609, 1, "active"), (7209, 14409, 2, "active")]


@pytest.mark.parametrize(("state", "offence"), [("released", 2), ("reversed", 1), ("dropped", 1)])
def test_an_act_ends_what_runs_then_whatever_its_bounds_and_offences_count_from_that_second(
    state: State, offence: int
) -> None:
    done = act(600, state, 300, 600)
    assert replayed([*burst(0), *burst(595, 10)], done) == [(9, 600, 1, state)]
    again = replayed([*burst(0), *burst(600, 10)], done)
    assert again == [(9, 600, 1, state), (609, 609 + offence * HOUR, offence, "active")]


def test_an_act_to_a_listing_that_lasted_at_other_seconds_means_nobody() -> None:
    later = [*burst(0), *burst(2 * HOUR)]
    assert replayed(later, act(7000, "reversed", 5000, 6000)) == replayed(later)
    assert replayed(burst(0), act(3700, "released", 3609, 3700)) == replayed(burst(0))


def test_a_reversal_holds_for_what_has_ended_and_a_release_does_not() -> None:
    offences = [*burst(0), *burst(2 * HOUR)]
    assert replayed(offences, act(2 * HOUR, "released", 9, 2 * HOUR))[0] == (9, 3609, 1, "active")
    reversed_then = replayed(offences, act(2 * HOUR, "reversed", 9, 7000))
    assert reversed_then == [(9, 3609, 1, "reversed"), (7209, 10809, 1, "active")]


def test_what_is_reversed_later_had_counted_until_then() -> None:
    offences = [*burst(0), *burst(2 * HOUR)]
    assert replayed(offences, act(3 * HOUR, "reversed", 9, 3609))[1] == (7209, 14409, 2, "active")


def test_what_begins_up_to_the_second_of_a_reversal_is_counted_with_what_was_reversed() -> None:
    offences = [*burst(0), *burst(2 * HOUR)]
    assert replayed(offences, act(7209, "reversed", 9, 3609))[1] == (7209, 14409, 2, "active")
    assert replayed(offences, act(7208, "reversed", 9, 3609))[1] == (7209, 10809, 1, "active")


def test_what_begins_after_an_act_is_not_touched_by_it() -> None:
    assert replayed(burst(600), act(300, "released", 0, 300)) == replayed(burst(600))


def test_what_begins_in_the_second_of_an_act_to_another_listing_is_not_touched_by_it() -> None:
    assert replayed(burst(0), act(9, "released", 0, 9)) == replayed(burst(0))


def test_an_act_in_the_second_of_the_begin_leaves_a_listing_of_no_length() -> None:
    assert replayed(burst(0), act(9, "released", 9, 9)) == [(9, 9, 1, "released")]


MERCIFUL = Rulebook([Version(1, 0, parse('[categories.errors]\nthreshold = 3\nwindow = "10m"\nmax_clean = 1', "mild"))])
LOGS = st.lists(
    st.lists(st.builds(Offence, st.integers(T0, T0 + HOUR), st.just("timeout"), st.integers(2, 4)), max_size=3),
    min_size=2,
    max_size=8,
)


@given(LOGS, st.integers(3, 12))
def test_a_replay_finds_what_was_decided_in_whatever_order_the_logs_of_a_spared_client_came(
    logs: list[list[Offence]], messages: int
) -> None:
    clean = [(T0 - 2 * HOUR, messages)]
    known: list[Offence] = []
    listings: list[Listing] = []
    spared: dict[int, Spared] = {}
    for log in logs:
        free = free_from(listings)  # what is before it has come too late
        known = sorted([*known, *(one for one in log if one.at >= free)])
        judgement = calculate(known, listings, "errors", MERCIFUL, clean, list(spared.values()))
        listings += [Listing(CLIENT, "errors", one.offence, one.began, one.expires) for one in judgement.listings]
        spared |= {one.began: one for one in judgement.spared}
    again = replay(History(CLIENT, "errors", known, clean=clean, spared=list(spared.values())), MERCIFUL)
    assert [(one.began, one.expires) for one in again.listings] == [(one.began, one.expires) for one in listings]
