"""Which instant a stamp without year or zone means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.stamp import DAY, Stamps
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
