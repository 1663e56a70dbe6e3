"""Every message has its words in every language, and instants, spans and numbers are written as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import repzone.web
from repzone.web.advice import RECIPIENT
from repzone.web.messages import DOMAIN, FOLDER, LANGUAGES, choose, language

WEB = Path(repzone.web.__file__).parent
METHODS = [
    ("**.py", "python"),
    ("templates/**.html", "jinja2.ext:babel_extract"),
    ("templates/**.txt", "jinja2.ext:babel_extract"),
]
KEYWORDS: dict[str, tuple[int, ...] | None] = {"N_": None, "_": None, "gettext": None, "ngettext": (1, 2)}
OTHERS = [code for code in LANGUAGES if code != "en"]
AT = 1_785_003_599  # 2026-07-25 18:19:59 UTC, a Saturday


@cache
def used() -> frozenset[str | tuple[str, ...]]:
    """Give the messages of code and templates."""

    def found() -> Iterator[str | tuple[str, ...]]:
        for _, _, message, _, _ in extract_from_dir(str(WEB), METHODS, keywords=KEYWORDS):
            yield message

    return frozenset(found())


@cache
def catalogue(code: str) -> Catalog:
    with (FOLDER / code / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=code)


@pytest.mark.parametrize("code", OTHERS)
def test_no_message_is_missing_and_none_is_left_over(code: str) -> None:
    there = {message.id for message in catalogue(code) if message.id}
    assert there == used()
    assert len(there) > 150


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_with_the_same_fields(code: str) -> None:
    for message in catalogue(code):
        if not message.id:
            continue
        ids, strings = forms(message.id), forms(message.string)
        assert not message.fuzzy
        assert all(strings), message.id
        for text in strings:
            assert fields(text) == fields(ids[-1]), text


def forms(text: object) -> tuple[str, ...]:
    """Give singular and plural, or the one form that there is."""
    return tuple(map(str, text)) if isinstance(text, (tuple, list)) else (str(text or ""),)


def fields(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s|\{[dhms]\}", text))


@pytest.mark.parametrize(
    ("seconds", "en", "fr"),
    [
        (0, "0 s", "0 s"),
        (59, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (3599, "59 min", "59 min"),
        (3600, "1 h", "1 h"),
        (11_520, "3 h 12 min", "3 h 12 min"),
        (86_400, "24 h", "24 h"),
        (172_799, "47 h 59 min", "47 h 59 min"),
        (172_800, "2 days", "2 jours"),
        (200_000, "2 days 7 h", "2 jours 7 h"),
        (7_776_000, "90 days", "90 jours"),
        (-5, "0 s", "0 s"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: int, en: str, fr: str) -> None:
    assert plain(language("en").span(seconds)) == en
    assert plain(language("fr").span(seconds)) == fr


def plain(text: str) -> str:
    """Put a plain space for each that no line may break at."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def test_no_line_breaks_between_a_number_and_its_unit() -> None:
    assert language("en").span(11_520) == "3\u00a0h 12\u00a0min"
    assert language("fr").span(200_000) == "2\u00a0jours 7\u00a0h"
    assert language("fr").instant(AT, AT).endswith("à 18\u00a0h\u00a020 UTC")


@pytest.mark.parametrize("code", OTHERS)
def test_french_signs_never_begin_a_line(code: str) -> None:
    for message in used():
        one, many = message if isinstance(message, tuple) else (message, message)
        for text in (language(code).gettext(one), *(language(code)._catalogue.ngettext(one, many, n) for n in (1, 2))):
            assert not re.search("« | [:;!?»]", text), text
    assert language("fr").gettext("Which address?") == "Quelle adresse\u202f?"
    assert "« sender verify »" in plain(language("fr").gettext(RECIPIENT))
    assert "«\u00a0sender verify\u00a0»" in language("fr").gettext(RECIPIENT)


def test_an_instant_is_rounded_up_so_that_nobody_comes_too_early() -> None:
    assert language("en").instant(AT, AT) == "Saturday 25 July at 18:20 UTC"
    assert plain(language("fr").instant(AT, AT)) == "samedi 25 juillet à 18 h 20 UTC"
    assert language("en").instant(AT + 1, AT) == "Saturday 25 July at 18:20 UTC"
    assert language("en").instant(AT + 2, AT) == "Saturday 25 July at 18:21 UTC"


def test_the_year_is_told_when_it_is_another() -> None:
    assert language("en").instant(AT + 365 * 86400, AT) == "Sunday 25 July 2027 at 18:20 UTC"
    assert language("en").instant(AT + 160 * 86400, AT) == "Friday 1 January 2027 at 18:20 UTC"


def test_the_first_of_a_month_is_an_ordinal_in_french() -> None:
    first = AT + 7 * 86400
    assert plain(language("fr").instant(first, AT)) == "samedi 1er août à 18 h 20 UTC"
    assert plain(language("fr").instant(AT + 160 * 86400, AT)) == "vendredi 1er janvier 2027 à 18 h 20 UTC"
    assert plain(language("fr").interval(first - 2400, first, AT)) == "samedi 1er août, 17 h 39 – 18 h 19 UTC"
    assert plain(language("fr").instant(AT + 17 * 86400, AT)) == "mardi 11 août à 18 h 20 UTC"


def test_an_interval_says_its_day_once() -> None:
    assert language("en").interval(AT - 2400, AT, AT) == "Saturday 25 July, 17:39 – 18:19 UTC"
    assert language("en").interval(AT - 10, AT, AT) == "Saturday 25 July at 18:19 UTC"
    assert language("en").interval(AT - 86400, AT, AT).startswith("Friday 24 July at 18:19 UTC – Saturday")


def test_numbers_and_ordinals_are_written_as_the_language_does() -> None:
    assert language("en").number(1234567) == "1,234,567"
    assert language("fr").number(1234567) == "1\u202f234\u202f567"
    assert [language("en").ordinal(n) for n in (1, 2, 3, 11, 21)] == ["1st", "2nd", "3rd", "11th", "21st"]
    assert [language("fr").ordinal(n) for n in (1, 2, 11)] == ["1re", "2e", "11e"]


@pytest.mark.parametrize(
    ("asked", "accepted", "found"),
    [
        ("", "", "en"),
        ("", "fr", "fr"),
        ("", "fr-CA,en;q=0.5", "fr"),
        ("", "en-GB, fr;q=0.9", "en"),
        ("", "de, fr;q=0.7, en;q=0.8", "en"),
        ("", "fr;q=0, en", "en"),
        ("", "de", "en"),
        ("", "*;q=1", "en"),
        ("", "fr;q=x;;,,", "en"),
        ("", "en ; q=0.5, fr ; Q=0.9", "fr"),
        ("", "EN;q=nan, FR-ca;q=0.1", "fr"),
        ("fr", "en", "fr"),
        ("de", "fr", "fr"),
    ],
)
def test_a_link_names_the_language_or_the_browser_does(asked: str, accepted: str, found: str) -> None:
    assert choose(asked, accepted, "en").code == found


def test_who_wants_none_of_them_gets_the_operators() -> None:
    assert choose("", "de", "fr").code == "fr"
