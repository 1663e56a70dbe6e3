"""Who comes into the console, and what may act in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.config import Settings
from repzone.errors import ConfigError
from repzone.store.engine import Engine
from repzone.web.console.access import COOKIE, LASTS, MOST_WRONG, clean_name
from repzone.web.console.app import build_console, local
from repzone.web.site import build
from tests.store.acts import acts
from tests.store.samples import add_listings, add_policy
from tests.web.console.stage import STRANGER, TOKEN, Stage, listing, look, post, stages

VIEWS = ("/", "/listings", "/held", "/policy", "/audit", "/client/192.0.2.1")


def test_a_stranger_is_sent_to_the_door(stage: Stage) -> None:
    browser = stage.browser("")
    for path in (*VIEWS, "/events", "/policy/what-if/x"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("path", ["/overview.json", "/listings.json", "/client/192.0.2.1.json"])
def test_a_program_without_the_token_is_told_so(stage: Stage, path: str) -> None:
    assert stage.browser("").get(path).status_code == 401
    wrong = {"authorization": "Bearer something else"}
    assert stage.browser("").get(path, headers=wrong).status_code == 401


def test_the_token_itself_lets_programs_read_and_nothing_else(stage: Stage) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    browser = stage.browser("")
    assert browser.get("/listings.json", headers=headers).status_code == 200
    assert browser.get("/listings", headers=headers).status_code == 303
    answer = browser.post("/client/192.0.2.1", headers=headers, data={"act": "ban", "why": "x", "seen": "x"})
    assert answer.status_code == 401
    assert acts(stage.engine) == []


def test_the_token_opens_a_session_that_scripts_and_other_sites_cannot_use(stage: Stage) -> None:
    browser = stage.browser("")
    answer = browser.post("/login", data={"token": TOKEN, "name": "Ada", "next": "/held"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/held")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in (COOKIE, "HttpOnly", "SameSite=strict", f"Max-Age={LASTS}"))
    assert "Secure" not in cookie
    assert "Ada" in browser.get("/held").text
    assert TOKEN not in cookie


def test_a_cookie_is_secure_where_the_browser_speaks_https(stage: Stage) -> None:
    headers = {"x-forwarded-proto": "https"}
    answer = stage.browser("").post("/login", data={"token": TOKEN, "name": "Ada"}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]


def test_a_session_ends_by_itself_and_by_logging_out(stage: Stage) -> None:
    browser = stage.browser("")
    browser.post("/login", data={"token": TOKEN, "name": "Ada"})
    assert browser.get("/held").status_code == 200
    assert post(browser, "/logout", {}).status_code == 303
    assert browser.get("/held").status_code == 303
    browser.post("/login", data={"token": TOKEN, "name": "Ada"})
    stage.now += LASTS
    assert browser.get("/held").status_code == 303


def test_logging_out_makes_the_old_cookie_worthless(stage: Stage) -> None:
    browser = stage.browser("")
    browser.post("/login", data={"token": TOKEN, "name": "Ada"})
    kept = browser.cookies[COOKIE]
    post(browser, "/logout", {})
    assert stage.browser("").get("/held", headers={"cookie": f"{COOKIE}={kept}"}).status_code == 303


def test_after_too_many_wrong_tokens_the_right_one_has_to_wait_too(stage: Stage) -> None:
    browser = stage.browser("")
    for _ in range(MOST_WRONG):
        assert browser.post("/login", data={"token": "wrong", "name": "Eve"}).status_code == 403
    answer = browser.post("/login", data={"token": TOKEN, "name": "Eve"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    other = stage.browser("", STRANGER)
    assert other.post("/login", data={"token": TOKEN, "name": "Ada"}).status_code == 303
    stage.now += 60
    assert browser.post("/login", data={"token": TOKEN, "name": "Ada"}).status_code == 303


def test_only_a_trusted_proxy_says_who_it_is(stage: Stage) -> None:
    assert "ada" in stage.browser().get("/held").text
    assert stage.browser("ada", STRANGER).get("/held").status_code == 303
    twice = stage.browser("").get("/held", headers=[("x-remote-user", "eve"), ("x-remote-user", "ada")])
    assert twice.status_code == 303


def test_without_the_header_configured_nobody_says_who_it_is(engine: Engine, tmp_path: Path) -> None:
    add_policy(engine)
    with stages(engine, tmp_path, console_user_header=None) as stage:
        assert stage.browser().get("/held").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_site_does_nothing(stage: Stage, headers: dict[str, str]) -> None:
    browser = stage.browser()
    token = browser.get("/policy").text.split('name="csrf" value="')[1].split('"')[0]
    act = {"act": "ban", "why": "x"}
    form = {"csrf": token, **act, "seen": look(browser, "/client/192.0.2.1", act)}
    assert browser.post("/client/192.0.2.1", data=form, headers=headers).status_code == 403
    assert acts(stage.engine) == []


@pytest.mark.parametrize("path", ["/client/192.0.2.1", "/held", "/policy/what-if", "/logout"])
def test_a_form_without_its_token_or_with_anothers_does_nothing(stage: Stage, path: str) -> None:
    browser, act = stage.browser(), {"act": "ban", "why": "x"}
    form = {**act, "seen": look(browser, "/client/192.0.2.1", act)}
    assert browser.post(path, data=form).status_code == 403
    other = stage.browser("bob").get("/policy").text.split('name="csrf" value="')[1].split('"')[0]
    assert browser.post(path, data={**form, "csrf": other}).status_code == 403
    assert acts(stage.engine) == []


def test_reading_never_acts(stage: Stage) -> None:
    add_listings(stage.engine, listing("192.0.2.1"), listing("192.0.2.2", state="held"))
    browser = stage.browser()
    token = browser.get("/policy").text.split('name="csrf" value="')[1].split('"')[0]
    seen = look(browser, "/client/192.0.2.1", {"act": "release", "why": "x"})
    words = f"csrf={token}&act=release&why=x&seen={seen}"
    for path in (*VIEWS, "/policy/what-if/x", "/logout"):
        browser.get(f"{path}?{words}")
        browser.head(f"{path}?{words}")
    assert acts(stage.engine) == []
    assert browser.get("/listings.json").json()["found"] == "2"


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/listings?state=held", "/listings?state=held"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/%2fevil.example", "/"),
        ("/%0d%0aset-cookie:x", "/"),
        ("/login", "/"),
        ("", "/"),
    ],
)
def test_the_door_leads_to_our_own_pages_only(target: str, wanted: str) -> None:
    assert local(target) == wanted


@pytest.mark.parametrize("path", ["/held/", "/login/", "/static/console.css/"])
def test_no_answer_leads_to_where_the_visitor_says_we_are(stage: Stage, path: str) -> None:
    answer = stage.browser().get(path, headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_name_is_one_line_of_what_can_be_seen() -> None:
    assert clean_name(" Ada\r\n\x1b[31m\u202e Lovelace ") == "Ada[31m Lovelace"
    assert len(clean_name("x" * 500)) == 64


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, "console_token_file"),
        ({"console_user_header": "X-User", "trusted_proxies": ()}, "trusted_proxies"),
        ({"console_token": "short"}, "24"),
    ],
)
def test_a_console_that_anybody_could_enter_is_refused(tmp_path: Path, keys: dict[str, object], wanted: str) -> None:
    settings = Settings(state_dir=tmp_path, console_listen=("127.0.0.1:0",), **keys)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=wanted):
        build_console(settings, lambda: None, lambda: build(settings), lambda: 0)


def test_the_token_may_stand_in_a_file(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    add_policy(engine)
    with stages(engine, tmp_path, console_token=None, console_token_file=tmp_path / "token") as stage:
        assert stage.browser("").post("/login", data={"token": TOKEN, "name": "Ada"}).status_code == 303
