"""The reminder of a release: a calendar that readers understand (RFC 5545)."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Client, Listing
from repzone.web.calendar import MAX_LINE, reminder
from repzone.web.messages import language
from repzone.web.verdict import Block, Kind, Known, Verdict
from repzone.zone.table import NOTHING

NOW = 1_785_000_000
CLIENT = Client.from_text("192.0.2.10")


def verdict(expires: int) -> Verdict:
    listing = Listing(CLIENT, "spam", 2, NOW - 60, expires)
    block = Block(listing, ("bl.example.net",), None, None, None)
    return Verdict(CLIENT, Kind.blocked, NOW, Known(NOTHING, frozenset(), 1, 0, live=True), (block,))


def test_it_is_at_the_first_minute_at_which_nothing_blocks() -> None:
    text = reminder(verdict(NOW + 61), language("en"), "example.net", "https://postmaster.example.net/?ip=192.0.2.10")
    assert "DTSTART:20260725T172200Z\r\n" in text
    assert "SUMMARY:192.0.2.10 is no longer blocked by example.net\r\n" in text
    assert "DTSTAMP:20260725T172000Z\r\n" in text
    assert "DTEND" not in text  # it would have to be later than DTSTART


@given(
    st.text(st.characters(categories=("L", "P", "S", "Zs", "N")), min_size=1, max_size=200),
    st.sampled_from(["en", "fr"]),
)
def test_no_line_is_too_long_and_none_is_lost(name: str, code: str) -> None:
    text = reminder(verdict(NOW + 7200), language(code), name, "https://postmaster.example.net/?ip=192.0.2.10")
    lines = text.split("\r\n")
    assert lines.pop() == ""
    assert all(len(line.encode()) <= MAX_LINE for line in lines)
    assert "\n" not in "".join(lines)
    unfolded = re.sub("\r\n ", "", text).split("\r\n")
    summary = next(line for line in unfolded if line.startswith("SUMMARY:"))
    assert re.sub(r"\\(.)", r"\1", summary).endswith(name)
    assert unfolded[0] == "BEGIN:VCALENDAR"
    assert unfolded[-2] == "END:VCALENDAR"


def test_the_same_release_is_the_same_entry() -> None:
    uid = re.compile(r"UID:(\S+)")
    first, again, other = (uid.findall(reminder(verdict(NOW + n), language("en"), "x", "u")) for n in (60, 60, 61))
    assert first == again != other
