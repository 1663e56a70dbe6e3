"""A verdict and a language in, the page out; and the same as text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from repzone.model import Client
from repzone.reasons import CATALOGUE
from repzone.web.advice import BLOCKED_FOR, CATEGORY_NAMES, EXPLANATIONS, GENERAL, NAMES, OWNERS, advise
from repzone.web.messages import LANGUAGES, Language
from repzone.web.messages import NAMES as LANGUAGE_NAMES
from repzone.web.rejection import read_address
from repzone.web.rules import ladder
from repzone.web.site import Site
from repzone.web.verdict import Block, Kind, Verdict


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def environment(language: Language) -> Environment:
    """Give the templates with the words of a language in them."""
    made = Environment(
        loader=PackageLoader("repzone.web"),
        extensions=["jinja2.ext.i18n"],
        autoescape=select_autoescape(("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals["ngettext"] = language.ngettext  # whose numbers are written as the language does
    made.filters["iso"] = _iso
    return made


@dataclass(frozen=True, slots=True)
class Asked:
    """What a visitor asked: the words in the field, the zone that the rejection named, which addresses were found in
    it; what was wrong with it, as a message; and the seconds to `wait` when it was one question too many.
    """

    text: str = ""
    zone: str = ""
    found: tuple[Client, ...] = ()
    problem: str = ""
    wait: int = 0


def link(ip: object, zone: str, lang: str) -> str:
    """Give the page's URL for an address; the zone that a rejection named, and the language, where they are known."""
    words = {"ip": str(ip), "zone": zone, "lang": lang}
    return "/?" + urlencode({key: value for key, value in words.items() if value})


def render(
    site: Site, t: Language, now: int, asked: Asked, verdict: Verdict | None, counts: dict[int, int] | None
) -> str:
    """Write the page."""
    client = verdict.client if verdict else read_address(asked.text)
    name = str(client) if client else ""  # what was pasted stays out of every link

    def here(code: str, ip: object = name) -> str:
        return link(ip, "", code)

    return (
        environment(t)
        .get_template("page.html")
        .render(
            **_words(site, t, now, verdict),
            languages=[(code, LANGUAGE_NAMES[code]) for code in LANGUAGES if code != t.code],
            here=here,
            api=f"/api/v1/ip/{name}",
            asked=name if verdict else "".join(char if char.isprintable() else " " for char in asked.text),
            found=asked.found,
            problem=_problem(t, asked),
            foreign=asked.zone if asked.zone and not any(zone.apex == asked.zone for zone in site.zones) else "",
            heading=_heading(site, t, asked, verdict),
            counts=counts,
        )
    )


def render_text(site: Site, t: Language, verdict: Verdict) -> str:
    """Write the answer as plain text, for tickets."""
    return environment(t).get_template("answer.txt").render(**_words(site, t, verdict.now, verdict))


def _words(site: Site, t: Language, now: int, verdict: Verdict | None) -> dict[str, object]:
    """Give what both templates use."""

    def blocked_heading(ip: object) -> str:
        assert verdict is not None  # noqa: S101 - only a block has this heading
        return _blocked_heading(t, verdict, ip)

    return {
        "site": site,
        "t": t,
        "now": now,
        "detail": site.detail,
        "verdict": verdict,
        "mistaken": verdict is not None and verdict.mistaken,
        "category_names": CATEGORY_NAMES,
        "explanations": EXPLANATIONS,
        "owners": OWNERS,
        "advice": _advice(site, verdict.blocks) if verdict else [],
        "blocked_heading": blocked_heading,
        "reason_names": lambda block: sorted({t.gettext(NAMES[reason]) for reason in block.listing.reasons}),
        "reason_rows": lambda block: _rows(site, t, block),
        "counted_when": lambda block: _counted_when(t, now, block),
        "next_block": lambda block: _next_block(site, t, now, block),
    }


def _problem(t: Language, asked: Asked) -> str:
    if asked.wait:
        whole = asked.wait if asked.wait < 60 else -(-asked.wait // 60) * 60
        return t.gettext("You can ask again in %(span)s.", span=t.span(whole))
    return asked.problem and t.gettext(asked.problem)


def _heading(site: Site, t: Language, asked: Asked, verdict: Verdict | None) -> str:
    """Write the title of the page, which says the verdict."""
    if asked.wait:
        return t.gettext("You have asked too often")
    if asked.problem:
        return t.gettext("Which address?")
    if verdict is None:
        return t.gettext("Is your mail server blocked?")
    titles: dict[Kind, Callable[[], str]] = {
        Kind.blocked: lambda: t.gettext(
            "%(ip)s is blocked until %(instant)s", ip=verdict.client, instant=t.instant(verdict.expires, verdict.now)
        ),
        Kind.reserved: lambda: t.gettext("%(ip)s is never blocked", ip=verdict.client),
        Kind.test: lambda: t.gettext("%(ip)s is a test entry", ip=verdict.client),
        Kind.unknown: lambda: t.gettext("We cannot say at the moment"),
    }
    return titles.get(verdict.kind, lambda: t.gettext("%(ip)s is not blocked by us", ip=verdict.client))()


def _blocked_heading(t: Language, verdict: Verdict, ip: object) -> str:
    first = verdict.blocks[0].listing
    why = t.gettext(BLOCKED_FOR[first.category])
    escaped = Markup if isinstance(ip, Markup) else str
    ip_text = ip if isinstance(ip, Markup) else str(ip)
    if first.category == "manual":
        text = t.gettext("%(ip)s is blocked %(why)s")
        return escaped(text) % {"ip": ip_text, "why": why}
    text = t.gettext("%(ip)s is blocked %(why)s, for the %(nth)s time")
    return escaped(text) % {"ip": ip_text, "why": why, "nth": t.ordinal(first.offence)}


def _advice(site: Site, blocks: Iterable[Block]) -> list[str]:
    found: dict[str, None] = {}
    for block in blocks:
        told = site.detail != "status" and block.listing.reasons
        found |= dict.fromkeys(advise(block.listing.reasons) if told else GENERAL[block.listing.category])
    return list(found)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of what was counted."""

    name: str
    count: int
    points: int


def _rows(site: Site, t: Language, block: Block) -> list[Row]:
    """Give what was counted, the heaviest first; reasons of one name are one row."""
    rows, policy = dict[str, Row](), block.policy or site.policy
    for reason, count in block.listing.reasons.items():
        name = t.gettext(NAMES[reason]) if reason in CATALOGUE else reason
        before = rows.get(name, Row(name, 0, 0))
        rows[name] = Row(name, before.count + count, before.points + count * policy.weight(reason))
    return sorted(rows.values(), key=lambda row: (-row.points, row.name))


def _counted_when(t: Language, now: int, block: Block) -> str:
    seen = list(block.counted.evidence.values()) if block.counted else []
    if not seen:
        return t.gettext("Reasons for this block")
    first, last = min(one.first for one in seen), max(one.last for one in seen)
    return t.gettext("Reasons for this block, %(interval)s", interval=t.interval(first, last, now))


def _next_block(site: Site, t: Language, now: int, block: Block) -> str:
    """Say what the next block would cost, and until when that holds."""
    outlook = block.outlook
    assert outlook is not None  # noqa: S101 - the template asks
    steps = ladder(site.policy, block.listing.category)
    length, further = t.span(outlook.length), steps[min(outlook.offence, len(steps) - 1)]
    before = t.instant(outlook.remembered[0] // 60 * 60, now) if outlook.remembered else ""
    if further > outlook.length and before:
        text = t.gettext(
            "If it happens again before %(instant)s, the next block lasts %(length)s, then %(further)s. Counting "
            "starts at zero on release.",
            **{"instant": before, "length": length, "further": t.span(further)},
        )
    elif before:
        text = t.gettext(
            "If it happens again before %(instant)s, the next block lasts %(length)s. Counting starts at zero on "
            "release.",
            **{"instant": before, "length": length},
        )
    else:
        text = t.gettext("If it happens again, the next block lasts %(length)s.", length=length)
    return text
