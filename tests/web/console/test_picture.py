"""A client's picture: what is on it, and that it says so."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from repzone.jobs import calculate
from repzone.model import Client, Event, Exemption
from repzone.store.engine import Engine
from repzone.web.console.chart import draw_lines, ticks
from repzone.web.console.history import MOST, History, build
from repzone.web.console.picture import LEFT, LETTER, RIGHT, TOP, draw
from repzone.web.console.told import Told, tell
from tests.store.acts import add
from tests.store.samples import DAY, HOUR, NOW, add_exemptions, add_listings, add_policy, execute
from tests.web.console.stage import listing

C = Client.from_text
CLIENT = C("192.0.2.1")


def told(engine: Engine) -> Told:
    with engine.connect() as connection:
        return tell(connection, CLIENT, NOW)


def history(engine: Engine) -> History:
    return build(told(engine))


def spams(*instants: int) -> list[Event]:
    return [Event(at, CLIENT, "spam_rejected") for at in instants]


def parse(engine: Engine) -> ET.Element:
    return ET.fromstring(str(draw(history(engine), "192.0.2.1")))  # noqa: S314 - our own


def classes(root: ET.Element) -> list[str]:
    return [one.get("class", "") for one in root.iter()]


@pytest.fixture
def ready(engine: Engine) -> Engine:
    add_policy(engine)
    return engine


def test_points_rise_with_events_and_fall_when_the_window_has_passed(ready: Engine) -> None:
    add(ready, *spams(NOW - 8 * HOUR, NOW - 7 * HOUR))
    (lane,) = history(ready).lanes
    assert lane.steps == (*((NOW - 8 * HOUR, 1), (NOW - 7 * HOUR, 2), (NOW - 2 * HOUR, 1), (NOW - HOUR, 0)),)
    assert (lane.threshold, lane.window, lane.bands, lane.ghost) == (3, 6 * HOUR, (), None)


def test_points_that_listed_it_reach_the_threshold_where_the_band_begins(ready: Engine) -> None:
    add(ready, *spams(NOW - 2000, NOW - 1500, NOW - 1000, NOW - 500))
    calculate.run(ready, lambda: NOW)
    (lane,) = history(ready).lanes
    (band,) = lane.bands
    assert (band.began, band.expires - band.began, band.state) == (NOW - 1000, 3 * HOUR, "active")
    assert max(points for _, points in lane.steps) == 3
    assert [tick.void for tick in lane.ticks] == [0, 0, 0, 1]
    assert lane.ghost == (band.expires, band.expires + 6 * HOUR)


def test_what_never_counted_rises_nowhere(ready: Engine) -> None:
    add(ready, Event(NOW - 60, CLIENT, "greylisted"), Event(NOW - 50, CLIENT, "spam_tagged"))
    assert [lane.steps for lane in history(ready).lanes] == [(), ()]
    assert all(tick.points == 0 for lane in history(ready).lanes for tick in lane.ticks)


def test_late_and_exempt_events_are_drawn_and_count_for_nothing(ready: Engine) -> None:
    add(ready, *spams(NOW - 300, NOW - 200, NOW - 100))
    execute(ready, "UPDATE event SET late = true WHERE at = to_timestamp(:at)", {"at": NOW - 300})
    add_exemptions(ready, Exemption(C("192.0.2.0/24"), NOW - 250, NOW - 150))
    (lane,) = history(ready).lanes
    assert [(tick.at, tick.points) for tick in lane.ticks] == [(NOW - 300, 0), (NOW - 200, 0), (NOW - 100, 1)]
    assert lane.steps[0] == (NOW - 100, 1)


def test_more_events_than_can_be_told_apart_are_gathered_and_none_is_lost(ready: Engine) -> None:
    add(ready, *(Event(NOW - 9 * MOST + 9 * n, CLIENT, "greylisted") for n in range(MOST + 50)))
    (lane,) = history(ready).lanes
    assert lane.binned
    assert len(lane.ticks) <= MOST
    assert sum(tick.count for tick in lane.ticks) == MOST + 50


def test_all_of_very_many_events_are_in_the_picture_and_none_counts_that_came_while_it_was_listed(
    ready: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repzone.web.console.told.MOST", 30)
    monkeypatch.setattr("repzone.web.console.told.PARTS", 5)
    add(ready, *spams(*range(NOW - 5 * HOUR, NOW - HOUR, 240)))  # 60, of which the third lists it for three hours
    calculate.run(ready, lambda: NOW)
    with ready.connect() as connection:
        (few,) = build(tell(connection, CLIENT, NOW, 30)).lanes
        (every,) = build(tell(connection, CLIENT, NOW, 100)).lanes
    assert (few.binned, every.binned) == (True, False)
    assert sum(tick.count for tick in few.ticks) == sum(tick.count for tick in every.ticks) == 60
    assert few.steps[0][0] == every.steps[0][0]
    assert len(few.ticks) < len(every.ticks) // 3
    assert max(points for _, points in few.steps) == max(points for _, points in every.steps)
    assert sum(tick.void for tick in few.ticks) == sum(tick.void for tick in every.ticks)


def test_a_long_ban_leaves_room_for_what_led_to_it(ready: Engine) -> None:
    add(ready, *spams(NOW - 600))
    add_listings(ready, listing("192.0.2.1", "manual", began=NOW - 60, expires=NOW + 365 * DAY))
    known = history(ready)
    assert (known.end - known.now) < 6 * (known.now - known.begin)
    assert "365 d →" in str(draw(known, "192.0.2.1"))


def test_every_state_looks_like_itself_and_says_its_name(ready: Engine) -> None:
    states = ("active", "held", "reversed", "released", "dropped", "shadow", "expired")
    add_listings(
        ready,
        *(
            listing("192.0.2.1", state=state, began=NOW - n * HOUR, expires=NOW - n * HOUR + 1800, offence=n + 1)
            for n, state in enumerate(states)
        ),
    )
    root = parse(ready)
    assert {f"band s-{state}" for state in states if state != "active"} <= set(classes(root))
    titles = " ".join(one.text or "" for one in root.iter() if one.tag.endswith("title"))
    assert all(state in titles for state in states)
    assert "1st · 30 min" in titles


def labels(root: ET.Element) -> list[tuple[float, float]]:
    """Give from where to where the labels of listings reach, as the picture itself reckons."""
    found = [one for one in root.iter() if one.get("class") == "k" and one.text and " · " in one.text]
    return [(float(one.get("x", "")), float(one.get("x", "")) + LETTER * len(one.text or "")) for one in found]


@pytest.mark.parametrize(
    ("begins", "lasts", "side"),
    [
        ([600], 60, "left"),  # just ended: beyond it there is no room
        ([600], 2 * HOUR, "right"),  # wide enough to hold it
        ([3 * DAY, 600], 2 * HOUR, "left"),
        ([3 * DAY, 600], 2 * DAY, "right"),
    ],
)
def test_the_line_of_now_goes_through_no_label(ready: Engine, begins: list[int], lasts: int, side: str) -> None:
    add_listings(
        ready, *(listing("192.0.2.1", state="reversed", began=NOW - ago, expires=NOW - ago + lasts) for ago in begins)
    )
    root = parse(ready)
    now = next(float(one.get("x1", "")) for one in root.iter() if one.get("class") == "now")
    found = labels(root)
    assert len(found) == len(begins)
    for begin, end in found:
        assert end < now or now < begin
        assert begin >= LEFT
        assert end <= RIGHT
    last = max(found)
    assert (last[1] < now) == (side == "left"), (found, now)


def test_each_label_stands_at_its_listing_and_on_no_other(ready: Engine) -> None:
    begins = [NOW - 13 * DAY + n * 5 * HOUR for n in range(9)]
    add_listings(ready, *(listing("192.0.2.1", began=at, expires=at + 1800, state="expired") for at in begins))
    root = parse(ready)
    bands = [float(one.get("x", "")) for one in root.iter() if (one.get("class") or "").startswith("band")]
    texts = [one for one in root.iter() if one.get("class") == "k" and one.get("y") == str(TOP + 3)]
    spans = [(float(one.get("x", "")), LETTER * len(one.text or "")) for one in texts]
    assert [begin for begin, _ in spans] == bands
    assert all(begin + width <= after for (begin, width), (after, _) in pairwise(spans))


def test_the_picture_is_named_and_described_for_who_cannot_see_it(ready: Engine) -> None:
    add(ready, *spams(NOW - 600))
    root = parse(ready)
    assert root.get("role") == "img"
    named = {one.get("id"): one.text or "" for one in root.iter() if one.get("id")}
    assert root.get("aria-labelledby") == "tt td"
    assert "192.0.2.1" in named["tt"]
    assert "spam: 1 events" in named["td"]
    assert not [one for one in root.iter() if one.get("style")]


def test_the_memory_shows_every_listing_that_makes_the_next_one_longer(ready: Engine) -> None:
    begins = [NOW - days * DAY for days in (1, 30, 89, 91)]
    add_listings(ready, *(listing("192.0.2.1", began=at, expires=at + HOUR) for at in begins))
    assert [band.began for band in history(ready).strip] == begins[:3]


def test_everything_is_drawn_inside_the_picture(ready: Engine) -> None:
    add(ready, *spams(NOW - 13 * DAY, NOW - 60))
    add_listings(ready, listing("192.0.2.1", "manual", began=NOW - 400 * DAY, expires=NOW + 365 * DAY))
    for one in parse(ready).iter():
        for name in ("x", "x1", "x2"):
            assert 0 <= float(one.get(name, "0")) <= 1000
        assert float(one.get("x", "0")) + float(one.get("width", "0")) <= 1000


def test_the_page_has_the_same_as_a_table(ready: Engine) -> None:
    add(ready, *spams(NOW - 2000, NOW - 1500, NOW - 1000))
    calculate.run(ready, lambda: NOW)
    known = told(ready)
    assert len(known.dossier.events) == 3
    assert replace(known, now=NOW).since == NOW - 1000


def test_lines_say_in_words_what_they_show() -> None:
    root = ET.fromstring(str(draw_lines("A <b>", "C & d", [0, 60, 120], {"old": [0, 5, 5], "new": [1, 1, 0]})))  # noqa: S314
    assert root.get("aria-label") == "A <b>"
    assert [one.text for one in root if one.tag in ("title", "desc")] == ["A <b>", "C & d"]
    assert [one.get("class") for one in root if one.tag == "path"] == ["line line-old", "line line-new"]


@pytest.mark.parametrize("span", [60, 3600, 86400, 3 * 86400, 30 * 86400, 400 * 86400])
def test_an_axis_has_a_few_whole_hours_or_days(span: int) -> None:
    found = ticks(NOW, NOW + span)
    assert 0 < len(found) <= 9
    assert all(at % 60 == 0 for at in found)
