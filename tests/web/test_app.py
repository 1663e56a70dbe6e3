"""What the page says to whom, and what it never says."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from repzone.model import Client
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Connection, Engine
from repzone.store.sender import Sender, load_sender
from repzone.web.http import HEADERS
from tests.store.samples import NOW
from tests.web.asked import BOTH, ENDED, EXEMPT, HOSTILE, MANUAL, NOTHING, OPERATOR, POINTS, SPAM, asking, fill

REPLY = f"554 5.7.1 Service unavailable; Client host [{SPAM}] blocked using {{zone}}; Too many spams from your IP"
EVERY = (SPAM, BOTH, MANUAL, ENDED, EXEMPT, POINTS, NOTHING, "2001:db8:1:2::9", "10.0.0.1", "127.0.0.2")
BUDGET = 10_240


@pytest.fixture
def page(engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """The page of a database with some who are blocked."""
    fill(engine)
    with asking(engine, tmp_path) as browser:
        yield browser


def words(page: TestClient, ip: str, lang: str = "en") -> str:
    """Give what a page says, without its tags and with single blanks."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", page.get("/", params={"ip": ip, "lang": lang}).text)).split())


@pytest.mark.parametrize(
    ("ip", "lang", "said"),
    [
        (SPAM, "en", "192.0.2.1 is blocked for sending spam, for the 2nd time"),
        (SPAM, "en", "5 h left"),
        (SPAM, "en", "Message found to be spam 1 1"),
        (SPAM, "en", "the next block lasts 12 h, then 24 h."),
        (SPAM, "fr", "192.0.2.1 est bloquée pour envoi de spam, pour la 2e fois"),
        (BOTH, "en", "Errors: until"),
        (BOTH, "en", "Failed logins: until"),
        (MANUAL, "en", "192.0.2.3 is blocked by the operator"),
        (ENDED, "en", "192.0.2.4 is not blocked by us"),
        (ENDED, "en", "Send rejected messages again; they do not return by themselves."),
        (ENDED, "fr", "n’est pas bloquée"),
        (EXEMPT, "en", "The operator has exempted it"),
        ("2001:db8:1:2::9", "en", "It is blocked as part of the network 2001:db8:1:2::/64."),
        ("10.0.0.1", "en", "10.0.0.1 is never blocked"),
        ("127.0.0.2", "en", "127.0.0.2 is a test entry"),
        ("", "en", "Is your mail server blocked?"),
        (SPAM, "en", "If it happens again before Friday 20 November at 14:13 UTC, the next block"),
        (EXEMPT, "en", "Still refused?"),
        ("", "en", "mailbox of ours, write to https://www.example.net/abuse , with all headers"),
        (NOTHING, "en", "If our server remembers its refusal, it may take up to 5 min."),
        ("", "en", "Addresses and networks blocked now: IPv4 3, IPv6 1."),
    ],
)
def test_the_page_says_how_it_stands(page: TestClient, ip: str, lang: str, said: str) -> None:
    assert said in words(page, ip, lang)


def test_who_is_not_blocked_does_not_learn_of_points(page: TestClient) -> None:
    assert words(page, POINTS).replace(POINTS, "") == words(page, NOTHING).replace(NOTHING, "")


@pytest.mark.parametrize(
    ("detail", "told", "untold"),
    [("status", "does not tell", "Message refused as spam 2"), ("reasons", "Message refused as spam", "Limit: 3")],
)
def test_an_operator_chooses_what_is_told(engine: Engine, tmp_path: Path, detail: str, told: str, untold: str) -> None:
    fill(engine)
    with asking(engine, tmp_path, f'public_detail = "{detail}"\n{OPERATOR}') as page:
        said = words(page, SPAM)
        assert told in said
        assert untold not in said
        assert not re.search(r"\d points", said)
        text, fields = (page.get(f"/api/v1/ip/{SPAM}{form}") for form in (".txt", ""))
        assert not re.search(r"× \d|\d points?", text.text)
        assert ("Message refused as spam" in text.text) == (detail == "reasons")
        (listing,) = fields.json()["listings"]
        assert listing.get("reasons") == (["spam_detected", "spam_rejected"] if detail == "reasons" else None)
        assert "threshold" not in listing


def test_neither_log_lines_nor_operators_words_nor_traps_come_out(page: TestClient) -> None:
    for ip in EVERY:
        for path in (f"/?ip={ip}", f"/?ip={ip}&lang=fr", f"/api/v1/ip/{ip}", f"/api/v1/ip/{ip}.txt"):
            text = page.get(path).text
            for secret in ("alert(", "victim", "ada", "spamtrap", "amavis", "onerror"):
                assert secret not in text, (path, secret)


def test_hostile_words_of_a_visitor_stay_words(page: TestClient) -> None:
    for path in ("/", "/?lang=fr"):
        for answer in (page.get(path, params={"ip": HOSTILE}), page.post(path, data={"ip": HOSTILE})):
            assert answer.status_code == 400
            assert "<script>alert" not in answer.text
            assert "<img" not in answer.text
            assert "&lt;script&gt;" in answer.text
    assert HOSTILE not in page.get("/", params={"ip": NOTHING, "zone": HOSTILE}).text
    assert "alert" not in page.get("/", params={"ip": NOTHING, "zone": HOSTILE}).text


def test_the_operators_own_words_are_words_and_no_markup(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    more = f"[operator]\nname = '''{HOSTILE}'''\n[operator.paragraphs]\nen = ['''{HOSTILE}''']\n"
    with asking(engine, tmp_path, more) as page:
        text = page.get("/").text
        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;") >= 3


def test_what_is_pasted_leads_to_its_address_and_to_nothing_else_of_it(page: TestClient) -> None:
    answer = page.post("/?lang=fr", data={"ip": REPLY.format(zone="bl.example.net")})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/?ip={SPAM}&zone=bl.example.net&lang=fr"
    unclear = page.post("/", data={"ip": "secret 198.51.100.1 and 198.51.100.2"})
    assert unclear.status_code == 400
    links = re.findall('href="([^"]*)"', unclear.text)
    assert {"/?ip=198.51.100.1&amp;lang=en", "/?ip=198.51.100.2&amp;lang=en"} <= set(links)
    assert not [link for link in links if "secret" in link]


def test_what_cannot_be_seen_is_not_shown_again(page: TestClient) -> None:
    answer = page.get("/", params={"ip": "a\x00b\u202ec\u200bd\x1b[0m"})
    assert answer.status_code == 400
    assert 'value="a b c d [0m"' in answer.text


def test_a_rejection_by_somebody_elses_list_is_named_as_such(page: TestClient) -> None:
    answer = page.post("/", data={"ip": REPLY.format(zone="zen.example.org").replace(SPAM, NOTHING)})
    assert "names the list zen.example.org, which is not ours" in page.get(answer.headers["location"]).text
    answer = page.post("/", data={"ip": REPLY.format(zone="zen.example.org")})
    said = page.get(answer.headers["location"]).text
    assert "names another list, zen.example.org, which is not ours: that block does not end with this one" in said
    for ours in ("", "&zone=bl.example.net", "&zone=BL.example.NET", "&zone=wl.example.net"):
        for client in (NOTHING, SPAM):
            assert "which is not ours" not in page.get(f"/?ip={client}{ours}").text


def test_who_was_blocked_by_mistake_reads_so_in_every_form(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(connection: Connection, client: Client, now: int) -> Sender:
        known = load_sender(connection, client, now)
        return replace(known, ended=tuple(replace(one, state="reversed") for one in known.ended))

    assert page.get(f"/api/v1/ip/{ENDED}").json()["ended"]["false_positive"] is False
    monkeypatch.setattr("repzone.web.knowledge.load_sender", load)
    for said in (words(page, ENDED), page.get(f"/api/v1/ip/{ENDED}.txt").text):
        assert "It was blocked by mistake until Sunday 20 September at 14:13 UTC" in said
        assert "That does not count. Send rejected messages again; they do not return by themselves." in said
    assert "par erreur" in words(page, ENDED, "fr")
    assert "Not blocked since" not in words(page, ENDED)
    assert page.get(f"/api/v1/ip/{ENDED}").json()["ended"]["false_positive"] is True


def test_a_flood_is_refused_and_no_fault_of_ours(page: TestClient) -> None:
    assert page.post("/", content=b"ip=" + b"x" * 70_000).status_code == 413
    assert page.post("/", content=b"&".join([b"ip=192.0.2.1"] * 30)).status_code == 400
    assert page.post("/", content=b"\xff\x00%zz=%").status_code == 400


def test_points_are_those_of_the_policy_that_judged(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    heavier = SHIPPED.replace("[weights]\n", "[weights]\nunknown_recipient = 9\n")
    (tmp_path / "policy.toml").write_text(heavier)
    with asking(engine, tmp_path, f'policy_file = "policy.toml"\n{OPERATOR}') as page:
        said = words(page, BOTH)
        assert "Unknown recipient 10 10" in said
        assert "Unknown recipient (9 points)" in said


def test_a_visitor_may_ask_thirty_times_a_minute_and_the_next_may_too(page: TestClient) -> None:
    for _ in range(30):
        assert page.get(f"/?ip={NOTHING}").status_code == 200
    page_answer, api_answer = page.get(f"/?ip={NOTHING}"), page.get(f"/api/v1/ip/{NOTHING}")
    for answer in (page_answer, api_answer, page.get(f"/?ip={NOTHING}", headers={"x-forwarded-for": "198.51.100.7"})):
        assert answer.status_code == 429  # what a stranger says of himself is not believed
        assert 0 < int(answer.headers["retry-after"]) <= 60
    wait = page_answer.headers["retry-after"]
    assert '<h1 id="v">You have asked too often</h1>' in page_answer.text
    assert f"You can ask again in {wait}\N{NO-BREAK SPACE}s." in page_answer.text or wait == "60"
    assert page.get("/").status_code == 200


def test_behind_a_trusted_proxy_each_visitor_has_his_own_count(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    with asking(engine, tmp_path, asker=("127.0.0.1", 1)) as page:
        for n in range(40):
            forged = {"x-forwarded-for": f"198.51.100.{n}, 203.0.113.1"}
            assert page.get(f"/?ip={NOTHING}", headers=forged).status_code == (200 if n < 30 else 429)
        other = {"x-forwarded-for": "203.0.113.2"}
        assert page.get(f"/?ip={NOTHING}", headers=other).status_code == 200


def test_every_answer_has_the_headers_that_keep_browsers_safe(page: TestClient) -> None:
    for path in ("/", f"/?ip={SPAM}", "/static/page.css", "/static/none", "/none", "/api/v1/ip/x", "/robots.txt"):
        for answer in (page.get(path), page.head(path)):
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert page.get(f"/?ip={SPAM}").headers["cache-control"] == "private, no-store"


def test_our_own_fault_is_answered_as_safely(tmp_path: Path) -> None:
    with asking(None, tmp_path) as page:
        page.app._app.router.routes[0].app = _fail  # type: ignore[attr-defined]
        answer = page.get("/")
        assert answer.status_code == 500
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def _fail(*_: object) -> None:
    raise ZeroDivisionError


def test_head_says_what_get_says_and_nothing_else_acts(page: TestClient) -> None:
    for path in ("/?", f"/?ip={SPAM}", f"/api/v1/ip/{SPAM}", f"/api/v1/ip/{SPAM}.ics"):
        head, get = page.head(path), page.get(path)
        assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
        assert not head.content
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            refused = page.request(method, path)
            assert refused.status_code == 405
            assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", *(["POST"] if path[1] == "?" else [])}


def test_the_language_is_the_readers_and_a_link_keeps_it(page: TestClient) -> None:
    french = page.get("/", headers={"accept-language": "de, fr-CA;q=0.8, en;q=0.5"})
    assert french.headers["content-language"] == "fr"
    assert "Accept-Language" in french.headers["vary"]
    assert 'lang="fr"' in french.text
    chosen = page.get(f"/?ip={SPAM}&lang=en", headers={"accept-language": "fr"}).text
    assert f'href="/?ip={SPAM}&amp;lang=fr"' in chosen
    assert 'action="/?lang=en"' in chosen


def test_files_are_kept_by_their_digest_and_asked_for_anew_without(page: TestClient) -> None:
    text = page.get("/").text
    for path in re.findall('(?:href|src)="(/static/[^"]*)"', text):
        assert "immutable" in page.get(path).headers["cache-control"]
        assert page.get(path.partition("?")[0]).headers["cache-control"] == "no-cache"
    assert len(re.findall("<(?:link|script|img)[^>]*(?:https?:)?//", text)) == 0


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_a_page_with_all_that_it_needs_is_small(page: TestClient, lang: str) -> None:
    for ip in ("", SPAM, BOTH):
        whole = page.get("/", params={"ip": ip, "lang": lang}, headers={"accept-encoding": "gzip"})
        assert whole.headers["content-encoding"] == "gzip"
        files = re.findall('(?:href|src)="(/static/[^"]*)"', whole.text)
        sizes = [len(gzip.compress(octets.encode())) for octets in (whole.text, *(page.get(f).text for f in files))]
        assert sum(sizes) <= BUDGET, sizes


def test_everything_that_a_page_links_to_is_there(page: TestClient) -> None:
    text = page.get("/", params={"ip": SPAM}).text
    for link in {unescape(link) for link in re.findall('(?:href|src|action)="(/[^"]*)"', text)}:
        assert page.get(link).status_code == 200, link
    for anchor in re.findall('href="#([^"]*)"', text):
        assert f'id="{anchor}"' in text


def test_no_two_elements_of_a_page_have_one_name(page: TestClient) -> None:
    for ip in EVERY:
        names = re.findall(' id="([^"]*)"', page.get("/", params={"ip": ip}).text)
        assert len(names) == len(set(names))


def test_without_database_and_snapshot_nobody_is_told_that_he_is_not_blocked(tmp_path: Path) -> None:
    with asking(None, tmp_path, now=NOW) as page:
        answer = page.get(f"/?ip={NOTHING}")
        assert answer.status_code == 503
        assert "We cannot say at the moment" in answer.text
        assert "not blocked" not in answer.text
        told = page.get(f"/api/v1/ip/{NOTHING}")
        assert told.status_code == 503
        assert answer.headers["retry-after"] == told.headers["retry-after"] == "60"


@pytest.mark.parametrize("path", ["/robots.txt/", "/healthz/", "/static/page.css/", "/api/v1/openapi.json/"])
def test_no_answer_leads_to_where_the_visitor_says_we_are(page: TestClient, path: str) -> None:
    answer = page.get(path, headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in answer.text + str(answer.headers)
