"""Failed logins that several lines tell count once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.attempts import Attempts

TELLERS = ("", "", "sql", "pam_unix")
LINES = st.lists(st.tuples(st.sampled_from(TELLERS), st.integers(1, 5)), max_size=12)


@given(LINES)
def test_as_many_count_as_the_services_told_or_one_database_alone(lines: list[tuple[str, int]]) -> None:
    attempts = Attempts()
    told = sum(attempts.add(database, count, 1_000) for database, count in lines)
    assert told == max(sum(count for name, count in lines if name == teller) for teller in set(TELLERS))


@given(st.lists(st.tuples(st.sampled_from(TELLERS), st.integers(1, 5), st.integers(0, 1_000)), max_size=12))
def test_no_line_takes_back_what_was_counted_or_adds_more_than_it_tells(lines: list[tuple[str, int, int]]) -> None:
    attempts = Attempts()
    assert all(0 <= attempts.add(database, count, at) <= count for database, count, at in lines)


@pytest.mark.parametrize(
    ("first", "second", "later", "wanted"),
    [
        ("sql", "", 200, 0),
        ("sql", "", 201, 1),
        ("sql", "pam_unix", 5, 0),
        ("sql", "pam_unix", 6, 1),
        ("sql", "sql", 0, 1),
        ("", "", 0, 1),
        ("", "sql", 5, 0),
    ],
)
def test_a_line_tells_of_the_same_login_for_a_while(first: str, second: str, later: int, wanted: int) -> None:
    attempts = Attempts()
    assert attempts.add(first, 1, 1_000) == 1
    assert attempts.add(second, 1, 1_000 + later) == wanted
