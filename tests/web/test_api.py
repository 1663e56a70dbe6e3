"""What programs are told is what the interface's own document says, and is kept no longer than it is true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

from repzone.store.engine import Engine
from tests.store.samples import NOW
from tests.web.asked import BOTH, ENDED, EXEMPT, MANUAL, NOTHING, OPERATOR, POINTS, SPAM, asking, fill

PATH = "/api/v1/ip/{address}"
STATES = {
    SPAM: "blocked",
    BOTH: "blocked",
    MANUAL: "blocked",
    "2001:db8:1:2::9": "blocked",
    ENDED: "clear",
    POINTS: "clear",
    NOTHING: "clear",
    EXEMPT: "exempt",
    "10.0.0.1": "reserved",
    "2001::1": "reserved",
    "127.0.0.2": "test",
    "::ffff:127.0.0.2": "test",
}


@pytest.fixture
def api(engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    """The interface to a database with some who are blocked."""
    fill(engine)
    with asking(engine, tmp_path) as browser:
        yield browser


@pytest.mark.parametrize("detail", ["status", "reasons", "counts"])
def test_every_answer_is_as_the_document_says(engine: Engine, tmp_path: Path, detail: str) -> None:
    fill(engine)
    with asking(engine, tmp_path, f'public_detail = "{detail}"\n{OPERATOR}') as api:
        document = api.get("/api/v1/openapi.json").json()
        jsonschema_rs.meta.validate(document["paths"][PATH]["get"]["responses"]["200"]["content"]["application/json"]
                                    ["schema"])  # fmt: skip
        answers = document["paths"][PATH]["get"]["responses"]
        for address, state in STATES.items():
            answer = api.get(f"/api/v1/ip/{address}")
            jsonschema_rs.validate(answers["200"]["content"]["application/json"]["schema"], answer.json())
            assert answer.json()["state"] == state, address
            assert answer.json()["listed"] == (state in ("blocked", "test"))
        problem = api.get("/api/v1/ip/nobody")
        assert problem.headers["content-type"] == "application/problem+json"
        jsonschema_rs.validate(answers["404"]["content"]["application/problem+json"]["schema"], problem.json())


def test_the_document_names_what_there_is(api: TestClient) -> None:
    document = api.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, verbs in document["paths"].items():
        kind = next(iter(verbs["get"]["responses"]["200"]["content"]))
        answer = api.get(path.replace("{address}", SPAM))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
    by_accept = api.get(f"/api/v1/ip/{SPAM}", headers={"accept": "text/plain"})
    kinds = document["paths"][PATH]["get"]["responses"]["200"]["content"]
    assert by_accept.headers["content-type"].partition(";")[0] in kinds


def test_a_block_is_told_with_its_end_and_what_the_next_would_cost(api: TestClient) -> None:
    told = api.get(f"/api/v1/ip/{SPAM}").json()
    (listing,) = told["listings"]
    assert told["expires"] == listing["expires"]
    assert datetime.fromisoformat(told["expires"]).timestamp() == NOW + told["left"]
    assert (listing["category"], listing["offence"], listing["zones"]) == ("spam", 2, ["bl.example.net"])
    assert listing["reasons"] == {"spam_rejected": 2, "spam_detected": 1}  # nobody learns which addresses are traps
    assert (listing["threshold"], listing["window"]) == (3, 6 * 3600)
    assert listing["next"]["length"] == 12 * 3600
    assert datetime.fromisoformat(listing["next"]["until"]).timestamp() == NOW - 30 * 86400 + 90 * 86400


def test_who_is_not_blocked_has_no_numbers(api: TestClient) -> None:
    points, nothing = (api.get(f"/api/v1/ip/{address}").json() for address in (POINTS, NOTHING))
    assert {**points, "client": ""} == {**nothing, "client": ""}
    assert nothing["listings"] == []
    assert api.get(f"/api/v1/ip/{ENDED}").json()["ended"]["category"] == "virus"


@pytest.mark.parametrize(("before", "kept"), [(3600, 10), (11, 10), (10, 10), (9, 9), (1, 1)])
def test_no_answer_is_kept_beyond_the_end_of_the_block(engine: Engine, tmp_path: Path, before: int, kept: int) -> None:
    fill(engine)
    with asking(engine, tmp_path, now=NOW + 5 * 3600 - before) as api:
        for suffix in ("", ".txt", ".ics"):
            answer = api.get(f"/api/v1/ip/{SPAM}{suffix}")
            assert answer.headers["cache-control"] == f"private, max-age={kept}"
    with asking(engine, tmp_path, now=NOW + 5 * 3600) as api:
        assert api.get(f"/api/v1/ip/{SPAM}").json()["state"] == "clear"


def test_of_two_blocks_no_answer_is_kept_beyond_the_end_of_the_first(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    with asking(engine, tmp_path, now=NOW + 86) as api:
        answer = api.get(f"/api/v1/ip/{BOTH}")
        assert [listing["left"] for listing in answer.json()["listings"]] == [3600 - 86, 4]
        assert answer.headers["cache-control"] == "private, max-age=4"


def test_text_is_given_to_who_asks_for_it_in_either_way_and_either_language(api: TestClient) -> None:
    by_name = api.get(f"/api/v1/ip/{SPAM}.txt?lang=fr")
    by_header = api.get(f"/api/v1/ip/{SPAM}?lang=fr", headers={"accept": "text/plain"})
    assert by_name.text == by_header.text
    assert {"Accept", "Accept-Language"} <= set(by_header.headers["vary"].split(", "))
    assert by_name.text.startswith("192.0.2.1 est bloquée pour envoi de spam, pour la 2e fois\n")
    assert "<" not in by_name.text
    for address in STATES:
        assert address.removeprefix("::ffff:") in api.get(f"/api/v1/ip/{address}.txt").text


def test_a_reminder_is_for_a_block_alone(api: TestClient) -> None:
    assert "BEGIN:VALARM" in api.get(f"/api/v1/ip/{SPAM}.ics").text
    assert api.get(f"/api/v1/ip/{NOTHING}.ics").status_code == 404


@pytest.mark.parametrize(
    "address", ["", "x", "192.0.2.0/24", "192.0.2", "1.2.3.4.5", "2001:db8::/32", "%00", "a" * 999]
)
def test_what_is_no_address_is_a_problem_of_the_asker(api: TestClient, address: str) -> None:
    answer = api.get(f"/api/v1/ip/{address}")
    assert answer.status_code == 404
    assert answer.json()["status"] == 404
