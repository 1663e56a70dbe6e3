"""Which instant a stamp without year or zone means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.stamp import DAY, DISORDER, Stamps
from tests.logs.samples import load_jsonl

_FIRST, _LAST = 789_000_000, 2_114_000_000  # 1995 to 2036

MOMENTS = st.integers(_FIRST, _LAST).map(lambda at: datetime.fromtimestamp(at, UTC))


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize("case", load_jsonl("stamps.jsonl"), ids=lambda case: case["why"])
def test_a_stamp_is_read_as_the_table_says(case: dict[str, Any]) -> None:
    stamps = Stamps(ZoneInfo(case["zone"]))
    found = stamps.from_rfc3164(case["stamp"], "00", _instant(case["reference"]))
    assert found == (_instant(case["at"]) if case["at"] else None)


@given(
    MOMENTS,
    st.lists(st.integers(-400 * DAY, 400 * DAY), min_size=1, max_size=4),
)
def test_what_was_read_before_changes_nothing(at: datetime, shifts: list[int]) -> None:
    used, text = Stamps(UTC), at.strftime("%b %d %H:%M")
    for shift in shifts:
        reference = int((at + timedelta(seconds=shift)).timestamp())
        found = used.from_rfc3164(text, "07", reference)
        assert found == Stamps(UTC).from_rfc3164(text, "07", reference)
        assert found is not None
        assert found - 7 <= reference + DAY


@given(MOMENTS, st.integers(0, 300 * DAY))
def test_a_stamp_of_the_last_months_is_read_back(at: datetime, age: int) -> None:
    found = Stamps(UTC).from_rfc3164(at.strftime("%b %d %H:%M"), at.strftime("%S"), int(at.timestamp()) + age)
    assert found == int(at.timestamp())


# The instant at which a local hour, or half of one, begins once more.
FALLS = (
    ("Europe/Paris", "2026-10-25T01:00:00Z", 3600),
    ("America/New_York", "2026-11-01T06:00:00Z", 3600),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z", 1800),
)


def _read(stamps: Stamps, at: int, zone: str, iso: bool = False) -> int | None:
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    if iso:
        return stamps.from_iso(f"{local:%Y-%m-%dT%H:%M}", f"{local:%S}", "")
    return stamps.from_rfc3164(f"{local:%b} {local.day:2d} {local:%H:%M}", f"{local:%S}", at)


@pytest.mark.parametrize(("zone", "fall", "shift"), FALLS)
@given(seed=st.integers(0))
def test_a_log_whose_clock_is_put_back_is_read_back_however_often_its_reader_begins_anew(
    zone: str, fall: str, shift: int, seed: int
) -> None:
    """Each line comes half a minute late at most, and there is no silence of more than four minutes."""
    dice = Random(seed)
    at = _instant(fall) - shift - dice.randrange(600)
    stamps = Stamps(ZoneInfo(zone))
    while at < _instant(fall) + shift + 600:
        at += dice.randrange(240)
        late = at - dice.randrange(DISORDER // 2)
        assert _read(stamps, late, zone, dice.random() < 0.5) == late
        if dice.random() < 0.1:
            stamps = Stamps(ZoneInfo(zone), stamps.reached)


@pytest.mark.parametrize(("zone", "fall", "shift"), FALLS)
def test_a_year_old_log_is_told_apart_from_a_new_one(zone: str, fall: str, shift: int) -> None:
    stamps = Stamps(ZoneInfo(zone))
    begin = _instant(fall)
    for _ in range(2):  # the new one first, and then once more, as an old one that was found late
        for at in (begin - 1, begin, begin + shift // 2, begin + shift - 1):
            assert _read(stamps, at, zone) == at
        stamps.reached = begin + 300 * DAY


@pytest.mark.parametrize(
    ("since", "until", "is_second"),
    [
        (-400 * DAY, 1800, False),  # read for the first time
        (1700, 1800, True),  # read to its end shortly before
        (-1800, 1800, False),  # in which both may be
        (1700, -1800, False),  # it was copied here later than it was written
        (90 * DAY, 1800, False),  # an old file
    ],
)
def test_a_fall_in_silence_is_known_by_when_the_log_was_last_read(since: int, until: int, is_second: bool) -> None:
    zone, fall, shift = FALLS[0]
    stamps = Stamps(ZoneInfo(zone))
    stamps.since, stamps.until = _instant(fall) + since, _instant(fall) + until
    at = _instant(fall) + 1790
    assert _read(stamps, at, zone) == (at if is_second else at - shift)


def test_an_hour_that_comes_twice_is_told_as_twice_and_no_other_is() -> None:
    zone, fall, shift = FALLS[0]
    for seconds, twice in ((-shift - 1, False), (-shift, True), (shift - 1, True), (shift, False), (-200 * DAY, False)):
        stamps = Stamps(ZoneInfo(zone))
        _read(stamps, _instant(fall) + seconds, zone)
        assert stamps.twice is twice
