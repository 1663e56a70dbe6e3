"""The operator's console in a real browser: log in, search, look, preview, act, audit; dark, on a phone, and axe."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from repzone.cli.main import run
from repzone.cli.wall import clock
from repzone.model import Client, Listing
from repzone.store.engine import connect
from tests.browser.served import TOKEN, console
from tests.fix_db import new_database, with_database
from tests.jobs.samples import reject
from tests.store.samples import HOUR, add_listings

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LISTED = ("192.0.2.7", "192.0.2.8", "192.0.2.9")
HELD = "192.0.2.33"


@pytest.fixture(scope="module")
def desk(pg_server: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The console's URL; some are listed, by a log that was ingested a moment ago, and one is held."""
    folder = tmp_path_factory.mktemp("console")
    with new_database(pg_server, f"repzone_console_{os.getpid()}", migrated_template) as name:
        url = with_database(pg_server, name)
        with console(folder, url) as address:
            lines = [reject(clock() - 60 + n, client) for n in range(12) for client in LISTED]
            (folder / "mail.log").write_text("".join(lines))
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("REPZONE_DATABASE_URL", url)
                assert run(("ingest", "-c", str(folder / "repzone.toml"), str(folder / "mail.log"))) == 0
            engine = connect(url)
            held = Listing(
                Client.from_text(HELD), "spam", 1, clock() - 60, clock() + HOUR, "held", {"spam_rejected": 3}
            )
            add_listings(engine, held)
            engine.dispose()
            yield address


@pytest.fixture
def enter(chromium: Browser, desk: str) -> Iterator[Callable[..., Page]]:
    """Gives pages of browsers of their own that have logged in with the token; none asks anybody but the console."""
    contexts, asked = [], []

    def enter(*, scripts: bool = True, dark: bool = False, width: int = 1000, target: str = "/") -> Page:
        context = chromium.new_context(
            locale="en-GB",
            java_script_enabled=scripts,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(desk + target)
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: not urlsplit(url).path.startswith("/login"))
        return page

    yield enter
    for context in contexts:
        context.close()
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(desk).netloc}


@pytest.mark.parametrize(
    ("client", "scripts"), [(LISTED[0], True), (LISTED[1], False)], ids=["with JavaScript", "without"]
)
def test_who_was_listed_by_mistake_is_found_looked_at_and_released(
    enter: Callable[..., Page], client: str, scripts: bool
) -> None:
    page = enter(scripts=scripts)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("link", name="Held (1)")).to_be_visible()
    page.get_by_role("link", name="Listings", exact=True).click()
    page.get_by_label("Address or network").fill(client)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("table").get_by_role("link", name=client, exact=True).click()
    expect(page.locator("h1")).to_have_text(f"{client} Listed")
    expect(page.get_by_role("img", name="History of")).to_be_visible()
    page.get_by_label("Reason").fill("they were migrating")
    page.get_by_role("button", name="End it as a false positive").click()
    expect(page.locator("h1")).to_have_text(f"Take back, as false positives, the listings of {client}?")
    expect(page.get_by_text("Nothing is changed yet.")).to_be_visible()
    page.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("status")).to_contain_text("Done.")
    expect(page.locator("h1")).to_have_text(f"{client} Not listed")
    page.get_by_role("link", name="Audit", exact=True).click()
    row = page.get_by_role("row").filter(has_text=client)
    expect(row).to_contain_text("Ada")
    expect(row).to_contain_text("they were migrating")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_link_from_outside_leads_through_the_door_to_its_page(enter: Callable[..., Page]) -> None:
    page = enter(target=f"/client/{LISTED[2]}")
    expect(page.locator("h1")).to_contain_text(LISTED[2])


def show(page: Page, *, hidden: bool) -> None:
    """Let the page believe that it is hidden, or seen again."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_the_overview_is_live_only_while_somebody_sees_it(enter: Callable[..., Page]) -> None:
    page = enter()
    live = page.get_by_text("Live.", exact=True)
    expect(live).to_be_visible()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        show(page, hidden=True)
    with page.expect_request("**/events"):
        show(page, hidden=False)
    expect(live).to_be_visible()


def test_when_the_zones_change_the_overview_is_taken_anew_without_being_loaded(
    enter: Callable[..., Page], desk: str
) -> None:
    page = enter()
    expect(page.locator(".uplot")).to_have_count(2)

    def answer(route: Route) -> None:
        text = (
            route.fetch().text().replace('id="wrong" data-fresh>', 'id="wrong" data-fresh><p>The zone is paused.</p>')
        )
        route.fulfill(body=text, content_type="text/html")

    page.route(f"{desk}/", answer)
    events = "".join(f'data: {{"serial":{serial},"active":4711}}\n\n' for serial in (1, 2))
    page.route("**/events", lambda route: route.fulfill(body=events, content_type="text/event-stream"))
    page.evaluate("window.same = true")
    show(page, hidden=True)
    show(page, hidden=False)
    expect(page.get_by_text("The zone is paused.")).to_be_visible()
    expect(page.get_by_text("4,711")).to_be_visible()
    expect(page.locator(".uplot")).to_have_count(2)
    assert page.evaluate("window.same")
    page.unroute_all(behavior="ignoreErrors")  # it goes on asking until it is closed


def test_charts_tell_the_latest_numbers_before_anybody_points_at_them(enter: Callable[..., Page]) -> None:
    page = enter()
    values = page.locator(".u-legend").first.locator(".u-value")
    expect(values.first).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d$"))
    assert all(one.isdecimal() for one in values.all_inner_texts()[1:])


def test_no_gap_in_the_menu_is_wider_than_the_others(enter: Callable[..., Page]) -> None:
    spans = enter().evaluate(
        "[...document.querySelectorAll('header nav a')].map(link => {"
        " if (link.textContent.startsWith('Held')) link.textContent = 'Held'; return link; }).map(link => {"
        " const range = document.createRange(); range.selectNodeContents(link);"
        " const box = range.getBoundingClientRect(); return [box.left, box.right]; })"
    )
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    assert len(gaps) == 4
    assert max(gaps) - min(gaps) < 1


def confirm_held(page: Page, desk: str) -> None:
    """Go to where a decision on what is held would be confirmed."""
    page.goto(f"{desk}/held")
    page.get_by_label(HELD).check()
    page.get_by_label("Reason").fill("looked at")
    page.get_by_role("button", name="Release the chosen").click()
    expect(page.locator("h1")).to_have_text("Release 1 listing?")


def confirm_ban(page: Page, desk: str) -> None:
    """Go to where the ban of a network would be confirmed."""
    page.goto(f"{desk}/client/198.51.100.0/24")
    page.get_by_label("Reason").fill("asked for it")
    page.get_by_role("button", name="Ban…").click()
    expect(page.locator("h1")).to_have_text("Ban 198.51.100.0/24?")
    expect(page.get_by_label("Yes, all 256 of them")).not_to_be_checked()


def try_policy(page: Page, desk: str) -> None:
    """Ask what another policy would have done, and wait for the answer."""
    page.goto(f"{desk}/policy")
    policy = page.get_by_label("The other policy")
    policy.fill(policy.input_value().replace("threshold = 10", "threshold = 5"))
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("table", name="By category")).to_be_visible(timeout=20_000)


FLOWS = {"held-confirm": confirm_held, "ban-confirm": confirm_ban, "what-if": try_policy}
CLIENT = f"/client/{LISTED[2]}"
VIEWS = ("/", "/listings", CLIENT, "/client/127.0.0.2", "/held", "/policy", "/audit")


@pytest.mark.parametrize(
    ("dark", "width", "views"),
    [(False, 1000, VIEWS), (True, 390, ("/", CLIENT, "/listings", *FLOWS))],
    ids=["light", "dark, on a phone"],
)
def test_axe_finds_nothing_and_nothing_sticks_out(
    enter: Callable[..., Page], desk: str, dark: bool, width: int, views: tuple[str, ...]
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = enter(dark=dark, width=width)
    for name in views:
        if name in FLOWS:
            FLOWS[name](page, desk)
        else:
            page.goto(desk + name)
        if name == CLIENT:  # on a phone too, where the picture is wider than the screen
            expect(page.locator("svg.timeline .now")).to_be_in_viewport()
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        said = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]]
        assert not said, (name, said)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        file = f"console-{name.strip('/').replace('/', '-') or 'overview'}-{width}.png"
        page.screenshot(path=SCREENSHOTS / file, full_page=True)
