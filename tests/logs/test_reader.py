"""A log's bytes in, events out, and what could not be read is counted."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.reader import LONGEST, Reader
from repzone.model import Client, Event, Hit, Traffic, Wait
from tests.logs.samples import OWN, REFERENCE, load_sessions, new_reader, put_header

pytestmark = pytest.mark.usefixtures("way")

LOST = put_header("smtpd[1]", "lost connection after RCPT from x[192.0.2.7]").encode()


def test_a_line_becomes_an_event_with_its_number_and_instant() -> None:
    wanted = Event(
        at=1795424400,
        client=Client.from_text("192.0.2.7"),
        reason="dropped_connection",
        component="postfix/smtpd",
        detail="lost connection after RCPT",
        line=42,
    )
    assert new_reader().read(LOST + b"\r\n", 42, REFERENCE) == (wanted,)


@pytest.mark.parametrize("line", [LOST + b"\0", LOST + b"\xff", LOST + b" " * LONGEST])
def test_a_line_that_is_no_text_is_counted_and_skipped(line: bytes) -> None:
    reader = new_reader()
    assert reader.read(line, 1, REFERENCE) == ()
    assert (reader.lines, reader.skipped, reader.unmatched) == (1, 1, 0)
    assert reader.read(LOST, 2, REFERENCE) != ()


def test_a_line_of_no_known_form_is_counted() -> None:
    reader = new_reader()
    assert reader.read(b"hello", 1, REFERENCE) == ()
    assert (reader.lines, reader.skipped, reader.unmatched) == (1, 0, 1)


@pytest.mark.parametrize("program", ["smtpd[1]", "amavis[1]"])
@given(message=st.text(max_size=300))
def test_no_message_makes_the_reader_fail(program: str, message: str) -> None:
    reader = new_reader()
    reader.read(put_header(program, message).encode("utf-8", "replace"), 1, REFERENCE)
    json.dumps(reader.dump())


SENT = "c2VjcmV0LXBhc3N3b3Jk"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("smtpd[1]", f"warning: x[192.0.2.7]: SASL PLAIN authentication failed: {SENT}, sasl_username={SENT}"),
        ("smtpd[1]", f"improper command pipelining after AUTH from x[192.0.2.7]: AUTH PLAIN {SENT}"),
        ("smtpd[1]", f"warning: non-SMTP command from x[192.0.2.7]: {SENT}"),
        ("smtpd[1]", f"warning: Illegal address syntax from x[192.0.2.7] in MAIL command: {SENT}"),
        (
            "smtpd[1]",
            f"NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <{SENT}@a>: Recipient address rejected: No",
        ),
        (
            "smtpd[1]",
            f"NOQUEUE: reject: EHLO from x[192.0.2.7]: 504 5.5.2 <{SENT}>: Helo command rejected: No; proto=A",
        ),
        ("cleanup[1]", f"3F2A1B0C9D: reject: header {SENT} from x[192.0.2.7]; from=<a> to=<b>: No"),
        ("postscreen[1]", f"PREGREET 14 after 0.08 from [192.0.2.7]:59415: AUTH PLAIN {SENT}"),
        ("postscreen[1]", f"COMMAND PIPELINING from [192.0.2.7]:59415 after AUTH: {SENT}"),
        ("amavis[1]", f"(1-1) Blocked BANNED ({SENT}), [192.0.2.7] <{SENT}@a> -> <b@a>"),
    ],
)
def test_what_the_client_sent_never_reaches_the_evidence(program: str, message: str) -> None:
    (event,) = new_reader().read(put_header(program, message).encode(), 1, REFERENCE)
    assert isinstance(event, Event)
    assert event.detail
    assert SENT not in event.detail


@pytest.mark.parametrize(
    ("program", "head", "piece"),
    [
        ("smtpd[1]", "NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <", "<"),
        ("smtpd[1]", "NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <a>: ", ">: "),
        (
            "smtpd[1]",
            "NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 Service unavailable; Client host ",
            "[a] blocked using ",
        ),
        ("smtpd[1]", "NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 <a>: Recipient address rejected: ", "a "),
        ("smtpd[1]", "NOQUEUE: reject: RCPT from x[192.0.2.7]: 550 5.1.1 No; from=<", " proto=A sasl_username=<"),
        ("smtpd[1]", "reject: ETRN ", "... from x[192.0.2.7]"),
        ("smtpd[1]", "warning: hostname x does not resolve to address ", "1:"),
        ("smtpd[1]", "disconnect from x[192.0.2.7]", " auth=0/1"),
        ("smtpd[1]", "", "a"),
        ("cleanup[1]", "3F2A1B0C9D: reject: header ", " from x[192.0.2.7]; from=<"),
        ("cleanup[1]", "3F2A1B0C9D: reject: header ", " from x"),
        ("postscreen[1]", "PREGREET ", "1"),
        ("amavis[1]", "(1-1) Blocked BANNED ", ", a"),
        ("amavis[1]", "(1-1) Blocked BANNED ", " {a"),
        ("amavis[1]", "(1-1) Blocked BANNED ", ", [192.0.2.7] [a]"),
        ("amavis[1]", "(1-1) Blocked SPAM, [192.0.2.7] <", ", Queue-ID: 3F2A1B0C9D"),
        ("amavis[1]", "", "["),
        ("amavis[1]", "message repeated 3 times: [", "]"),
    ],
)
def test_the_longest_lines_end(program: str, head: str, piece: str) -> None:
    """A pattern that tries again would need minutes, or for ever, for 64 KiB."""
    line = put_header(program, head + piece * (LONGEST // len(piece))).encode()[:LONGEST]
    reader = new_reader()
    with _bounded():
        reader.read(line, 1, REFERENCE)
        reader.read_block(line + b"\n", 2, REFERENCE)
    assert reader.skipped == 0


@pytest.mark.parametrize("piece", ["a", "a ", "<22>", "{", "[", '<22>1 2026-03-22T05:31:34Z a b - - [a "', "2", "Nov "])
def test_the_longest_headers_end(piece: str) -> None:
    reader = new_reader()
    with _bounded():
        reader.read((piece * LONGEST)[:LONGEST].encode(), 1, REFERENCE)
        reader.read_block((piece * LONGEST)[:LONGEST].encode() + b"\n", 2, REFERENCE)


@contextmanager
def _bounded() -> Iterator[None]:
    """Let what hangs fail: ten seconds of CPU time are a thousand times what a linear pattern needs."""

    def fail(signal: int, frame: object) -> None:
        raise TimeoutError("still at it after ten seconds")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _sum(found: Iterable[Event | Hit | Traffic | Wait]) -> tuple[list[object], Counter[tuple[Client, int, str]]]:
    """Part what was found: all but traffic in its order, traffic added up a client and hour."""
    traffic: Counter[tuple[Client, int, str]] = Counter()
    others: list[object] = []
    for what in found:
        if isinstance(what, Traffic):
            hour = what.at // 3600
            traffic[what.client, hour, "connections"] += what.connections
            traffic[what.client, hour, "messages"] += what.messages
        else:
            others.append(what)
    return others, +traffic


@pytest.mark.parametrize("before", [0, 1, LONGEST // 2 - 40, LONGEST // 2, LONGEST - 1])
@pytest.mark.parametrize(("length", "skipped"), [(LONGEST, 0), (LONGEST + 1, 1), (LONGEST * 2, 1)])
def test_a_line_that_is_too_long_is_skipped_wherever_it_lies_in_a_block(before: int, length: int, skipped: int) -> None:
    reader = new_reader()
    line = put_header("smtpd[1]", "warning: non-SMTP command from x[192.0.2.7]: ").encode()
    block = b"x" * before + b"\n" + line.ljust(length, b"x") + b"\n" + LOST + b"\n"
    found = reader.read_block(block, 1, REFERENCE)
    assert (reader.lines, reader.skipped) == (3, skipped)
    assert [event.line for event in found if isinstance(event, Event)] == [2, 3][skipped:]


SESSIONS = [lines for _, lines, _ in load_sessions("*sessions*.txt")]
ISO = "2026-11-23T10:00:00.5+01:00"
ODD = (
    b"no log line",
    b"Nov 23 09:59:59 mx1 postfix/smtpd[1]: \xff",
    b"",
    b"2026-11-23T10:00:00+01:00 mx1 postfix/smtpd[1]: message repeated 2 times: [ connect from x[192.0.2.9]]",
    b"Nov 23 09:59:59 mx1 postfix/smtpd[1]: x: connect from evil[198.51.100.254]",
    b"Nov 23 09:59:59 mx1 sshd[1]: x postfix/smtpd[1]: connect from evil[198.51.100.254]",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: connect from x[192.0.2.9]\r",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: connect from x[192.0.2.9]:12345",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: disconnect from x[192.0.2.7] ehlo=1 quit=1 commands=2",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: disconnect from x[192.0.2.7] ehlo=1 auth=0/3 commands=2",
    b"Nov 23 10:59:59 mx1 postfix/cleanup[2]: 3F2A1B0C9D: message-id=<x]: connect from evil[198.51.100.254]>",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: 4F2A1B0C9D: client=x[192.0.2.9]",
    b"Nov 23 10:59:59 mx1 postfix/cleanup[2]: 4F2A1B0C9D: message-id=(c) <1@friend.example>",
    b"Foo 23 10:59:59 mx1 postfix/smtpd[1]: connect from x[192.0.2.9]",
    b"Foo 23 10:59:59 mx1 postfix/anvil[1]: statistics",
    b"Nov 23 10:59:59 mx1 postfix/smtpd[1]: connect from localhost[127.0.0.1]",
    b"Nov 23 10:59:59 mx1 amavis[1]: (1-1) Passed CLEAN {RelayedInbound}, [192.0.2.7] <a@b.example> -> <c@d.example>",
    b"Nov 23 10:59:59 mx1 dovecot: imap(a@b.example)<1><x>: Disconnected: Logged out",
)


@given(st.data())
def test_a_block_gives_what_its_lines_give(data: st.DataObject) -> None:
    chosen = st.sampled_from(SESSIONS) | st.lists(st.sampled_from(ODD), max_size=3)
    lines: list[bytes] = []
    for session in data.draw(st.lists(chosen, min_size=1, max_size=6)):
        stamp = data.draw(st.sampled_from((ISO, "Nov 23 09:00:00", "2026-11-23T09:59:59.123456Z")))
        place = data.draw(st.integers(0, len(lines)))
        given = [line.replace(ISO, stamp).encode() if isinstance(line, str) else line for line in session]
        lines[place:place] = given
    slow, quick = new_reader(), new_reader()
    wanted = [found for number, line in enumerate(lines, 1) for found in slow.read(line, number, REFERENCE)]
    found: list[Event | Hit | Traffic | Wait] = []
    done = 0
    while done < len(lines):
        size = data.draw(st.integers(1, len(lines) - done))
        block = b"".join(line + b"\n" for line in lines[done : done + size])
        found += quick.read_block(block, done + 1, REFERENCE)
        done += size
    assert _sum(found) == _sum(wanted)
    assert quick.dump() == slow.dump()
    assert (quick.lines, quick.skipped, quick.unmatched) == (slow.lines, slow.skipped, slow.unmatched)
    assert quick.newest is None or slow.newest is None or quick.newest <= slow.newest


@given(st.lists(st.sampled_from(SESSIONS), min_size=1, max_size=6))
def test_what_was_dumped_is_not_changed_by_what_is_read_later(sessions: list[list[str]]) -> None:
    """It is stored while more is being read, with the position that it belongs to."""
    lines = [line for session in sessions for line in session]
    reader = new_reader()
    dumps = []
    for number, line in enumerate(lines, 1):
        reader.read_block(f"{line}\n".encode(), number, REFERENCE)
        dump = reader.dump()
        dumps.append((dump, json.dumps(dump)))
    assert all(json.dumps(dump) == text for dump, text in dumps)


FALL = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp())
PARIS = ZoneInfo("Europe/Paris")
DULL = "postfix/anvil[3]: statistics: max cache size 1"
SESSION = (
    "postfix/smtpd[7]: connect from x[192.0.2.7]",
    "postfix/smtpd[7]: lost connection after RCPT from x[192.0.2.7]",
    "dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<u>, method=PLAIN, rip=192.0.2.7",
)


@given(st.integers(0))
def test_in_the_hour_that_comes_twice_each_line_is_of_its_own_pass(seed: int) -> None:
    """Blocks end anywhere, what is remembered is dumped and loaded, and some lines are of no frequent form."""
    dice = Random(seed)
    lines: list[tuple[int, str]] = []
    at = FALL - 3700
    while at < FALL + 3700:
        at += dice.randrange(dice.choice((3, 500)))
        form = dice.choice(("{:%b %e %T}", "{:%FT%T}", "{:%FT%T.25}", "<22>{:%b %e %T}", "{:%F %T}"))
        stamp = form.format(datetime.fromtimestamp(at, PARIS))
        lines.append((at, f"{stamp} mx1 {dice.choice((*SESSION, DULL))}\n"))
    reader = Reader(PARIS, OWN)
    found: list[Event | Hit | Traffic | Wait] = []
    done = 0
    while done < len(lines):
        size = dice.randrange(1, len(lines) - done + 1)
        block = "".join(line for _, line in lines[done : done + size])
        found += reader.read_block(block.encode(), done + 1, FALL + 7200)
        done += size
        if dice.random() < 0.5:
            reader = Reader(PARIS, OWN, json.loads(json.dumps(reader.dump())))
    events = [told for told in found if isinstance(told, Event) and told.line]
    assert [(event.line, event.at) for event in events] == [(event.line, lines[event.line - 1][0]) for event in events]
    assert len(events) >= sum("auth failed" in line for _, line in lines)


def test_a_line_of_no_frequent_form_begins_the_second_pass_for_those_behind_it() -> None:
    message = "mx1 postfix/smtpd[7]: warning: non-SMTP command from x[192.0.2.7]: GET / HTTP/1.1"
    block = "".join(f"{stamp} {message}\n" for stamp in ("Oct 25 02:59:59", "<22>Oct 25 02:01:30", "Oct 25 02:59:59"))
    reader = Reader(PARIS, OWN)
    reader.read_block(f"Oct 25 01:00:00 {message}\n".encode(), 1, FALL + 7200)
    found = reader.read_block(block.encode(), 2, FALL + 7200)
    assert [told.at for told in found if isinstance(told, Event)] == [FALL - 1, FALL + 90, FALL + 3599]
