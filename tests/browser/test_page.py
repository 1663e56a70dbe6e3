"""The page for blocked senders in a real browser: in both languages, with and without JavaScript, dark, on a phone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from repzone.cli.wall import clock
from tests.browser.served import pages
from tests.cli.conftest import runner
from tests.fix_db import new_database, with_database
from tests.jobs.samples import reject

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
BLOCKED, CLEAR, LONG = "192.0.2.7", "192.0.2.8", "192.0.2.9"
REJECTION = f"554 5.7.1 Service unavailable; Client host [{BLOCKED}] blocked using bl.example.net; Too many errors"
WORDS = {
    "en": ("Is your mail server blocked?", "is blocked for too many errors, for the 1st time", "is not blocked by us"),
    "fr": ("Votre serveur de messagerie est-il bloqué ?", "pour trop d’erreurs, pour la 1re fois", "n’est pas bloquée"),
}


@pytest.fixture(scope="module")
def site(pg_server: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's URL; one address is blocked, by a log that was ingested a moment ago."""
    folder = tmp_path_factory.mktemp("page")
    with new_database(pg_server, f"repzone_page_{os.getpid()}", migrated_template) as name:
        url = with_database(pg_server, name)
        with pages(folder, url) as address:
            (folder / "mail.log").write_text("".join(reject(clock() - 60 + n) for n in range(12)))
            repzone = runner(folder, {"REPZONE_DATABASE_URL": url})
            assert repzone("ingest", "mail.log").code == 0
            assert repzone("ban", LONG, "--reason", "an attack", "--for", "30d").code == 0
            yield address


@pytest.fixture(params=["en", "fr"])
def language(request: pytest.FixtureRequest) -> str:
    """Each language."""
    return str(request.param)


def open_page(
    browser: Browser, url: str, language: str = "en", *, scripts: bool = True, dark: bool = False, width: int = 1000
) -> tuple[BrowserContext, Page, list[str]]:
    """Open a page in a browser of its own; gives what it asked for, too."""
    context = browser.new_context(
        locale={"en": "en-GB", "fr": "fr-FR"}[language],
        java_script_enabled=scripts,
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 900},
        timezone_id="Europe/Paris",
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    return context, page, asked


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_an_address_or_a_whole_rejection_leads_to_the_verdict(
    chromium: Browser, site: str, language: str, scripts: bool
) -> None:
    title, blocked, clear = WORDS[language]
    context, page, asked = open_page(chromium, site, language, scripts=scripts)
    expect(page.locator("h1")).to_have_text(title)
    for text, verdict, client in ((REJECTION, blocked, BLOCKED), (BLOCKED, blocked, BLOCKED), (CLEAR, clear, CLEAR)):
        page.locator("#ip").fill(text)
        page.locator("form.look button").click()
        expect(page.locator("h1")).to_contain_text(verdict)
        expect(page.locator("#ip")).to_have_value(client)
        assert "Service" not in page.url  # what was pasted is in no address, so in no history and no log
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(site).netloc}
    context.close()


def test_the_language_can_be_switched_and_the_question_stays(chromium: Browser, site: str) -> None:
    context, page, _ = open_page(chromium, f"{site}/?ip={BLOCKED}")
    page.get_by_role("link", name="Français").click()
    expect(page.locator("h1")).to_contain_text(WORDS["fr"][1])
    page.locator("#ip").fill(CLEAR)
    page.get_by_role("button").click()
    expect(page.locator("h1")).to_contain_text(WORDS["fr"][2])
    page.get_by_role("link", name="English").click()
    expect(page.locator("h1")).to_contain_text(WORDS["en"][2])
    context.close()


SCHEMES: dict[Literal["light", "dark"], dict[str, list[str]]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},  # only colours differ
}


@pytest.mark.parametrize(("language", "width"), [("en", 1000), ("fr", 390)])
def test_axe_finds_nothing_and_nothing_sticks_out(chromium: Browser, site: str, language: str, width: int) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    views = {"home": "/", "blocked": f"/?ip={BLOCKED}", "clear": f"/?ip={CLEAR}", "which": "/?ip=192.0.2.1+192.0.2.2"}
    for name, path in views.items():
        context, page, _ = open_page(chromium, site + path, language, width=width)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options={"resultTypes": ["violations"], **SCHEMES[scheme]})
            said = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]]
            assert not said, (name, scheme, said)
            page.screenshot(path=SCREENSHOTS / f"page-{name}-{language}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        context.close()


def test_the_time_left_runs_down_and_its_end_is_said_once(chromium: Browser, site: str) -> None:
    context = chromium.new_context(locale="en-GB", timezone_id="Europe/Paris")
    page = context.new_page()
    page.clock.install(time=clock())
    page.goto(f"{site}/?ip={BLOCKED}")
    left = page.get_by_role("timer")
    ends, now = left.get_attribute("data-ends"), page.locator("html").get_attribute("data-now")
    assert ends
    assert now
    seconds = int((datetime.fromisoformat(ends) - datetime.fromisoformat(now)).total_seconds())
    expect(page.locator("[data-local]").first).to_contain_text(re.compile(r"CES?T|GMT\+[12]"))
    page.clock.fast_forward((seconds - 3720) * 1000)
    expect(left).to_contain_text("1 h 1 min left")
    page.clock.fast_forward(3000_000)
    expect(left).to_contain_text(re.compile(r"1[12]\smin\s[0-9]+\ss left"))
    expect(page.get_by_role("status")).to_have_text("")
    page.clock.fast_forward(800_000)
    expect(page.get_by_role("status")).to_have_text("The block has ended. Check the address again.")
    expect(page.get_by_text("The block has ended.")).to_have_count(1)
    expect(page.get_by_text("It is released by itself on")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"The block of {BLOCKED} has ended")
    expect(page).to_have_title(re.compile(rf"^The block of {BLOCKED} has ended – \w+"))
    page.screenshot(path=SCREENSHOTS / "page-ended.png", full_page=True)
    expect(page.get_by_role("timer")).to_have_count(0)
    context.close()


def test_a_long_time_left_is_told_in_days_as_the_server_tells_it(chromium: Browser, site: str) -> None:
    for scripts in (True, False):
        context, page, _ = open_page(chromium, f"{site}/?ip={LONG}", scripts=scripts)
        expect(page.get_by_role("timer")).to_have_text("29 days 23 h left")
        context.close()


def test_the_keyboard_comes_to_the_answer_first(chromium: Browser, site: str) -> None:
    context, page, _ = open_page(chromium, f"{site}/?ip={BLOCKED}")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the answer")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#v$"))
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).not_to_have_attribute("id", "ip")  # the question lies behind
    context.close()


def test_what_can_be_touched_is_large_enough(chromium: Browser, site: str) -> None:
    context, page, _ = open_page(chromium, f"{site}/?ip={BLOCKED}", width=390)
    for control in page.locator("button, input, summary, header a").all():
        box = control.bounding_box()
        if box is not None:  # the skip link is out of sight until it is needed
            assert box["height"] >= 43.9 or box["x"] < 0, control.inner_text()
    context.close()


def test_nothing_sticks_out_of_the_text_and_a_verdict_has_as_much_room_below_as_above(
    chromium: Browser, site: str
) -> None:
    for path in (
        f"/?ip={BLOCKED}",
        f"/?ip={BLOCKED}&zone=zen.example.org",
        f"/?ip={CLEAR}",
        "/?ip=192.0.2.1+192.0.2.2",
    ):
        context, page, _ = open_page(chromium, site + path)
        sides = {
            (box["x"], box["width"])
            for box in (page.locator(one).bounding_box() for one in ("header.top", "form.look", ".verdict", "footer"))
            if box
        }
        assert len(sides) == 1, (path, sides)
        above, below = page.evaluate(
            "(() => { const verdict = document.querySelector('.verdict'), box = verdict.getBoundingClientRect();"
            " const shown = [...verdict.children].filter(one => one.textContent);"
            " return [shown[0].getBoundingClientRect().top - box.top,"
            " box.bottom - shown.at(-1).getBoundingClientRect().bottom]; })()"
        )
        assert above == pytest.approx(below, abs=1), path
        context.close()


def test_a_printed_page_has_everything_and_no_form(chromium: Browser, site: str) -> None:
    context, page, _ = open_page(chromium, f"{site}/?ip={BLOCKED}")
    page.emulate_media(media="print")
    expect(page.locator("form.look")).to_be_hidden()
    expect(page.get_by_text("Unknown recipient").first).to_be_visible()
    context.close()
