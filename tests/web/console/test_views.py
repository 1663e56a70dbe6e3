"""Every view as page and as JSON, what stands in it, and what it costs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from sqlalchemy import event, text

from repzone.jobs import calculate
from repzone.model import Client, Event
from repzone.store.engine import Engine
from repzone.store.manual import pause_zones
from repzone.store.policies import load_policy
from repzone.web.console.app import build_console
from repzone.web.console.desk import ASSETS
from tests.store.acts import act, add, viruses
from tests.store.samples import HOUR, NOW, add_listings, add_policy
from tests.web.console.stage import Stage, listing, offend, stages
from tests.web.site_of import ZONE

VIEWS = {
    "/": "/overview.json",
    "/listings": "/listings.json",
    "/client/192.0.2.1": "/client/192.0.2.1.json",
    "/client/2001:db8::/64": "/client/2001:db8::/64.json",
    "/held": "/held.json",
    "/policy": "/policy.json",
    "/audit": "/audit.json",
}
BUDGET = 60 * 1024
"""Octets of a page with all that belongs to it, compressed."""


def test_every_view_is_a_page_and_json_with_and_without_rows(stage: Stage) -> None:
    browser = stage.browser()
    for number in (1, 2):
        for path, program in VIEWS.items():
            answer = browser.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/html")
            assert f'href="{program}"' in answer.text
            assert browser.get(program).status_code == 200
        add_listings(
            stage.engine,
            listing("192.0.2.1", began=NOW - number),
            listing("2001:db8::/64", "auth", state="held", began=NOW - number),
        )
        offend(stage.engine, "192.0.2.1", "a line")


def test_every_answer_keeps_browsers_safe(stage: Stage) -> None:
    browser = stage.browser()
    for path in (*VIEWS, "/login", "/nowhere", "/client/nobody"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "private, no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] in ("no-referrer", "same-origin")


def test_a_page_with_all_that_belongs_to_it_keeps_to_the_budget(stage: Stage) -> None:
    add_listings(stage.engine, *(listing(f"192.0.2.{n}", reasons={"spam_rejected": 7}) for n in range(1, 120)))
    offend(stage.engine, "192.0.2.1", "a line that is about as long as lines of mail logs are", number=400)
    browser = stage.browser()
    for path in VIEWS:
        page = browser.get(path)
        cost = len(gzip.compress(page.content))
        for name in re.findall(r"/static/([\w.]+)\?v=", page.text):
            cost += len(gzip.compress(ASSETS[name]))
        assert cost < BUDGET


def test_files_that_are_asked_for_by_their_digest_may_be_kept(stage: Stage) -> None:
    browser = stage.browser("")
    for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', stage.browser().get("/").text)):
        assert "immutable" in browser.get(path).headers["cache-control"]
        assert browser.get(path.partition("?")[0]).headers["cache-control"] == "no-cache"
    assert browser.get("/static/nothing.js").status_code == 404


def test_what_is_vendored_says_what_it_is(stage: Stage) -> None:
    told = ASSETS["uPlot.LICENSE.txt"].decode()
    version = re.search(rb"v(\d+\.\d+\.\d+)", ASSETS["uPlot.js"][:400])
    assert version
    assert f"uPlot {version[1].decode()}" in told
    assert "MIT License" in told


def test_the_numbers_of_the_overview_are_those_of_the_database(stage: Stage) -> None:
    add_listings(
        stage.engine,
        listing("192.0.2.1"),
        listing("192.0.2.2", "auth"),
        listing("192.0.2.3", state="held"),
        listing("192.0.2.4", expires=NOW),
    )
    state = stage.browser().get("/overview.json").json()["state"]
    assert (state["active"], state["active-spam"], state["active-auth"], state["held"]) == (2, 1, 1, 1)
    page = stage.browser().get("/").text
    assert '<a href="/listings?state=active&amp;category=auth">' in page


def test_a_listing_that_ends_counts_no_more_at_that_second(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    browser = stage.browser()
    stage.now = NOW + 2 * HOUR - 1
    assert browser.get("/listings.json?state=active").json()["found"] == "1"
    stage.now += 1
    assert browser.get("/listings.json?state=active").json()["found"] == "0"
    assert browser.get("/listings.json?state=expired").json()["found"] == "1"


def test_a_search_leads_to_rows_or_to_the_client(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"), listing("198.51.100.1"))
    browser = stage.browser()
    found = browser.get("/listings.json?q=192.0.2.0/24").json()
    assert [row["listing"]["client"] for row in found["listings"]] == ["192.0.2.1"]
    for client in ("192.0.2.1", "192.0.2.0/24"):
        assert browser.get(f"/listings?q={client}&go=1").headers["location"] == f"/client/{client}"
    assert browser.get("/listings?q=nobody").status_code == 400


def test_pages_lead_to_each_other_and_keep_the_filter(stage: Stage) -> None:
    add_listings(stage.engine, *(listing(f"192.0.2.{n}", expires=NOW + n) for n in range(1, 121)))
    browser = stage.browser()
    seen: list[str] = []
    path = "/listings.json?category=spam"
    while path:
        found = browser.get(path).json()
        seen += [row["listing"]["client"] for row in found["listings"]]
        assert "category=spam" in path
        path = found["older"]
    assert seen == [f"192.0.2.{n}" for n in range(120, 0, -1)]


def test_a_database_that_is_away_is_said_and_not_a_fault_of_ours(engine: Engine, tmp_path: Path) -> None:
    add_policy(engine)
    with stages(engine, tmp_path) as stage:
        settings, site, clock = stage.built
        stage.app = build_console(settings, lambda: None, site, clock)
        for path in (*VIEWS, *VIEWS.values()):
            assert stage.browser().get(path).status_code == 503


def test_reading_a_client_writes_nothing(stage: Stage) -> None:
    add(stage.engine, *viruses(NOW - 60, "192.0.2.1"))
    written: list[str] = []

    @event.listens_for(stage.engine, "before_cursor_execute")
    def note(conn: object, cursor: object, statement: str, *rest: object) -> None:
        if re.match(r"\s*(INSERT|UPDATE|DELETE)", statement):
            written.append(statement)

    for path in VIEWS:
        stage.browser().get(path)
    assert written == []


def test_what_is_wrong_stands_before_everything_else(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        pause_zones(connection, ["bl.example.net"], act(), paused=True)
    page = stage.browser().get("/").text
    assert page.index("bl.example.net is paused") < page.index("listed now")


def test_what_the_blocked_sender_sees_is_the_page_of_an_address(engine: Engine, tmp_path: Path) -> None:
    add_policy(engine)
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text(ZONE)
    seen = {"192.0.2.7": "192.0.2.7", "192.0.2.0/24": "192.0.2.0", "2001:db8::/64": "2001:db8::"}
    with stages(engine, tmp_path, zones_dir=tmp_path / "zones") as made:
        for client, address in seen.items():
            page = made.browser().get(f"/client/{client}").text
            assert f'href="https://postmaster.example.net/?ip={address}"' in page


def test_a_configured_log_that_nobody_ever_read_is_named(engine: Engine, tmp_path: Path) -> None:
    add_policy(engine)
    with stages(engine, tmp_path, logs=("/var/log/mail.log", "/var/log/other.log"), host="mx") as made:
        add(engine, *viruses(NOW - 60, "192.0.2.1"), path="/var/log/mail.log")
        page = made.browser().get("/").text
        assert re.findall(r"mx:(\S+?)<td><td><td class=\"n\"><td class=\"n\"><td>never read", page) == [
            "/var/log/other.log"
        ]


def test_a_client_s_page_says_what_counts_for_nothing_and_nothing_twice(stage: Stage) -> None:
    client = Client.from_text("192.0.2.77")
    add(stage.engine, *viruses(NOW - 70, "192.0.2.76"))
    add(stage.engine, Event(NOW - 60, client, "virus_found", 1, "amavis", "the first line"))
    add(stage.engine, Event(NOW - 30, client, "virus_found", 1, "amavis", "the second line"))
    with stage.engine.begin() as connection:
        load_policy(connection, "brake_listings = 1", "policy.toml", NOW - 90)
    calculate.run(stage.engine, lambda: NOW)
    page = stage.browser().get(f"/client/{client}").text
    assert page.count("virus_found (during a listing: counts for nothing)") == 1
    assert page.count('<td class="n">0<td>during a listing') == 1
    assert "held (held)" not in page
    assert "1 point within 1 h, 1 lists it" in page
    assert "Its last events, with their lines" in page
    with stage.engine.begin() as connection:
        connection.execute(text("UPDATE event SET detail = ''"))
    assert "Its last events, with their lines" not in stage.browser().get(f"/client/{client}").text
    assert "It was never listed as a whole." in stage.browser().get("/client/192.0.2.0/24").text
