"""The calculator: a table of cases, and the laws that hold for every history."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import Client, Listing, State
from repzone.policy.calculator import Decision, Judgement, Offence, Spared, calculate
from repzone.policy.rules import Rulebook, Version, parse
from repzone.reasons import Category
from tests.policy.reference import Ban, bans

HOUR, DAY = 3600, 86400
T0 = 1_750_000_000
CLIENT = Client.from_text("192.0.2.1")
SHIPPED = Rulebook([Version(1, 0, parse("", "shipped"))])


def listed(
    offences: Sequence[Offence],
    earlier: Sequence[Listing] = (),
    category: Category = "errors",
    rulebook: Rulebook = SHIPPED,
) -> list[tuple[int, int, int]]:
    """Give (begin, hours, offence number) of each listing, the begin relative to T0."""
    decisions = calculate(offences, earlier, category, rulebook).listings
    return [(found.began - T0, (found.expires - found.began) // HOUR, found.offence) for found in decisions]


def burst(start: int, number: int = 10, reason: str = "unknown_recipient", step: int = 1) -> list[Offence]:
    return [Offence(T0 + start + step * n, reason) for n in range(number)]


def past(began: int, hours: int, state: State = "expired") -> Listing:
    return Listing(CLIENT, "errors", 1, T0 + began, T0 + began + hours * HOUR, state)


def test_nine_points_list_nobody_and_the_tenth_lists_at_its_own_second() -> None:
    assert listed(burst(0, 9)) == []
    assert listed(burst(0, 10)) == [(9, 2, 1)]


def test_points_are_weight_times_count() -> None:
    assert listed([Offence(T0, "pregreet"), Offence(T0 + 1, "pregreet")]) == [(1, 2, 1)]
    assert listed([Offence(T0, "relay_denied", 5)]) == [(0, 2, 1)]


def test_a_reason_of_weight_zero_never_lists() -> None:
    assert listed([Offence(T0 + n, "greylisted", 10_000) for n in range(100)]) == []


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    at_the_edge = [Offence(T0, "unknown_recipient", 9), Offence(T0 + HOUR, "unknown_recipient")]
    just_inside = [Offence(T0 + 1, "unknown_recipient", 9), Offence(T0 + HOUR, "unknown_recipient")]
    assert listed(at_the_edge) == []
    assert listed(just_inside) == [(HOUR, 2, 1)]


def test_a_listing_never_begins_at_a_second_without_weight() -> None:
    stricter = parse("[categories.errors]\nthreshold = 5", "later")
    rulebook = Rulebook([Version(1, 0, parse("", "first")), Version(2, T0 + 10, stricter)])
    offences = [Offence(T0, "unknown_recipient", 6), Offence(T0 + 10, "greylisted")]
    assert listed(offences, rulebook=rulebook) == []
    assert listed([*offences, Offence(T0 + 11, "unknown_recipient")], rulebook=rulebook) == [(11, 2, 1)]


def test_offences_inside_a_listing_count_for_nothing_and_are_its_evidence() -> None:
    decisions = calculate([*burst(0), *burst(60, 50)], (), "errors", SHIPPED).listings
    assert len(decisions) == 1
    assert decisions[0].evidence["unknown_recipient"].count == 60


def test_a_listing_ends_exclusively_so_that_its_last_second_counts_for_the_next() -> None:
    first = burst(0)
    end = 9 + 2 * HOUR
    assert listed([*first, Offence(T0 + end - 1, "unknown_recipient", 10)]) == [(9, 2, 1)]
    assert listed([*first, Offence(T0 + end, "unknown_recipient", 10)]) == [(9, 2, 1), (end, 4, 2)]


def test_each_ladder_is_the_pages_and_its_last_rung_repeats() -> None:
    ladders: dict[Category, tuple[str, int, list[int]]] = {
        "errors": ("unknown_recipient", 10, [2, 4, 8, 16, 24, 24, 24]),
        "spam": ("spam_rejected", 3, [3, 6, 12, 24, 24, 24, 24]),
        "virus": ("virus_found", 1, [24] * 7),
        "auth": ("auth_failed", 10, [2, 4, 8, 16, 24, 24, 24]),
    }
    for category, (reason, count, hours) in ladders.items():
        offences = [Offence(T0 + 2 * DAY * n, reason, count) for n in range(7)]
        assert [length for _, length, _ in listed(offences, category=category)] == hours


def test_the_memory_of_an_offence_reaches_back_to_its_begin_inclusively() -> None:
    memory = 90 * DAY
    assert listed([Offence(T0, "unknown_recipient", 10)], [past(-memory, 2)]) == [(0, 4, 2)]
    assert listed([Offence(T0, "unknown_recipient", 10)], [past(-memory - 1, 2)]) == [(0, 2, 1)]


def test_only_listings_that_stand_make_the_next_one_longer() -> None:
    for state, hours in {"expired": 4, "released": 4, "reversed": 2, "dropped": 2, "shadow": 2, "held": 4}.items():
        earlier = past(-DAY, 2, state)  # type: ignore[arg-type]
        assert listed(burst(0), [earlier]) == [(9, hours, hours // 2)], state


def test_old_offences_never_list_again_after_a_release() -> None:
    released = past(0, 1, "released")
    assert listed(burst(HOUR - 20, 15), [released]) == []
    assert listed(burst(HOUR, 10), [released]) == [(HOUR + 9, 4, 2)]


def test_an_offence_is_judged_by_the_policy_of_its_own_time() -> None:
    later = parse('[categories.errors]\nthreshold = 2\ndurations = ["1h"]', "later")
    rulebook = Rulebook([Version(1, 0, parse("", "first")), Version(2, T0 + 100, later)])
    assert listed([*burst(0, 5), *burst(100, 1)], rulebook=rulebook) == [(100, 1, 1)]
    assert listed(burst(90, 10), rulebook=rulebook) == [(99, 2, 1)]


def test_a_reversed_listing_made_the_next_longer_until_it_was_reversed() -> None:
    false = past(-DAY, 2, "reversed")
    for until, number in {T0 + 9: 2, T0 + 8: 1}.items():
        judgement = calculate(burst(0), [replace(false, counts_until=until)], "errors", SHIPPED)
        assert [found.offence for found in judgement.listings] == [number]


def test_a_client_that_becomes_exempt_while_it_is_listed_is_reversed_at_that_second() -> None:
    for lift, state, ends in ((T0 + 100, "reversed", 100), (T0 + 9, "active", 9 + 2 * HOUR), (T0 - 1, "active", 7209)):
        (found,) = calculate(burst(0), (), "errors", SHIPPED, lifted=[T0 - 99, lift]).listings
        assert (found.state, found.expires) == (state, T0 + ends)
    later = [*burst(0), *burst(HOUR)]
    judgement = calculate(later, (), "errors", SHIPPED, lifted=[T0 + 100])
    assert [(found.state, found.offence) for found in judgement.listings] == [("reversed", 1), ("active", 1)]


def test_the_second_at_which_a_listing_began_lists_no_second_time() -> None:
    released = Listing(CLIENT, "errors", 1, T0, T0, "released")
    assert listed([Offence(T0, "unknown_recipient", 10)], [released]) == []
    assert listed([Offence(T0 + 1, "unknown_recipient", 10)], [released]) == [(1, 4, 2)]


def test_a_policy_with_a_longer_window_looks_back_at_what_the_shorter_one_had_left() -> None:
    later = parse('[categories.errors]\nwindow = "6h"', "later")
    rulebook = Rulebook([Version(1, 0, parse("", "first")), Version(2, T0 + 3 * HOUR, later)])
    offences = [*burst(0, 5), *burst(2 * HOUR, 4), Offence(T0 + 3 * HOUR, "unknown_recipient")]
    assert listed(offences, rulebook=rulebook) == [(3 * HOUR, 2, 1)]


def test_a_shadow_category_decides_and_does_not_climb() -> None:
    rulebook = Rulebook([Version(1, 0, parse("[categories.errors]\nshadow = true", "shadow"))])
    decisions = calculate([*burst(0), *burst(DAY)], (), "errors", rulebook).listings
    assert [(found.state, found.offence) for found in decisions] == [("shadow", 1), ("shadow", 1)]


def test_the_shortest_and_the_longest_duration_clamp_the_ladder() -> None:
    clamped = Rulebook([Version(1, 0, parse('min_duration = "3h"\nmax_duration = "5h"', "clamped"))])
    offences = [Offence(T0 + DAY * n, "unknown_recipient", 10) for n in range(3)]
    assert [hours for _, hours, _ in listed(offences, rulebook=clamped)] == [3, 4, 5]


CLEAN = Rulebook([Version(1, 0, parse("[categories.errors]\nmax_clean = 20", "clean"))])
MIDNIGHT = T0 // DAY * DAY + DAY


def hour(hours: int, messages: int) -> tuple[int, int]:
    return MIDNIGHT + hours * HOUR, messages


def at_midnight(count: int = 10, later: int = 0) -> list[Offence]:
    return [Offence(MIDNIGHT + later, "unknown_recipient", count)]


def test_a_client_whose_clean_mail_outweighs_its_offences_is_spared_with_the_numbers() -> None:
    judgement = calculate(at_midnight(), (), "errors", CLEAN, [hour(-20, 150), hour(-1, 51)])
    assert judgement.listings == []
    assert judgement.spared == [Spared(MIDNIGHT, MIDNIGHT, 1, points=10, offences=10, clean=201)]
    assert calculate(at_midnight(), (), "errors", CLEAN, [hour(-20, 150), hour(-1, 50)]).spared == []


def test_only_whole_hours_within_a_day_before_the_offence_are_weighed() -> None:
    begun, ended, oldest, older = hour(0, 999), hour(-1, 999), hour(-24, 999), hour(-25, 999)
    late = at_midnight(later=HOUR - 1)
    assert len(calculate(late, (), "errors", CLEAN, [begun]).listings) == 1
    assert calculate(late, (), "errors", CLEAN, [ended]).listings == []
    assert calculate(at_midnight(), (), "errors", CLEAN, [oldest]).listings == []
    assert len(calculate(at_midnight(), (), "errors", CLEAN, [older]).listings) == 1


def test_being_spared_ends_nothing_so_that_more_offences_list_after_all() -> None:
    offences = [*at_midnight(), *at_midnight(later=60)]
    judgement = calculate(offences, (), "errors", CLEAN, [hour(-1, 201)])
    assert [found.began for found in judgement.listings] == [MIDNIGHT + 60]
    assert judgement.listings[0].points == 20
    assert [(episode.began, episode.last) for episode in judgement.spared] == [(MIDNIGHT, MIDNIGHT)]


def test_a_second_at_which_a_client_was_spared_is_not_judged_again() -> None:
    spared = Spared(MIDNIGHT, MIDNIGHT + 5, 1, 10, 10, 201)
    assert calculate(at_midnight(later=5), (), "errors", CLEAN, (), [spared]) == Judgement([], [])
    assert len(calculate(at_midnight(later=6), (), "errors", CLEAN, (), [spared]).listings) == 1


def test_a_second_of_which_more_offences_came_is_judged_again() -> None:
    first, more = at_midnight(), [*at_midnight(), *at_midnight(1)]
    episodes = calculate(first, (), "errors", CLEAN, [hour(-1, 201)]).spared
    (found,) = calculate(more, (), "errors", CLEAN, [hour(-1, 201)], episodes).listings
    assert (found.began, found.points) == (MIDNIGHT, 11)


def test_clean_mail_that_became_known_after_the_decision_spares_nobody() -> None:
    clean = [hour(-1, 201)]
    decided = calculate(at_midnight(), (), "errors", CLEAN, clean, listed={MIDNIGHT: 10})
    assert [found.began for found in decided.listings] == [MIDNIGHT]
    fewer = calculate(at_midnight(), (), "errors", CLEAN, clean, listed={MIDNIGHT: 11})
    assert fewer.listings == []


POLICIES = (
    "",
    "[categories.errors]\nmax_clean = 3\nthreshold = 4",
    '[categories.errors]\nmax_clean = 0.5\nwindow = "4h"',
    'min_duration = "30m"\n[categories.errors]\nthreshold = 4\nwindow = "20m"\ndurations = ["10m", "40m"]',
    'offence_memory = "2h"\n[categories.errors]\nwindow = "3h"\nthreshold = 6\n[weights]\ngreylisted = 3',
    "[categories.errors]\nshadow = true\nthreshold = 3",
)
SPAN = 12 * HOUR


@st.composite
def rulebooks(draw: st.DrawFn) -> Rulebook:
    """Draw one to three policies with the instants from which they are in force."""
    texts = draw(st.lists(st.sampled_from(POLICIES), min_size=1, max_size=3))
    starts = sorted(draw(st.lists(st.integers(0, SPAN), min_size=len(texts), max_size=len(texts))))
    return Rulebook(
        [
            Version(n, T0 + start, parse(text, "drawn"))
            for n, (start, text) in enumerate(zip(starts, texts, strict=True))
        ]
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Offence]:
    """Draw offences of the errors category in order of time, many within few seconds."""
    seconds = draw(st.lists(st.integers(0, SPAN) | st.integers(0, 600), max_size=40))
    reasons = st.sampled_from(["unknown_recipient", "pregreet", "relay_denied", "greylisted", "timeout"])
    return [Offence(T0 + at, draw(reasons), draw(st.integers(1, 6))) for at in sorted(seconds)]


@st.composite
def pasts(draw: st.DrawFn) -> list[Listing]:
    """Draw earlier listings, none of which overlaps another."""
    states: list[State] = ["expired", "active", "released", "reversed", "dropped", "shadow", "held"]
    made, free = [], T0 - 3 * HOUR
    for _ in range(draw(st.integers(0, 3))):
        began = free + draw(st.integers(0, 2 * HOUR))
        free = began + draw(st.integers(0, 2 * HOUR))
        made.append(Listing(CLIENT, "errors", 1, began, free, draw(st.sampled_from(states))))
    return made


@st.composite
def cleans(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Draw accepted messages of some hours, a day before the history to its end."""
    hours = draw(st.lists(st.integers(-24, 12), unique=True, max_size=12))
    return [(T0 // HOUR * HOUR + hour * HOUR, draw(st.integers(1, 60))) for hour in sorted(hours)]


def as_bans(decisions: Sequence[Decision]) -> list[Ban]:
    return [
        Ban(d.began, d.expires, d.offence, d.state, {reason: seen.count for reason, seen in d.evidence.items()})
        for d in decisions
    ]


@given(histories(), pasts(), rulebooks(), cleans(), st.data())
@settings(max_examples=300)
def test_the_calculator_decides_what_the_slow_reference_decides(
    offences: list[Offence],
    earlier: list[Listing],
    rulebook: Rulebook,
    clean: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    instants = st.integers(T0 - HOUR, T0 + SPAN)
    lifted = data.draw(st.lists(instants, max_size=3))
    untils = {True: instants, False: st.none()}
    earlier = [replace(one, counts_until=data.draw(untils[one.state in ("reversed", "dropped")])) for one in earlier]
    decisions = calculate(offences, earlier, "errors", rulebook, clean, lifted=lifted).listings
    assert as_bans(decisions) == bans(offences, earlier, "errors", rulebook, clean, lifted)


@given(histories(), rulebooks(), cleans(), st.data())
@settings(max_examples=300)
def test_a_history_gives_the_same_listings_however_it_is_chopped(
    offences: list[Offence], rulebook: Rulebook, clean: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = calculate(offences, (), "errors", rulebook, clean)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(offences)), max_size=5)))
    longest = rulebook.reach("errors")
    made: list[Listing] = []
    spared: dict[int, Spared] = {}
    for start, end in zip([0, *cuts], [*cuts, len(offences)], strict=True):
        if start == end:
            continue
        since = offences[start].at - longest
        seen = [offence for offence in offences[:end] if offence.at > since]
        known = [replace(episode) for episode in spared.values() if episode.last >= since]
        judgement = calculate(seen, made, "errors", rulebook, clean, known)
        made += [
            Listing(CLIENT, "errors", found.offence, found.began, found.expires, found.state)
            for found in judgement.listings
        ]
        spared |= {episode.began: episode for episode in judgement.spared}
    assert [(m.began, m.expires, m.offence, m.state) for m in made] == [
        (d.began, d.expires, d.offence, d.state) for d in whole.listings
    ]
    if all(offences[cut - 1].at < offences[cut].at for cut in cuts if 0 < cut < len(offences)):
        assert list(spared.values()) == whole.spared


@given(histories(), rulebooks())
@settings(max_examples=100)
def test_listings_of_a_category_never_overlap(offences: list[Offence], rulebook: Rulebook) -> None:
    decisions = calculate(offences, (), "errors", rulebook).listings
    for before, after in pairwise(decisions):
        assert before.expires <= after.began
