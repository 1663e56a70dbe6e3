"""A language in, its words out: messages from the catalogues, instants, spans of time, numbers, ordinals.

Messages are English in code and templates; `locale/LANGUAGE/LC_MESSAGES/repzone.po` has the others. Babel formats dates
and numbers; spans are our own, since its `format_timedelta` drops minutes. No line breaks between a number and its
unit, nor before the signs that French sets apart.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from babel import Locale
from babel.core import negotiate_locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

from repzone.zone.texts import ordinal, split_span

LANGUAGES = ("en", "fr")
NAMES = {"en": "English", "fr": "Français"}
DOMAIN = "repzone"
FOLDER = Path(__file__).parent / "locale"

_DAY = {"en": "EEEE d MMMM", "fr": "EEEE d MMMM"}
_TIME = {"en": "HH:mm", "fr": "H\N{NO-BREAK SPACE}'h'\N{NO-BREAK SPACE}mm"}
_AT = {"en": " at ", "fr": " à "}


def marked(text: str) -> str:
    """Mark a message that is looked up later, so that it gets into the catalogues; `N_` to those who extract."""
    return text


class Language:
    """One language: `gettext` and `ngettext` for messages, and how its numbers and instants are written."""

    def __init__(self, code: str) -> None:
        """`code` is one of LANGUAGES."""
        self.code = code
        self.locale = Locale.parse(code)
        self._catalogue = _load(code)

    def gettext(self, message: str, **values: object) -> str:
        """Translate a message and put the values into its `%(name)s`."""
        text = self._catalogue.gettext(message)
        return text % values if values else text

    def ngettext(self, one: str, many: str, count: int, **values: object) -> str:
        """Translate a message that depends on a count; `%(count)s` is that number as it is written."""
        text = self._catalogue.ngettext(one, many, count)
        return text % {"count": self.number(count), **values}

    def number(self, value: int) -> str:
        """Write a number with its thousands apart."""
        return format_decimal(value, locale=self.locale)

    def ordinal(self, number: int) -> str:
        """Write 2nd, 2e."""
        if self.code == "fr":
            return "1re" if number == 1 else f"{number}e"
        return ordinal(number)

    def instant(self, at: int, now: int) -> str:
        """Write an instant in UTC to the minute, rounded up so that nobody comes too early; the year if it differs."""
        moment, present = (datetime.fromtimestamp(second, UTC) for second in (-(-at // 60) * 60, now))
        year = "" if moment.year == present.year else " y"
        return f"{self._date(moment, _DAY[self.code] + year)}{_AT[self.code]}{self._time(moment)} UTC"

    def interval(self, begin: int, end: int, now: int) -> str:
        """Write an interval in UTC to the minute: the day once if it is the same, one instant if both are."""
        first, last = (datetime.fromtimestamp(at, UTC) for at in (begin, end))
        if begin // 60 == end // 60:
            return self.instant(begin // 60 * 60, now)
        if first.date() != last.date():
            return f"{self.instant(begin // 60 * 60, now)} – {self.instant(end // 60 * 60, now)}"
        return f"{self._date(first, _DAY[self.code])}, {self._time(first)} – {self._time(last)} UTC"

    def _date(self, moment: datetime, pattern: str) -> str:
        if self.code == "fr" and moment.day == 1:
            pattern = pattern.replace("d MMMM", "d'er' MMMM")
        return str(format_date(moment, pattern, locale=self.locale))

    def _time(self, moment: datetime) -> str:
        return str(format_datetime(moment, _TIME[self.code], locale=self.locale))

    def clock(self, at: int) -> str:
        """Write the time of an instant in UTC, to the second."""
        return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")

    def span(self, seconds: int) -> str:
        """Write a span of time in its two largest units, rounded down: `3 h 12 min`; a whole one alone: `2 h`."""
        seconds = max(0, seconds)
        days, hours, minutes = split_span(seconds)
        if days:
            parts = [self.ngettext("%(count)s day", "%(count)s days", days), f"{hours} h" if hours else ""]
        elif hours:
            parts = [f"{hours} h", f"{minutes} min" if minutes else ""]
        else:
            parts = [f"{minutes} min" if minutes else f"{seconds} s"]
        return " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts if part)


@lru_cache
def language(code: str) -> Language:
    """Give one of LANGUAGES."""
    return Language(code)


def choose(asked: str, accepted: str, default: str) -> Language:
    """Give the language that a link asks for, else the first of Accept-Language (RFC 9110 §12.5.4) that there is."""
    if asked in LANGUAGES:
        return language(asked)
    weighed = []
    for part in accepted[:500].split(","):
        name, _, parameter = (word.strip() for word in part.lower().partition(";"))
        try:
            quality = float(parameter.removeprefix("q=")) if parameter else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0 and name:
            weighed.append((-quality, name.replace("-", "_")))
    wanted = [name for _, name in sorted(weighed, key=lambda pair: pair[0])]
    return language(negotiate_locale(wanted, LANGUAGES) or default)


def _load(code: str) -> NullTranslations:
    file = FOLDER / code / "LC_MESSAGES" / f"{DOMAIN}.po"
    if code == "en":
        return NullTranslations()
    with file.open("rb") as stream:
        catalogue = read_po(stream, locale=code, domain=DOMAIN)
    for message in catalogue:
        words = message.string
        message.string = tuple(map(_typeset, words)) if isinstance(words, tuple) else _typeset(str(words))
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled, domain=DOMAIN)


def _typeset(text: str) -> str:
    """Put the no-break spaces of French where the catalogue has plain ones: narrow before `;!?`, else whole."""
    narrow = re.sub(r" (?=[;!?])", "\N{NARROW NO-BREAK SPACE}", text)
    return re.sub(r" (?=[:»])|(?<=«) ", "\N{NO-BREAK SPACE}", narrow)
