"""A template and a listing in, the one string of a TXT record out: printable ASCII, at most 255 octets.

RFC 1035 §3.3.14. Nothing from a log reaches it: the fields are made from numbers, addresses and our own words. How
instants, spans and the details of an act are written everywhere else stands here too.
"""

import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from repzone.model import Client, Listing

FIELDS = ("client", "category", "offence", "until", "left", "url")
MAX_TEXT = 255

MESSAGES = {
    "errors": "Too many errors from your IP",
    "spam": "Too many spams from your IP",
    "virus": "Too many viruses from your IP",
    "auth": "Too many authentication errors from your IP",
    "manual": "Blocked by the operator",
}
"""How the text of each category begins unless policy or zone say otherwise; the first four are the seed page's."""

_WORST = {
    "client": "ffff:" * 7 + "ffff",
    "category": "errors",
    "offence": "999999th",
    "until": "9999-12-31 23:59:59 UTC",
    "left": "23 h 59 min",
}
_MOST_OTHERS = 99


def default_template(message: str, category: str, url: str) -> str:
    """Give the text of a category for which the zone has none: the longest one that always fits."""
    often = "" if category == "manual" else " for the {offence} time"  # manual listings have no ladder
    begin = message.replace("{", "{{").replace("}", "}}")
    listed = f"listed{often} until {{until}} ({{left}} left)." + (" {url}" if url else "")
    full = f"{begin}: {{client}} is {listed}"
    return full if worst_length(full, url) <= MAX_TEXT else f"{begin}: {listed}"


def check(template: str, fields: Collection[str] = FIELDS) -> str:
    """Give the template back; ValueError when it is not printable ASCII or has a field that does not exist."""
    if not (template.isascii() and template.isprintable()):
        raise ValueError("only printable ASCII can stand in a TXT record")
    known = ", ".join(f"{{{field}}}" for field in fields)
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"not a template: {error}; write {{{{ and }}}} for braces") from None
    for _, field, spec, conversion in parts:
        if field in fields and (spec or conversion):
            raise ValueError(f"write {{{field}}} without ! and :")
        if field is not None and field not in fields:
            raise ValueError(f"there is no field {{{field}}}; there are {known}")
    return template


def worst_length(template: str, url: str) -> int:
    """Give the octets that a checked template can come to, whoever is listed however often."""
    return len(template.format(**_WORST, url=url.format(client=_WORST["client"])) + _more(_MOST_OTHERS))


@dataclass(frozen=True, slots=True)
class Template:
    """A checked text with the URL that it may name."""

    text: str
    url: str = ""

    def render(self, client: Client | str, listing: Listing, now: int, others: int = 0) -> bytes:
        """Write what a client that is asked for is told; `others` counts its further listings."""
        named = str(client)
        text = self.text.format(
            client=named,
            category=listing.category,
            offence=ordinal(listing.offence),
            until=format_instant(listing.expires),
            left=format_left(listing.expires - now),
            url=self.url.format(client=named),
        )
        return (text + _more(others)).encode("ascii")[:MAX_TEXT]

    def render_exempt(self, client: Client | str) -> bytes:
        """Write the text of an allow zone, which knows no listing."""
        return self.text.format(client=client, url=self.url.format(client=client)).encode("ascii")[:MAX_TEXT]


def _more(others: int) -> str:
    return f" (and {min(others, _MOST_OTHERS)} more)" if others else ""


def ordinal(number: int) -> str:
    """Write 1st, 2nd, 3rd, 4th, 11th, 21st …"""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def format_instant(instant: int) -> str:
    """Write an instant in UTC: to the minute when it is a whole one, else to the second."""
    second = instant % 60
    return f"{_minute(instant // 60)}{f':{second:02}' if second else ''} UTC"


@lru_cache(maxsize=4096)
def _minute(number: int) -> str:
    return datetime.fromtimestamp(60 * number, UTC).strftime("%Y-%m-%d %H:%M")


def format_left(seconds: int) -> str:
    """Write a time in its two largest units, rounded down: `3 h 12 min`, `42 s`."""
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def split_span(seconds: int) -> tuple[int, int, int]:
    """Give days, hours and minutes of a length of time; days begin at two, as 24 h are no day of the calendar."""
    days = seconds // 86400 if seconds >= 2 * 86400 else 0
    return days, seconds // 3600 - 24 * days, seconds // 60 % 60


def format_span(seconds: int) -> str:
    """Write a length of time in its two largest units without what is zero: `24 h`, `1 h 30 min`, `90 d`."""
    days, hours, minutes = split_span(seconds)
    if not (days or hours or minutes):
        return f"{seconds} s"
    parts = [(days, "d"), (hours, "h"), (0 if days else minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def format_details(details: Mapping[str, object]) -> str:
    """Write what is known of an act beside its subject, without what is nothing."""
    return "; ".join(_detail(name.replace("_", " "), value) for name, value in details.items() if value)


def _detail(name: str, value: object) -> str:
    """Write one detail as other commands do: `listings: spam 1, errors 2`, `until 2026-11-30 11:25:46 UTC`."""
    if value is True:
        return name
    if isinstance(value, Mapping):
        return f"{name}: {', '.join(f'{key} {number:,}' for key, number in value.items())}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{name}: {', '.join(map(str, value))}"
    if name == "until":
        return f"{name} {format_instant(int(datetime.fromisoformat(str(value)).timestamp()))}"
    return f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
