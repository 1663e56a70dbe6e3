"""Log lines as they are seen in the wild, and what their headers say."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs import syslog
from repzone.logs.stamp import Stamps
from tests.logs.samples import REFERENCE, load_jsonl

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize("case", load_jsonl("headers.jsonl"), ids=lambda case: case["line"][:40])
def test_a_header_is_split_as_the_table_says(case: dict[str, Any]) -> None:
    header = syslog.parse(case["line"], Stamps(PARIS), REFERENCE)
    if case["at"] is None:
        assert header is None
        return
    assert header is not None
    at = int(datetime.fromisoformat(case["at"]).timestamp())
    wanted = (at, case["host"], case["program"], case["pid"], case["message"], case.get("repeat", 1))
    assert (header.at, header.host, header.program, header.pid, header.message, header.repeat) == wanted


def test_the_program_counts_only_at_its_place() -> None:
    line = "Nov  4 10:00:00 mx1 sshd[5]: x postfix/smtpd[1]: lost connection after RCPT from x[192.0.2.7]"
    header = syslog.parse(line, Stamps(PARIS), REFERENCE)
    assert header is not None
    assert header.program == "sshd"


@given(st.text(max_size=200) | st.text('<>{}[]0123456789-: TZN"\\ov|', max_size=80))
def test_no_text_makes_the_header_fail(text: str) -> None:
    header = syslog.parse(text, Stamps(PARIS), REFERENCE)
    assert header is None or header.program


@pytest.mark.parametrize("text", ["{" + '"a":' + "[" * 60_000, '{"a": ' + "9" * 10_000 + "}", "{}", '{"a": NaN}', "[]"])
def test_json_that_is_too_deep_or_too_long_is_no_line(text: str) -> None:
    assert syslog.parse(text, Stamps(PARIS), REFERENCE) is None
