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
from repzone.web.console.desk import ASSETS, STATIC
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


def test_what_a_form_is_for_is_filled_and_of_several_acts_none_is() -> None:
    forms = 0
    for file in (STATIC.parent / "templates").iterdir():
        for form in re.findall(r"<form.*?</form>", file.read_text(), re.DOTALL):
            buttons = re.findall(r"<button\b([^>]*)>", form)
            filled = [one for one in buttons if "main" in one]
            assert len(filled) == (0 if "logout" in form or 'name="act"' in "".join(buttons) else 1), (file.name, form)
            forms += 1
    assert forms > 7


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


def test_every_event_of_the_last_hour_is_told_by_its_reason_with_who_told_it(stage: Stage) -> None:
    offend(stage.engine, "192.0.2.1", "a line", number=30)
    offend(stage.engine, "192.0.2.2", "a line", "amavis", number=3)
    page = stage.browser().get("/").text
    assert '<tr><td>spam_rejected<td>amavis, postfix/smtpd<td class="n">33<td class="n">0.6' in page
    (told,) = stage.browser().get("/overview.json").json()["reasons"]
    assert told == {"reason": "spam_rejected", "components": ["amavis", "postfix/smtpd"], "count": 33}


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


def test_a_filter_that_there_is_not_is_said_and_finds_nothing(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    browser = stage.browser()
    for name, known in (("state", "active"), ("category", "errors")):
        answer = browser.get(f"/listings?{name}=foo&q=192.0.2.1")
        assert answer.status_code == 400
        assert f"There is no such {name}; there are {known}, " in answer.text
        assert browser.get(f"/listings.json?{name}=foo").json()["listings"] == []
        assert browser.get(f"/listings?{name}=").status_code == 200


def test_a_network_that_is_not_listed_as_a_whole_says_what_is_listed_inside(stage: Stage) -> None:
    browser = stage.browser()
    page = browser.get("/client/192.0.2.0/24").text
    assert "Not listed as a whole; no listing inside." in page
    add_listings(
        stage.engine,
        *(listing(f"192.0.2.{n}") for n in range(3)),
        listing("192.0.2.9", state="held"),
        listing("198.51.100.1"),
    )
    page = browser.get("/client/192.0.2.0/24").text
    assert '<span class="tag">Not listed as a whole</span>' in page
    link = "/listings?q=192.0.2.0/24&amp;state=active"
    assert f'Not listed as a whole; <a href="{link}">3 listings inside</a>.' in page
    assert len(browser.get(link.replace("&amp;", "&").replace("?", ".json?")).json()["listings"]) == 3
    assert browser.get("/client/192.0.2.0/24.json").json()["inside"] == "3"
    assert browser.get("/client/192.0.2.0.json").json()["inside"] is None
    assert '<span class="tag">Not listed</span>' in browser.get("/client/192.0.2.77").text


def test_no_line_breaks_between_a_number_and_its_unit(stage: Stage) -> None:
    add(stage.engine, *viruses(NOW - 60, "192.0.2.1"))
    browser = stage.browser()
    assert "2\N{NO-BREAK SPACE}h, then 4\N{NO-BREAK SPACE}h" in browser.get("/policy").text
    for path in ("/policy", "/client/192.0.2.1"):
        words = re.sub(r"<textarea.*?</textarea>|<svg.*?</svg>|<[^>]*>", "", browser.get(path).text, flags=re.DOTALL)
        assert re.findall(r"\d (?:d|h|min|s)\b", words) == []
    assert "0 of 10 points in the last hour" in browser.get("/client/192.0.2.1").text


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


def test_a_log_whose_clock_is_ahead_is_named(stage: Stage) -> None:
    offend(stage.engine, "192.0.2.1", "a line")
    with stage.engine.begin() as connection:
        state = f"jsonb_build_object('newest', {NOW + 5 * HOUR})"
        connection.exec_driver_sql(f"UPDATE source SET state = {state}, seen = to_timestamp({NOW})")  # noqa: S608
    page = stage.browser().get("/").text
    assert ":/var/log/mail.log is 5\u00a0h ahead</strong>: its newest line" in page


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
    assert "1 point within 1\N{NO-BREAK SPACE}h, 1 lists it" in page
    assert "Its last events, with their lines" in page
    with stage.engine.begin() as connection:
        connection.execute(text("UPDATE event SET detail = ''"))
    assert "Its last events, with their lines" not in stage.browser().get(f"/client/{client}").text
    assert "It was never listed as a whole." in stage.browser().get("/client/192.0.2.0/24").text
