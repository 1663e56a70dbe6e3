"""The outlook: what it says would happen is what the calculator then decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import Listing
from repzone.policy.calculator import Judgement, Offence, Spared, calculate
from repzone.policy.outlook import MOST, Outlook, foresee
from repzone.policy.rules import Rulebook, Version, parse
from tests.policy.test_calculator import (
    CLEAN,
    CLIENT,
    DAY,
    HOUR,
    MIDNIGHT,
    SHIPPED,
    SPAN,
    T0,
    at_midnight,
    burst,
    cleans,
    histories,
    hour,
    past,
    pasts,
    rulebooks,
)


def later(
    outlook: Outlook,
    count: int,
    offences: Sequence[Offence],
    earlier: Sequence[Listing],
    rulebook: Rulebook,
    clean: Sequence[tuple[int, int]],
    spared: Sequence[Spared],
) -> Judgement:
    """Let the calculator look at everything, and then at so many more offences of one point each."""
    first = calculate(offences, earlier, "errors", rulebook, clean, [replace(one) for one in spared])
    made = [
        *earlier,
        *(Listing(CLIENT, "errors", one.offence, one.began, one.expires, one.state) for one in first.listings),
    ]
    known = {one.began: one for one in (*spared, *first.spared)}
    more = [*(one for one in offences if one.at <= outlook.at), Offence(outlook.at, "timeout", count)]
    return calculate(more, made, "errors", rulebook, clean, [replace(one) for one in known.values()])


@given(histories(), pasts(), rulebooks(), cleans(), st.integers(0, SPAN + DAY))
@settings(max_examples=300)
def test_so_many_more_list_a_client_and_no_fewer(
    offences: list[Offence], earlier: list[Listing], rulebook: Rulebook, clean: list[tuple[int, int]], after: int
) -> None:
    now = T0 + after
    seen = [offence for offence in offences if offence.at <= now]
    outlook = foresee(seen, earlier, "errors", rulebook, now, clean)
    assert outlook.more is not None
    assert outlook.more >= 1
    (listed,) = later(outlook, outlook.more, seen, earlier, rulebook, clean, ()).listings
    assert (listed.began, listed.offence, listed.state) == (outlook.at, outlook.offence, outlook.state)
    assert (listed.expires - listed.began, listed.version) == (outlook.length, outlook.version)
    assert listed.points == outlook.points + outlook.more
    listed.evidence["timeout"].count -= outlook.more
    assert {name: was.count for name, was in listed.evidence.items() if was.count} == outlook.reasons
    if outlook.more > 1:
        assert later(outlook, outlook.more - 1, seen, earlier, rulebook, clean, ()).listings == []


@given(histories(), pasts(), rulebooks(), st.integers(0, SPAN))
@settings(max_examples=200)
def test_what_is_due_is_what_the_calculator_decides_and_holds_until_its_end(
    offences: list[Offence], earlier: list[Listing], rulebook: Rulebook, after: int
) -> None:
    outlook = foresee(offences, earlier, "errors", rulebook, T0 + after)
    decided = calculate(offences, earlier, "errors", rulebook).listings
    assert list(outlook.due) == decided
    bounds = [(one.began, one.expires) for one in earlier] + [(one.began, one.expires) for one in decided]
    ends = max((max(expires, began + 1) for began, expires in bounds), default=0)
    assert outlook.until == (ends if ends > T0 + after else None)
    if outlook.until:
        counting = [offence for offence in offences if offence.at == outlook.until]
        assert bool(outlook.reasons) <= bool(counting)


@given(pasts(), rulebooks(), st.integers(-3 * HOUR, SPAN))
@settings(max_examples=200)
def test_the_ladder_begins_anew_once_nothing_is_remembered(
    earlier: list[Listing], rulebook: Rulebook, after: int
) -> None:
    outlook = foresee((), earlier, "errors", rulebook, T0 + after)
    assert outlook.offence == 1 + len(outlook.remembered)
    if outlook.remembered and rulebook.at(outlook.remembered[-1] + 1).id == outlook.version:
        last = foresee((), earlier, "errors", rulebook, outlook.remembered[-1])
        assert last.offence == 1 + len(last.remembered) > 1
        assert foresee((), earlier, "errors", rulebook, outlook.remembered[-1] + 1).offence == 1


@given(histories(), st.integers(0, SPAN))
@settings(max_examples=50)
def test_spared_episodes_that_are_given_stay_as_they_are(offences: list[Offence], after: int) -> None:
    clean = [hour(n, 60) for n in range(-600, 600)]
    episodes = calculate(offences[: len(offences) // 2], (), "errors", CLEAN, clean).spared
    before = [replace(one) for one in episodes]
    outlook = foresee(offences, (), "errors", CLEAN, T0 + after, clean, episodes)
    assert episodes == before
    assert all(one.last < outlook.at for one in episodes)


def test_seven_of_ten_points_need_three_more_for_the_next_length() -> None:
    outlook = foresee(burst(0, 7), [past(-DAY, 2)], "errors", SHIPPED, T0 + 60)
    assert (outlook.points, outlook.rules.threshold, outlook.more) == (7, 10, 3)
    assert (outlook.offence, outlook.length, outlook.until) == (2, 4 * HOUR, None)
    assert outlook.reasons == {"unknown_recipient": 7}
    assert not outlook.outweighed


def test_a_stricter_policy_lists_at_the_next_offence_and_not_without_one() -> None:
    stricter = Version(2, T0 + 100, parse("[categories.errors]\nthreshold = 5", "stricter"))
    outlook = foresee(burst(0, 7), (), "errors", Rulebook([*SHIPPED.versions, stricter]), T0 + 200)
    assert (outlook.points, outlook.rules.threshold, outlook.more, outlook.due) == (7, 5, 1, ())


def test_a_client_that_did_nothing_needs_the_whole_threshold() -> None:
    outlook = foresee((), (), "spam", SHIPPED, T0)
    assert (outlook.points, outlook.more, outlook.offence, outlook.remembered) == (0, 3, 1, ())


def test_while_it_is_listed_nothing_counts_until_the_end() -> None:
    outlook = foresee(burst(0, 10), [past(0, 2)], "errors", SHIPPED, T0 + HOUR)
    assert (outlook.until, outlook.at) == (T0 + 2 * HOUR, T0 + 2 * HOUR)
    assert (outlook.points, outlook.more, outlook.offence) == (0, 10, 2)
    assert (outlook.holding, outlook.since) == ("expired", None)  # as it is stored here


def test_what_came_before_the_last_listing_ended_is_not_in_the_window() -> None:
    ended = past(-2 * HOUR, 2, "released")
    outlook = foresee(burst(-30, 39), [ended], "errors", SHIPPED, T0 + 60)
    assert (outlook.until, outlook.holding, outlook.since, outlook.points) == (None, None, T0, 9)
    later = foresee((), [ended], "errors", SHIPPED, T0 + HOUR)
    assert (later.since, foresee((), (), "errors", SHIPPED, T0).since) == (None, None)


def test_of_several_listings_the_one_that_ends_last_holds() -> None:
    earlier = [past(0, 5, "shadow"), past(-HOUR, 3, "held")]
    outlook = foresee((), earlier, "errors", SHIPPED, T0 + HOUR)
    assert (outlook.until, outlook.holding) == (T0 + 5 * HOUR, "shadow")


def test_what_nobody_decided_yet_is_due() -> None:
    outlook = foresee(burst(0, 12), (), "errors", SHIPPED, T0 + 60)
    assert [(one.began, one.points) for one in outlook.due] == [(T0 + 9, 10)]
    assert outlook.until == T0 + 9 + 2 * HOUR


def test_clean_mail_makes_it_need_more_than_the_threshold() -> None:
    outlook = foresee(at_midnight(7), (), "errors", CLEAN, MIDNIGHT, [hour(-1, 401)])
    assert outlook.more == 14  # 401 is more than 20 x 20, and not more than 20 x 21
    assert outlook.outweighed


def test_clean_mail_may_outweigh_whatever_a_client_does() -> None:
    merciful = Rulebook([Version(1, 0, parse("[categories.errors]\nmax_clean = 0.0000001", "merciful"))])
    outlook = foresee((), (), "errors", merciful, MIDNIGHT, [hour(-1, 10)])
    assert outlook.more is None
    assert (outlook.points, outlook.length) == (0, 2 * HOUR)
    assert not calculate([Offence(MIDNIGHT, "timeout", MOST)], (), "errors", merciful, [hour(-1, 10)]).listings


def test_a_shadow_category_says_so() -> None:
    shadow = Rulebook([Version(1, 0, parse("[categories.errors]\nshadow = true", "shadow"))])
    assert foresee((), (), "errors", shadow, T0).state == "shadow"
