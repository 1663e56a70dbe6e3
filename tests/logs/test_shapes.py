"""What no parser knew comes out as shapes, counted, without what clients chose and without secrets."""

from __future__ import annotations

import time
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs import components, postfix_smtpd
from repzone.logs.shapes import DISTINCT, Shape, ShapeReader, shape
from tests.logs.samples import REFERENCE, load_samples, put_header

CASES = load_samples("shapes.txt")


def read(lines: list[str]) -> ShapeReader:
    """Read lines, numbered from 1."""
    reader = ShapeReader(UTC)
    for number, line in enumerate(lines, 1):
        reader.read(line.encode(), number, REFERENCE)
    return reader


@pytest.mark.parametrize(("wanted", "message"), CASES, ids=[message[:40] for _, message in CASES])
def test_a_shape_keeps_the_plain_words(wanted: str, message: str) -> None:
    assert shape(message) == wanted


def test_lines_of_one_shape_are_counted_most_frequent_first() -> None:
    lines = [put_header("smtpd[1]", f"warning: something odd of 192.0.2.{n} happened {n} times") for n in range(3)]
    lines.insert(1, put_header("postscreen[7]", "rare thing"))
    assert read(lines).shapes() == [
        Shape("postfix/smtpd", "warning: something odd of <ip> happened <n> times", 3, 1),
        Shape("postfix/postscreen", "rare thing", 1, 2),
    ]


def test_only_lines_of_known_programs_that_no_parser_knew_count() -> None:
    reader = read(
        [
            put_header("smtpd[1]", "lost connection after RCPT from x[192.0.2.7]"),
            put_header("kernel", "something odd"),
            "hello",
            put_header("smtpd[1]", "x\0"),
            put_header("smtpd[1]", "a" * 70_000),
        ]
    )
    reader.read(None, 6, REFERENCE)
    reader.read(b"\xff", 7, REFERENCE)
    assert reader.shapes() == []
    assert (reader.lines, reader.skipped, reader.unmatched) == (7, 4, 1)


def test_another_choice_of_programs_can_be_given() -> None:
    def find(program: str) -> components.Parse | None:
        return postfix_smtpd.parse if program == "mine" else None

    reader = ShapeReader(UTC, find)
    for program in ("mine", "smtpd[1]"):
        reader.read(put_header(program, "odd").encode(), 1, REFERENCE)
    assert [one.program for one in reader.shapes()] == ["mine"]


def test_the_number_of_shapes_is_bounded_and_the_frequent_ones_are_kept() -> None:
    def word(number: int) -> str:
        return "".join(chr(ord("g") + int(digit)) for digit in str(number))

    common = put_header("smtpd[1]", "odd and common")
    lines = [line for n in range(3 * DISTINCT) for line in (put_header("smtpd[1]", f"odd {word(n)}"), common)]
    shapes = read(lines).shapes()
    assert len(shapes) < 2 * DISTINCT
    assert shapes[0] == Shape("postfix/smtpd", "odd and common", 3 * DISTINCT, 2)


SENT = "c2VjcmV0-hunter2"


@pytest.mark.parametrize(
    "form",
    [
        "x (given password: {})",
        "x: password mismatch for {}",
        "cmd: AUTH PLAIN {}",
        "cmd: AUTHENTICATE PLAIN {}",
        "C: PASS {}",
        "token={} from 192.0.2.7",
        "user=<{}> failed",
        "user={}, failed",
        "login {} failed",
        "login failed for user {}",
        "authentication failed for {} from x",
        "sasl_username={}",
        "from=<{}@example.org>",
        "{}@example.org is unknown",
        '"{}" is unknown',
        "unknown user '{}'",
    ],
)
@given(secret=st.text("abcXYZ019+/=-_", min_size=6, max_size=30).map(lambda text: "Qq" + text))
def test_neither_secrets_nor_logins_are_in_a_shape(form: str, secret: str) -> None:
    assert secret not in shape(form.format(secret))
    assert SENT not in shape(form.format(SENT))


@given(message=st.text(max_size=500))
def test_every_message_has_a_printable_shape(message: str) -> None:
    assert shape(message).isprintable()


@pytest.mark.parametrize("piece", ["a", "1.", "a.", "<", "[", "password ", "0:", "a=", "'", "AUTH PLAIN ", "-", " "])
def test_the_longest_messages_cost_little(piece: str) -> None:
    begin = time.process_time()
    shape(piece * 65_536)
    assert time.process_time() - begin < 0.1
