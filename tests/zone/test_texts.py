"""The one string of a TXT record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Client, Listing
from repzone.reasons import CATEGORIES, Category
from repzone.zone.texts import (
    MAX_TEXT,
    MESSAGES,
    Template,
    check,
    default_template,
    format_instant,
    format_left,
    format_span,
    ordinal,
    worst_length,
)

URL = "https://postmaster.example.net/?ip={client}"
END = 1795545600  # 2026-11-24 18:40 UTC


def listing(category: Category = "errors", offence: int = 2, expires: int = END) -> Listing:
    return Listing(Client.from_text("192.0.2.7"), category, offence, 0, expires)


def test_the_default_text_says_message_offence_end_time_left_and_url() -> None:
    template = Template(default_template(MESSAGES["errors"], "errors", URL), URL)
    text = template.render(Client.from_text("192.0.2.7"), listing(), END - 3 * 3600 - 12 * 60 - 59)
    assert text.decode() == (
        "Too many errors from your IP: 192.0.2.7 is listed for the 2nd time until 2026-11-24 18:40 UTC "
        "(3 h 12 min left). https://postmaster.example.net/?ip=192.0.2.7"
    )


def test_a_manual_listing_has_no_offence_number() -> None:
    template = Template(default_template(MESSAGES["manual"], "manual", ""))
    text = template.render(Client.from_text("192.0.2.7"), listing("manual"), END - 60)
    assert text == b"Blocked by the operator: 192.0.2.7 is listed until 2026-11-24 18:40 UTC (1 min left)."


def test_the_number_of_further_listings_stands_at_the_end() -> None:
    assert Template("Listed.").render(listing().client, listing(), 0, others=1) == b"Listed. (and 1 more)"


def test_the_client_is_the_address_that_was_asked_for() -> None:
    asked = Client.from_text("2001:db8::5")
    wide = Listing(Client.from_text("2001:db8::/64"), "spam", 1, 0, END)
    assert Template("{client} {url}", "http://x/{client}").render(asked, wide, 0) == b"2001:db8::5 http://x/2001:db8::5"


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("message", ["Short", "{braces}", "x" * 60])
def test_the_default_text_fits_with_any_message_of_a_policy(category: Category, message: str) -> None:
    template = default_template(message, category, URL)
    assert check(template) == template
    assert worst_length(template, URL) <= MAX_TEXT
    assert template.format(client="", category="", offence="", until="", left="", url="").startswith(message)


@given(
    st.integers(0, 2**128 - 1),
    st.sampled_from(CATEGORIES),
    st.integers(1, 999_999),
    st.integers(0, 4 * 10**9),
    st.integers(1, 366 * 86400),
    st.integers(0, 600),
)
def test_no_text_is_longer_than_its_worst_case(
    address: int, category: Category, offence: int, now: int, length: int, others: int
) -> None:
    text = "{client}{category}{offence}{until}{left}{url}"
    client = Client(6, address, 128)
    rendered = Template(text, URL).render(client, listing(category, offence, now + length), now, others)
    assert len(rendered) <= worst_length(text, URL) <= MAX_TEXT
    assert rendered.isascii()


@pytest.mark.parametrize(
    "text", ["{foo}", "{}", "{0}", "{client!r}", "{client:>9}", "{", "}", "é", "a\tb", "{client.x}"]
)
def test_a_template_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"field|template|printable|without"):
        check(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (112, "112th"),
    ],
)
def test_ordinals_are_english(number: int, text: str) -> None:
    assert ordinal(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_time_left_is_rounded_down_to_two_units(seconds: int, text: str) -> None:
    assert format_left(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42, "42 s"),
        (600, "10 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "24 h"),
        (2 * 86400 - 1, "47 h 59 min"),
        (2 * 86400, "2 d"),
        (2 * 86400 + 3660, "2 d 1 h"),
        (90 * 86400 + 60, "90 d"),
    ],
)
def test_a_length_of_time_is_in_hours_below_two_days_and_without_what_is_zero(seconds: int, text: str) -> None:
    assert format_span(seconds) == text


def test_an_end_within_a_minute_is_told_to_the_second() -> None:
    assert format_instant(END) == "2026-11-24 18:40 UTC"
    assert format_instant(END + 7) == "2026-11-24 18:40:07 UTC"
