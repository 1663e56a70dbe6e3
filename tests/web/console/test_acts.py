"""Acts from a client's page and from what is held: previewed, done as the commands do, audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from repzone.cli.main import app as commands
from repzone.jobs import calculate
from repzone.model import Client, Exemption
from repzone.store.acts import load_acts
from repzone.store.engine import Engine
from repzone.store.manual import unban
from tests.store.acts import add, viruses
from tests.store.samples import HOUR, NOW, add_exemptions, add_listings
from tests.web.console.stage import Stage, confirm, listing, look, post

C = Client.from_text
CLIENT = "/client/192.0.2.1"


def states(engine: Engine) -> dict[str, str]:
    """Give the state of every listing, by client and category."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT host(key) || ' ' || category, state::text FROM listing").all()
    return {name: state for name, state in rows}


def everything(engine: Engine) -> list[object]:
    """Give all rows that an act could change."""
    with engine.connect() as connection:
        return [
            connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").all()  # noqa: S608 - our own words
            for table in ("listing", "act", "listing_change", "exemption", "pending", "change_serial")
        ]


@pytest.mark.parametrize("verb", ["release", "mistake", "ban", "exempt", "publish", "drop"])
def test_a_preview_tells_and_changes_nothing(stage: Stage, verb: str) -> None:
    add_listings(stage.engine, listing("192.0.2.1"), listing("192.0.2.1", "auth", state="held"))
    before = everything(stage.engine)
    answer = post(stage.browser(), CLIENT, {"act": verb, "why": "because"})
    assert answer.status_code == 200
    assert "Nothing is changed yet" in answer.text
    assert "because" in answer.text
    assert everything(stage.engine) == before


@pytest.mark.parametrize(
    ("verb", "command", "spam", "auth"),
    [
        ("release", "unban", "released", "released"),
        ("mistake", "unban", "reversed", "reversed"),
        ("exempt", "allow add", "reversed", "reversed"),
        ("publish", "held release", "active", "active"),
        ("drop", "held drop", "active", "dropped"),
        ("ban", "ban", "active", "held"),
    ],
)
def test_the_second_post_does_it_and_the_audit_knows_who_and_why(
    stage: Stage, verb: str, command: str, spam: str, auth: str
) -> None:
    add_listings(stage.engine, listing("192.0.2.1"), listing("192.0.2.1", "auth", state="held"), listing("192.0.2.2"))
    browser = stage.browser("Ada Lovelace")
    answer = confirm(browser, CLIENT, {"act": verb, "why": " our own\r\n customer "})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{CLIENT}?done={verb}")
    found = states(stage.engine)
    assert (found["192.0.2.1 spam"], found["192.0.2.1 auth"], found["192.0.2.2 spam"]) == (spam, auth, "active")
    with stage.engine.connect() as connection:
        (done,) = load_acts(connection)
    assert (done.author, done.verb, done.subject, done.reason, done.at) == (
        *("Ada Lovelace", command, "192.0.2.1", "our own customer", NOW),
    )
    assert browser.get("/audit.json").json()[0]["verb"] == command


def test_a_false_positive_makes_the_next_one_shorter_and_the_preview_says_by_how_much(stage: Stage) -> None:
    before = [
        listing("192.0.2.1", offence=n, began=NOW - n * 10 * HOUR, expires=NOW - n * 10 * HOUR + 1) for n in (2, 3)
    ]
    add_listings(stage.engine, *before, listing("192.0.2.1", offence=3), points=3)
    page = post(stage.browser(), CLIENT, {"act": "mistake", "why": "x"}).text
    said = "The next listing would be for 12 h, not 24 h: the 3rd time, not the 4th."
    assert said in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "The next listing" not in post(stage.browser(), CLIENT, {"act": "release", "why": "x"}).text


def test_a_ban_lasts_as_long_as_is_said_and_ends_by_itself(stage: Stage) -> None:
    browser = stage.browser()
    confirm(browser, CLIENT, {"act": "ban", "why": "floods us", "for": "4h"})
    (listed,) = browser.get(f"{CLIENT}.json").json()["listed"]
    assert (listed["category"], listed["expires"]) == ("manual", "2026-09-21T18:13:20Z")
    stage.now += 4 * HOUR
    assert browser.get(f"{CLIENT}.json").json()["listed"] == []


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"act": "ban", "why": ""}, "say why"),
        ({"act": "ban", "why": "x" * 501}, "500"),
        ({"act": "ban", "why": "x", "for": "400d"}, "365d"),
        ({"act": "ban", "why": "x", "for": "0s"}, "365d"),
        ({"act": "ban", "why": "x", "for": "4"}, "4h"),
        ({"act": "nothing", "why": "x"}, "choose"),
        ({"act": "release", "why": "x"}, "no listing"),
        ({"act": "publish", "why": "x"}, "no listing"),
    ],
)
def test_what_cannot_be_done_is_said_beside_the_form(stage: Stage, form: dict[str, str], wanted: str) -> None:
    before = everything(stage.engine)
    for seen in ({}, {"seen": "x"}):
        answer = post(stage.browser(), CLIENT, {**form, **seen})
        assert answer.status_code == 422
        assert wanted in answer.text
    assert everything(stage.engine) == before


@pytest.mark.parametrize(
    ("network", "address", "size"),
    [("192.0.2.0/24", "192.0.2.9", "256 addresses"), ("2001:db8::/48", "2001:db8::9", "65,536 networks")],
)
def test_a_network_is_banned_and_exempted_only_when_all_of_it_is_meant(
    stage: Stage, network: str, address: str, size: str
) -> None:
    browser, path = stage.browser(), f"/client/{network}"
    for verb, key in (("ban", "listed"), ("exempt", "exempt"), ("unexempt", "listed")):
        form = {"act": verb, "why": "snowshoe"}
        assert (f"It is for {size}" in post(browser, path, form).text) == (verb != "unexempt")
        if verb != "unexempt":
            assert "Say that you mean all of them." in confirm(browser, path, form).text
            assert not browser.get(f"/client/{address}.json").json()[key]
        assert confirm(browser, path, {**form, "whole": "1"}).status_code == 303
        assert bool(browser.get(f"/client/{address}.json").json()[key]) == (verb != "unexempt")
    with stage.engine.connect() as connection:
        found = [(one.verb, one.subject) for one in load_acts(connection)]
    assert found == [("allow remove", network), ("allow add", network), ("ban", network)]


@pytest.mark.parametrize("network", ["192.0.0.0/15", "2001:db8::/31"])
@pytest.mark.parametrize("verb", ["ban", "exempt"])
def test_what_is_too_wide_is_refused(stage: Stage, network: str, verb: str) -> None:
    answer = post(stage.browser(), f"/client/{network}", {"act": verb, "why": "x", "whole": "1"})
    assert answer.status_code == 422
    assert "too wide" in answer.text
    assert ("repzone allow add" in answer.text) == (verb == "exempt")


def test_a_preview_of_a_network_tells_what_is_inside(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"), listing("192.0.2.2"), listing("192.0.2.3", "auth", state="held"))
    page = post(stage.browser(), "/client/192.0.2.0/24", {"act": "exempt", "why": "x"}).text
    assert "2 listings inside it end now" in page
    assert "1 listing inside it ends now" in page
    add_exemptions(stage.engine, Exemption(C("192.0.2.64/26"), 0))
    page = post(stage.browser(), "/client/192.0.2.0/24", {"act": "ban", "why": "x"}).text
    assert "Exempt inside it, and not listed: <a" in page
    assert "192.0.2.64/26</a>" in page


def test_an_exemption_lifts_all_that_is_inside_however_much_that_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_listings(stage.engine, *(listing(f"192.0.2.{n}") for n in range(1, 6)), listing("192.0.3.1"))
    monkeypatch.setattr("repzone.store.exemptions.STEP", 2)
    browser, form = stage.browser(), {"act": "exempt", "why": "x", "whole": "1"}
    assert "5 listings inside it end now." in post(browser, "/client/192.0.2.0/24", form).text
    assert confirm(browser, "/client/192.0.2.0/24", form).status_code == 303
    assert list(states(stage.engine).values()).count("reversed") == 5
    (done,) = browser.get("/audit.json").json()
    assert done["details"]["lifted"] == 5


def test_what_is_listed_as_part_of_a_network_is_ended_there(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.0/24", "manual"))
    browser = stage.browser()
    page = browser.get("/client/192.0.2.9").text
    assert 'value="release"' not in page
    assert 'ended there: <a class="ip" href="/client/192.0.2.0/24">' in page
    assert 'value="release"' in browser.get("/client/192.0.2.0/24").text
    assert confirm(browser, "/client/192.0.2.0/24", {"act": "release", "why": "x"}).status_code == 303
    assert browser.get("/client/192.0.2.9.json").json()["listed"] == []


def test_what_came_between_preview_and_confirmation_is_shown_before_anything_is_done(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    browser, form = stage.browser(), {"act": "release", "why": "x"}
    seen = look(browser, CLIENT, form)
    add_listings(stage.engine, listing("192.0.2.1", "auth"))
    before = everything(stage.engine)
    answer = post(browser, CLIENT, {**form, "seen": seen})
    assert answer.status_code == 422
    assert "Since you looked, this has changed" in answer.text
    assert everything(stage.engine) == before
    assert confirm(browser, CLIENT, form).status_code == 303


@pytest.mark.parametrize("verb", ["release", "ban", "exempt"])
def test_what_is_sent_twice_is_done_once(stage: Stage, verb: str) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    browser, form = stage.browser(), {"act": verb, "why": "x"}
    seen = look(browser, CLIENT, form)
    answers = [post(browser, CLIENT, {**form, "seen": seen}).status_code for _ in range(2)]
    assert answers == [303, 422]
    with stage.engine.connect() as connection:
        assert len(load_acts(connection)) == 1


def test_when_the_database_goes_away_in_the_middle_nothing_is_half_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    browser, form = stage.browser(), {"act": "release", "why": "x"}
    seen, before = look(browser, CLIENT, form), everything(stage.engine)

    def cut(connection: sa.Connection, *arguments: Any, **more: Any) -> Any:
        unban(connection, *arguments, **more)
        own = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with stage.engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:own)"), {"own": own})
        connection.execute(sa.text("SELECT 1"))

    with monkeypatch.context() as patch:
        patch.setattr("repzone.web.console.deed.unban", cut)
        answer = post(browser, CLIENT, {**form, "seen": seen})
    assert answer.status_code == 503
    assert "the database does not answer" in answer.text
    assert "The audit will say whether it was done." in answer.text
    assert everything(stage.engine) == before
    assert post(browser, CLIENT, {**form, "seen": seen}).status_code == 303


def test_an_ipv6_address_is_banned_as_its_network(stage: Stage) -> None:
    browser = stage.browser()
    confirm(browser, "/client/2001:db8::1", {"act": "ban", "why": "x"})
    (listed,) = browser.get("/client/2001:db8::2.json").json()["listed"]
    assert listed["category"] == "manual"


def test_who_is_exempt_is_not_banned(stage: Stage) -> None:
    browser = stage.browser()
    confirm(browser, CLIENT, {"act": "exempt", "why": "a partner"})
    answer = confirm(browser, CLIENT, {"act": "ban", "why": "x"})
    assert answer.status_code == 422
    assert "a partner" in answer.text
    assert browser.get(f"{CLIENT}.json").json()["exempt"]


def test_what_is_done_here_is_what_the_command_does(stage: Stage, migrated_url: str, tmp_path: Path) -> None:
    config = tmp_path / "repzone.toml"
    config.write_text(f'database_url = "{migrated_url}"\nstate_dir = "state"\n')
    add_listings(stage.engine, listing("192.0.2.1"), listing("192.0.2.2"))
    confirm(stage.browser(), CLIENT, {"act": "mistake", "why": "x"})
    with stage.engine.begin() as connection:  # the command goes by the wall clock
        connection.exec_driver_sql("UPDATE listing SET expires = now() + interval '1 h' WHERE key = '192.0.2.2'")
    CliRunner().invoke(commands, ["unban", "192.0.2.2", "--false-positive", "--because", "x", "-c", str(config)])
    with stage.engine.connect() as connection:
        command, here = load_acts(connection)
    assert (here.verb, here.reason, here.details) == (command.verb, command.reason, command.details)
    assert states(stage.engine) == {"192.0.2.1 spam": "reversed", "192.0.2.2 spam": "reversed"}


def test_offences_after_a_release_count_again(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1", "virus"))
    confirm(stage.browser(), CLIENT, {"act": "release", "why": "x"})
    add(stage.engine, *viruses(NOW + 5, "192.0.2.1"), now=NOW + 10)
    calculate.run(stage.engine, lambda: NOW + 10)
    stage.now += 10
    assert [one["category"] for one in stage.browser().get(f"{CLIENT}.json").json()["listed"]] == ["virus"]


def hold(stage: Stage) -> None:
    add_listings(
        stage.engine,
        *(listing(f"192.0.2.{n}", state="held") for n in (1, 2, 3)),
        listing("192.0.2.4", "auth", state="held"),
        listing("192.0.2.5", state="held", expires=NOW - 1),
        listing("192.0.2.6"),
    )


@pytest.mark.parametrize("verb", ["all-release", "all-drop", "some-release", "some-drop"])
def test_a_preview_of_what_is_held_changes_nothing(stage: Stage, verb: str) -> None:
    hold(stage)
    before = everything(stage.engine)
    answer = post(stage.browser(), "/held", {"act": verb, "why": "x", "key": ["192.0.2.1", "192.0.2.5"]})
    assert answer.status_code == 200
    assert "Nothing is changed yet" in answer.text
    assert ("1 of them have ended" in answer.text) == verb.endswith("release")
    assert everything(stage.engine) == before


@pytest.mark.parametrize(
    ("form", "subject", "wanted"),
    [
        ({"act": "all-release"}, "all", "active active active active expired"),
        ({"act": "all-release", "category": "spam"}, "all of spam", "active active active held expired"),
        ({"act": "all-drop", "category": "auth"}, "all of auth", "held held held dropped held"),
        (
            {"act": "some-drop", "key": ["192.0.2.3", "192.0.2.1"]},
            "192.0.2.1, 192.0.2.3",
            "dropped held dropped held held",
        ),
    ],
)
def test_what_is_held_is_decided_in_bulk(stage: Stage, form: dict[str, str], subject: str, wanted: str) -> None:
    hold(stage)
    answer = confirm(stage.browser(), "/held", {**form, "why": "a real wave"})
    assert answer.status_code == 303
    found = states(stage.engine)
    keys = ("192.0.2.1 spam", "192.0.2.2 spam", "192.0.2.3 spam", "192.0.2.4 auth", "192.0.2.5 spam")
    assert " ".join(found[key] for key in keys) == wanted
    with stage.engine.connect() as connection:
        (done,) = load_acts(connection)
    assert (done.author, done.subject, done.reason) == ("ada", subject, "a real wave")


@pytest.mark.parametrize(
    "form", [{"act": "some-drop", "why": "x"}, {"act": "all-drop", "why": ""}, {"act": "", "why": "x"}]
)
def test_a_decision_on_nothing_or_without_a_reason_is_refused(stage: Stage, form: dict[str, str]) -> None:
    hold(stage)
    before = everything(stage.engine)
    assert confirm(stage.browser(), "/held", {**form}).status_code == 422
    assert everything(stage.engine) == before


def test_what_came_to_be_held_after_the_preview_is_not_decided_with_it(stage: Stage) -> None:
    hold(stage)
    browser, form = stage.browser(), {"act": "all-release", "why": "x"}
    seen = look(browser, "/held", form)
    add_listings(stage.engine, listing("192.0.2.9", state="held"))
    before = everything(stage.engine)
    answer = post(browser, "/held", {**form, "seen": seen})
    assert "other listings are held" in answer.text
    assert "Release 6 listings?" in answer.text
    assert everything(stage.engine) == before
    assert confirm(browser, "/held", form).status_code == 303
    again = post(browser, "/held", {**form, "seen": seen})
    assert (again.status_code, "held any more" in again.text) == (422, True)


def test_the_numbers_of_what_is_held_are_right_however_many_are_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(stage)
    monkeypatch.setattr("repzone.web.console.held.SHOWN", 2)
    page = stage.browser().get("/held").text
    assert page.count('type="checkbox"') == 2
    assert 'any category <span class="count">5</span>' in page
    assert 'spam <span class="count">4</span>' in page
    assert "decided by the filter" in page
