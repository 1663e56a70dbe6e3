"""An abuse report becomes an event of the reported address; what the complained-of mail says is never a report."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.logs.arf import parse
from repzone.logs.mail import LARGEST, MailError, instant
from repzone.model import Event

REPORTS = sorted((Path(__file__).parents[1] / "data" / "reports").glob("*.eml"))


def wanted_of(path: Path) -> str:
    """Give the first line's `X-Wanted`: an event, `-` for no offence, or a part of the error."""
    return path.read_text().partition("\n")[0].removeprefix("X-Wanted: ")


def write(event: Event | None) -> str:
    """Write an event as the samples do."""
    if event is None:
        return "-"
    assert event.reason == "abuse_report"
    at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{event.client} {at} {event.component} {event.count} {event.detail}"


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_each_report_gives_its_event_or_says_what_is_missing(path: Path, newline: bytes) -> None:
    wanted, mail = wanted_of(path), path.read_bytes().replace(b"\n", newline)
    if wanted == "-" or "Z " in wanted:
        assert write(parse(mail)) == wanted
    else:
        with pytest.raises(MailError, match=wanted):
            parse(mail)


EDITS = st.sampled_from(["cut", "drop", "double", "swap", "flip", "put"])
PIECES = st.sampled_from(
    [
        *(
            b"\n",
            b"\r",
            b"\0",
            b"\xff",
            b"--",
            b"=",
            b'"',
            b";",
            b"\n\n",
            b"Content-Type: multipart/mixed; boundary=x\n",
        ),
        *(b"=?utf-8?q?=0A?=", b"charset=\xe9", b"\n--part1_13d.2e68ed54_boundary\n", b"Date: ", b"9" * 40, b"("),
    ]
)


@settings(max_examples=60)
@given(
    which=st.integers(0, len(REPORTS) - 1),
    edits=st.lists(st.tuples(EDITS, st.integers(0, 5000), st.integers(0, 200), PIECES), max_size=6),
)
def test_no_mail_makes_it_fail_otherwise(which: int, edits: list[tuple[str, int, int, bytes]]) -> None:
    mail = REPORTS[which].read_bytes()
    for edit, begin, length, piece in edits:
        begin %= len(mail) + 1
        end = begin + length
        middle = mail[begin:end]
        new = {"drop": b"", "double": middle * 2, "swap": middle[::-1], "put": piece + middle}.get(edit)
        if edit == "cut":
            mail = mail[:begin]
        elif new is None:
            mail = mail[:begin] + bytes(octet ^ (1 << length % 8) for octet in middle) + mail[end:]
        else:
            mail = mail[:begin] + new + mail[end:]
    with suppress(MailError):
        write(parse(mail))


@given(text=st.text(max_size=60) | st.binary(max_size=40).map(lambda octets: octets.decode("latin-1")))
def test_no_date_makes_it_fail(text: str) -> None:
    instant(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Tue, 24 Nov 2026 07:00:00 +0100", 1_795_500_000),
        ("24 Nov 2026 06:00:00 -0000", 1_795_500_000),
        ("Tue, 24 Nov 2026 06:00:60 GMT", 1_795_500_059),
        ("2026-11-24T06:00:00.9Z", 1_795_500_000),
        ("2026-11-24 07:00:00 +0100", 1_795_500_000),
        ("Nov 24 2026 07:00:00 +0100", 1_795_500_000),
        ("2026-11-24T06:00:00", None),
        ("Tue, 24 Nov 1926 07:00:00 +0100", None),
        ("Tue, 32 Nov 2026 07:00:00 +0100", None),
        ("Tue, 24 Nov 2026 07:00:00 +9999", None),
        ("", None),
    ],
)
def test_dates_are_read_in_the_forms_that_reports_have(text: str, at: int | None) -> None:
    assert instant(text) == at


def nested(depth: int) -> bytes:
    """Give a mail whose parts are nested, with a report in the innermost."""
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth))
    return (
        b"Date: Tue, 24 Nov 2026 07:00:00 +0100\n"
        + opened
        + (b"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nSource-IP: 192.0.2.7\n")
    )


def test_parts_nested_too_deep_or_too_many_are_an_error() -> None:
    assert write(parse(nested(5))).startswith("192.0.2.7 ")
    for depth in (6, 5000):
        with pytest.raises(MailError, match="nested deeper than 5"):
            parse(nested(depth))
    with pytest.raises(MailError, match="more than 50 parts"):
        parse(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1000)
    with pytest.raises(MailError, match="larger than 10 MiB"):
        parse(b"a" * (LARGEST + 1))
    with pytest.raises(MailError, match="header is longer than 256 KiB"):
        parse(b"A: b\n" * 100_000)


@pytest.mark.parametrize(
    "piece", [b"\n", b"\n--b", b"\n--b\t\t", b"--b--", b" ", b"a: b\n", b"\r\n", b";", b'; a="', b"="]
)
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed; boundary=b\n\n",
        b"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n",
        b"X-XARF: PLAIN\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n--b\n\n",
        b"Content-Type: multipart/mixed; boundary=b",
    ],
)
def test_the_largest_mails_cost_little(head: bytes, piece: bytes) -> None:
    mail, begin = (head + piece * LARGEST)[:LARGEST], time.process_time()
    with pytest.raises(MailError):
        parse(mail)
    assert time.process_time() - begin < 4
