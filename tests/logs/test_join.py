"""One offence counts once, however many lines tell it and wherever the log is cut."""

from __future__ import annotations

import json
import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.fact import Fact, Kind
from repzone.logs.join import MOST, OwnZones, join
from repzone.logs.reader import Reader
from repzone.logs.state import LIMIT, State
from repzone.model import Event
from tests.logs.samples import OWN, Wanted, load_sessions, new_reader, put_header, read_all, read_whole

pytestmark = pytest.mark.usefixtures("way")

SESSIONS = load_sessions()
WHOLE = load_sessions("whole_sessions*.txt")


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


@pytest.mark.parametrize(("title", "lines", "wanted"), WHOLE, ids=[title for title, _, _ in WHOLE])
def test_traffic_and_waits_are_told_too_wherever_the_log_is_cut(title: str, lines: list[str], wanted: Wanted) -> None:
    assert read_whole(new_reader(), lines) == wanted
    found: Wanted = []
    dumped: str = json.dumps(None)
    for number, line in enumerate(lines, 1):
        reader = Reader(UTC, OWN, json.loads(dumped))
        found += read_whole(reader, [line], number)
        dumped = json.dumps(reader.dump())
    assert found == wanted


@given(st.data())
def test_sessions_that_are_told_at_once_do_not_change_each_other(data: st.DataObject) -> None:
    """Interleave two sessions of different hosts, cut once, and find what each gives alone."""
    chosen = [data.draw(st.sampled_from(SESSIONS)) for _ in range(2)]
    waiting = [_at(host, chosen[host][1]) for host in (0, 1)]
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


def _at(host: int, lines: list[str]) -> list[str]:
    """Put a session on a host; Message-IDs are the world's, so that those change too."""
    return [re.sub(r"<(\S*@\S*?>,? ?)", rf"<{host}\1", line.replace(" mx1 ", f" mx{host} ")) for line in lines]


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


def _judge(state: State, at: int = 5, **how: object) -> list[str]:
    fact = Fact(Kind.OFFENCE, "", "spamd", at, "spam_detected", verdict=True, **how)  # type: ignore[arg-type]
    return [found.client.to_text() for found in join(state, fact, OwnZones()) if isinstance(found, Event)]


def _take(state: State, client: str, queue: str, mid: str, login: bool = False, at: int = 0) -> list[str]:
    fact = Fact(Kind.QUEUED, client, "smtpd", at, queue=queue, mid=mid, login=login)
    return [found.client.to_text() for found in join(state, fact, OwnZones()) if isinstance(found, Event)]


def test_a_verdict_by_message_id_is_its_client_s_and_counts_once() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example")
    assert _judge(state, mid="1@B.example") == ["192.0.2.7"]
    assert _judge(state, mid="1@b.example") == []
    assert _judge(state, queue="mx1 A") == []


def test_a_message_id_that_two_clients_used_names_neither() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example")
    _take(state, "192.0.2.8", "mx1 B", "1@b.example")
    assert _judge(state, mid="1@b.example") == []


@pytest.mark.parametrize(
    "text", ["(c) <1@b.example>", "x <1@b.example>", "1@b.example", " <1@b.example> <2@b.example>"]
)
def test_a_message_id_is_not_hidden_by_what_stands_around_it(text: str) -> None:
    reader = new_reader()
    for client, queue, mid in (("192.0.2.7", "A1B2C3", "<1@b.example>"), ("192.0.2.8", "D4E5F6", text)):
        lines = [put_header("smtpd[1]", f"{queue}: client=x[{client}]")]
        read_all(reader, [*lines, put_header("cleanup[1]", f"{queue}: message-id={mid}")])
    assert read_all(reader, [put_header("spamd[1]", SPAMD)]) == []


SPAMD = (
    "spamd: result: Y 11 - BAYES_99 scantime=1.2,size=6910,user=sa,uid=499,required_score=5.0,rhost=localhost,"
    "raddr=127.0.0.1,rport=57429,mid=<1@b.example>,autolearn=no"
)


def test_a_verdict_of_spamd_is_joined_by_message_id() -> None:
    lines = [
        put_header("smtpd[1]", "A1B2C3: client=x[192.0.2.7]"),
        put_header("cleanup[1]", "A1B2C3: message-id=<1@b.example>"),
        put_header("spamd[1]", SPAMD),
    ]
    assert read_all(new_reader(), lines) == ["3 spam_detected 192.0.2.7"]


def test_a_message_id_of_a_user_of_ours_names_nobody() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example", login=True)
    assert _judge(state, mid="1@b.example") == []


def test_an_offence_waits_for_the_line_that_names_its_client() -> None:
    state = State()
    assert _judge(state, mid="1@b.example", later=True) == []
    assert _judge(state, queue="mx1 B", later=True) == []
    state = State.load(json.loads(json.dumps(state.dump())))
    assert _take(state, "192.0.2.7", "mx1 A", "1@b.example") == ["192.0.2.7"]
    assert _take(state, "192.0.2.8", "mx1 B", "") == ["192.0.2.8"]


def test_what_waits_for_a_user_of_ours_is_no_offence() -> None:
    state = State()
    _judge(state, mid="1@b.example", later=True)
    assert _take(state, "192.0.2.7", "mx1 A", "1@b.example", login=True) == []


def test_an_offence_does_not_wait_for_another_message_of_the_same_queue_id() -> None:
    state = State()
    _judge(state, queue="mx1 A", later=True)
    assert _take(state, "192.0.2.7", "mx1 A", "", at=3_700) == []


def test_a_removed_message_is_known_for_a_minute() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "")
    join(state, Fact(Kind.REMOVED, "", "qmgr", 10, queue="mx1 A"), OwnZones())
    join(state, Fact(Kind.REMOVED, "", "qmgr", 69, queue="mx1 B"), OwnZones())
    assert _judge(state, queue="mx1 A") == ["192.0.2.7"]
    join(state, Fact(Kind.REMOVED, "", "qmgr", 70, queue="mx1 B"), OwnZones())
    assert _judge(state, queue="mx1 A") == []


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


@pytest.mark.parametrize(
    "line",
    [
        put_header("postfix/pickup[9]", "A1B2C3: uid=33 from=<www-data>"),
        put_header("smtpd[1]", "A1B2C3: client=unknown[unknown]"),
    ],
)
def test_a_queue_id_that_names_another_message_now_names_the_old_client_no_more(line: str) -> None:
    before = [
        put_header("smtpd[1]", "A1B2C3: client=x[192.0.2.7]"),
        put_header("cleanup[1]", "A1B2C3: message-id=<1@b.example>"),
    ]
    for lines in (before, [*before, line]):
        found = read_all(new_reader(), [*lines, put_header("spamd[1]", SPAMD)])
        assert found == ([f"{len(lines) + 1} spam_detected 192.0.2.7"] if line not in lines else [])


def test_a_message_id_names_its_client_only_while_the_message_is_here() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example")
    join(state, Fact(Kind.REMOVED, "", "qmgr", 10, queue="mx1 A"), OwnZones())
    assert _judge(state, at=69, mid="1@b.example") == ["192.0.2.7"]
    assert _judge(state, at=70, mid="1@b.example") == []
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example")
    assert _judge(state, at=3_600, mid="1@b.example") == []


def test_a_verdict_of_no_spam_keeps_the_next_one_from_the_same_message() -> None:
    state = State()
    _take(state, "192.0.2.7", "mx1 A", "1@b.example")
    join(state, Fact(Kind.OFFENCE, "", "spamd", 1, mid="1@b.example", verdict=True), OwnZones())
    assert _judge(state, mid="1@b.example") == []


def test_a_verdict_by_message_id_does_not_wait_for_long() -> None:
    state = State()
    _judge(state, at=0, mid="1@b.example", later=True)
    assert _take(state, "192.0.2.7", "mx1 A", "1@b.example", at=60) == []


def test_what_is_removed_is_forgotten_though_a_stamp_was_ahead() -> None:
    state = State()
    for number, at in enumerate((9_999, *range(100, 3_000, 10))):
        _take(state, "192.0.2.7", f"mx1 {number}", "", at=at)
        join(state, Fact(Kind.REMOVED, "", "qmgr", at, queue=f"mx1 {number}"), OwnZones())
    assert len(state.gone) < 10
    assert len(state.messages) < 10


def test_what_waits_for_its_client_is_bounded() -> None:
    state = State()
    for number in range(30_000):
        queue = f"mx1 {number % 3_000}"
        fact = Fact(Kind.OFFENCE, "", "sendmail", 0, "unknown_recipient", queue=queue, detail=str(number), later=True)
        join(state, fact, OwnZones())
    assert sum(map(len, state.owed.values())) <= 10_000


def test_a_url_without_a_host_of_its_own_makes_no_hit() -> None:
    assert not OwnZones((), ("https://{client}.example.net/",)).names("see https://elsewhere.example/")
