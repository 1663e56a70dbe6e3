"""One offence counts once, however many lines tell it and wherever the log is cut."""

from __future__ import annotations

import json
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.fact import Fact, Kind
from repzone.logs.join import LIMIT, MOST, OwnZones, State, join
from repzone.logs.reader import Reader
from repzone.model import Event
from tests.logs.samples import OWN, Wanted, load_sessions, new_reader, read_all

SESSIONS = load_sessions()


@pytest.mark.parametrize(("title", "lines", "wanted"), SESSIONS, ids=[title for title, _, _ in SESSIONS])
def test_a_session_gives_what_the_table_says(title: str, lines: list[str], wanted: Wanted) -> None:
    assert read_all(new_reader(), lines) == wanted


@pytest.mark.parametrize(("title", "lines", "wanted"), SESSIONS, ids=[title for title, _, _ in SESSIONS])
def test_a_log_may_be_cut_between_any_two_lines(title: str, lines: list[str], wanted: Wanted) -> None:
    found: Wanted = []
    dumped: str = json.dumps(None)
    for number, line in enumerate(lines, 1):
        reader = Reader(UTC, OWN, json.loads(dumped))
        found += read_all(reader, [line], number)
        dumped = json.dumps(reader.dump())
    assert found == wanted


@given(st.data())
def test_sessions_that_are_told_at_once_do_not_change_each_other(data: st.DataObject) -> None:
    """Interleave two sessions of different hosts, cut once, and find what each gives alone."""
    chosen = [data.draw(st.sampled_from(SESSIONS)) for _ in range(2)]
    waiting = [[line.replace(" mx1 ", f" mx{host} ") for line in chosen[host][1]] for host in (0, 1)]
    mixed: list[tuple[int, str]] = []
    while waiting[0] or waiting[1]:
        host = data.draw(st.sampled_from([host for host in (0, 1) if waiting[host]]))
        mixed.append((host, waiting[host].pop(0)))
    cut = data.draw(st.integers(0, len(mixed)))
    reader, seen, found = new_reader(), [0, 0], [Wanted(), Wanted()]
    for place, (host, line) in enumerate(mixed):
        if place == cut:
            reader = Reader(UTC, OWN, json.loads(json.dumps(reader.dump())))
        seen[host] += 1
        found[host] += read_all(reader, [line], seen[host])
    assert found == [chosen[0][2], chosen[1][2]]


def _fact(number: int, kind: Kind = Kind.CONNECT) -> Fact:
    return Fact(kind, "192.0.2.7", "postfix/smtpd", 0, session=f"mx1 {number}", queue=f"mx1 Q{number}")


def test_the_state_is_bounded_and_forgets_the_oldest() -> None:
    state = State()
    for number in range(LIMIT + 10):
        join(state, _fact(number), OwnZones())
        join(state, _fact(number, Kind.QUEUED), OwnZones())
    assert len(state.sessions) == len(state.messages) == LIMIT
    assert "mx1 9" not in state.sessions
    assert "mx1 10" in state.sessions
    assert len(json.dumps(state.dump())) < 1_000_000


def test_a_session_that_ended_is_forgotten() -> None:
    state = State()
    join(state, _fact(1), OwnZones())
    join(state, _fact(1, Kind.DISCONNECT), OwnZones())
    assert not state.sessions


def test_a_count_is_at_most_ten_thousand() -> None:
    fact = Fact(Kind.OFFENCE, "192.0.2.7", "postfix/smtpd", 0, "unknown_command", 123_456)
    (event,) = join(State(), fact, OwnZones())
    assert isinstance(event, Event)
    assert event.count == MOST


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("blocked using bl.example.net", True),
        ("blocked using BL.Example.Net.; text", True),
        ("blocked using spam.bl.example.net; text", True),
        ("blocked using bl.example.net=127.0.0.4", True),
        ("blocked using wl.example.net", True),
        ("blocked using xbl.example.net", False),
        ("blocked using bl.example.net.evil.example", False),
        ("blocked using zen.public.example; https://postmaster.example.net/?ip=192.0.2.7", True),
        ("blocked using ", False),
        ("see https://postmaster.example.net/?ip=192.0.2.7", True),
        ("see https://postmaster.example.net/", False),
        ("", False),
    ],
)
def test_a_refusal_is_ours_by_zone_or_url(reply: str, wanted: bool) -> None:
    assert OWN.names(reply) is wanted


def test_a_url_that_is_all_placeholder_matches_nothing() -> None:
    assert not OwnZones((), ("{client}", "")).names("anything")
