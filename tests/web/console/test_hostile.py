"""Words of strangers in every view: shown, never obeyed."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Exemption
from repzone.store.acts import Act, store_act
from repzone.store.changes import add_changes
from repzone.web.console.words import is_hidden, spelled, visible
from tests.store.samples import NOW, add_exemptions, add_listings, execute
from tests.web.console.stage import C, Stage, listing, offend, post

EVIL = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %} \x1b[31m\x9b2J\x07 "
    "\u202egpj.exe\u2066\u200b\u200d\ufeff\u00ad hx-get=\"/x\" hx-on:click='alert(1)' --> ]]> </pre></textarea> &lt;"
)
OUR_TAGS = {
    *("html", "meta", "title", "link", "script", "body", "a", "header", "strong", "nav", "form", "span", "input"),
    *(
        "button",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "section",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "caption",
    ),
    *("time", "ul", "li", "details", "summary", "pre", "label", "svg", "desc", "defs", "pattern", "line", "rect"),
    *("path", "text", "g", "dl", "dt", "dd", "code", "textarea"),
}


class _Seen(HTMLParser):
    """Keeps what a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        named = dict(attrs)
        if tag == "script":
            self.scripts.append(named.get("src") or "inline")
        self.links += [named[name] or "" for name in ("href", "src", "action") if name in named]


def fill(stage: Stage) -> None:
    """Put the words wherever a stranger, or an operator, can have put some."""
    engine = stage.engine
    numbers = add_listings(
        engine,
        listing("192.0.2.1", "manual", comment=EVIL),
        listing("192.0.2.1", reasons={"spam_rejected": 3}),
        listing("192.0.2.1", "auth", state="held", comment=EVIL),
    )
    offend(engine, "192.0.2.1", EVIL, EVIL)
    offend(engine, "192.0.2.9", EVIL, EVIL)
    for number in numbers:
        execute(
            engine,
            "INSERT INTO listing_sample VALUES (:id, to_timestamp(:at), '192.0.2.1', 'spam_rejected', :evil, :evil)",
            {"id": number, "at": NOW, "evil": EVIL},
        )
    add_exemptions(engine, Exemption(C("192.0.2.9"), NOW - 100, NOW - 50, EVIL, EVIL))
    execute(
        engine,
        "INSERT INTO source (host, path, state, seen) VALUES (:evil, :evil, '{}', to_timestamp(:at))",
        {"evil": EVIL, "at": NOW},
    )
    with engine.begin() as connection:
        done = store_act(connection, Act(NOW, EVIL, EVIL, EVIL, EVIL, {EVIL: EVIL, "some": [EVIL]}))
        add_changes(connection, numbers, NOW, done)


def check(page: str) -> None:
    """Say that nothing on the page is anything but text, and that all of it can be seen."""
    seen = _Seen(page)
    assert seen.tags <= OUR_TAGS
    assert not [name for name in seen.attributes if name.startswith(("on", "hx-")) and name != "hx-disable"]
    assert "style" not in seen.attributes
    assert all(source.startswith("/static/") for source in seen.scripts)
    assert all(link.startswith(("/", "#", "https://")) for link in seen.links), seen.links
    assert not [one for one in page if is_hidden(one) and one != "\n"]


PAGES = ("/", "/listings", "/listings?q=192.0.2.0/24", "/client/192.0.2.1", "/client/192.0.2.9", "/held", "/audit")


def test_words_of_strangers_are_text_in_every_view(stage: Stage) -> None:
    fill(stage)
    browser = stage.browser()
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status_code == 200
        check(answer.text)


def test_what_is_evil_is_there_to_be_seen(stage: Stage) -> None:
    fill(stage)
    page = stage.browser().get("/client/192.0.2.1").text
    assert '<pre dir="ltr" hx-disable tabindex="0">&lt;script&gt;alert(1)&lt;/script&gt;' in page
    for number in ("U+001B", "U+009B", "U+0007", "U+202E", "U+2066", "U+200B", "U+200D", "U+FEFF", "U+00AD"):
        assert f'<span class="esc">{number}</span>' in page


def test_words_in_forms_previews_and_urls_are_text(stage: Stage) -> None:
    fill(stage)
    browser = stage.browser()
    pages = [
        post(browser, "/client/192.0.2.1", {"act": "release", "why": EVIL}),
        post(browser, "/client/192.0.2.1", {"act": "ban", "why": EVIL, "for": EVIL[:30]}),
        post(browser, "/client/192.0.2.1", {"act": EVIL, "why": EVIL}),
        post(browser, "/held", {"act": "all-drop", "why": EVIL}),
        post(browser, "/held", {"act": "some-drop", "why": EVIL, "key": EVIL}),
        post(browser, "/policy/what-if", {"policy": EVIL, "since": EVIL}),
        post(browser, "/policy/what-if", {"policy": f"[weights]\n'{EVIL[:20]}' = 1", "since": "1d"}),
        browser.get("/listings", params={"q": EVIL, "state": EVIL, "category": EVIL, "before": EVIL}),
        browser.get("/audit", params={"before": EVIL, "done": EVIL}),
        browser.get("/held", params={"category": EVIL, "done": EVIL}),
        stage.browser("").get("/login", params={"next": EVIL}),
        stage.browser("").post("/login", data={"token": EVIL, "name": EVIL, "next": EVIL}),
    ]
    for answer in pages:
        assert answer.status_code in (200, 400, 403, 422)
        check(answer.text)


@pytest.mark.parametrize("path", ["/overview.json", "/listings.json", "/client/192.0.2.1.json", "/audit.json"])
def test_json_is_plain_ascii_that_no_browser_takes_for_a_page(stage: Stage, path: str) -> None:
    fill(stage)
    answer = stage.browser().get(path)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.isascii()
    assert answer.json()


@given(st.text())
def test_what_is_shown_hides_nothing_and_loses_nothing(text: str) -> None:
    shown = visible(text)
    assert not any(map(is_hidden, shown))
    plain = re.sub(r'<span class="esc">U\+[0-9A-F]+</span>', "", shown)
    kept = [one for one in text if not is_hidden(one)]
    assert unescape(plain) == "".join(kept)
    assert shown.count('class="esc"') == len(text) - len(kept)
    assert not any(map(is_hidden, spelled(text)))


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert str(visible("x" * 5000)).endswith('<span class="esc">…</span>')
    assert len(visible("x" * 5000)) < 4100


def test_what_cannot_be_seen_is_known_as_such() -> None:
    hidden = "\x00\x1b\x7f\x85\x9b\u00ad\u034f\u061c\u115f\u180e\u200b\u200f"
    hidden += "\u2028\u202e\u2069\u2800\u3164\ufe0f\ufeff\ufff9\ue000"
    assert [one for one in (*hidden, "\U000e0041", "\U000e0100", "\ud800") if not is_hidden(one)] == []
    assert not any(map(is_hidden, " azÀé日本ñ€\U0001f600<>&\"'"))
