"""A log's bytes in, events out, and what could not be read is counted."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.reader import LONGEST
from repzone.model import Client, Event
from tests.logs.samples import REFERENCE, new_reader, put_header

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
def test_the_longest_lines_cost_little(program: str, head: str, piece: str) -> None:
    """A pattern that tries again would need seconds, or for ever, for 64 KiB."""
    line = put_header(program, head + piece * (LONGEST // len(piece))).encode()[:LONGEST]
    reader, begin = new_reader(), time.process_time()
    reader.read(line, 1, REFERENCE)
    assert reader.skipped == 0
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize("piece", ["a", "a ", "<22>", "{", "[", '<22>1 2026-03-22T05:31:34Z a b - - [a "', "2", "Nov "])
def test_the_longest_headers_cost_little(piece: str) -> None:
    reader, begin = new_reader(), time.process_time()
    reader.read((piece * LONGEST)[:LONGEST].encode(), 1, REFERENCE)
    assert time.process_time() - begin < 0.2
