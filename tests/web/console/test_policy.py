"""The policy in words, its versions, and what another one would have changed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from repzone.jobs import calculate, simulate
from repzone.model import Client, Event
from repzone.policy.rules import INITIAL, parse
from repzone.web.console import whatif
from tests.store.acts import add
from tests.store.samples import DAY, NOW, add_policy
from tests.web.console.stage import Stage, post

C = Client.from_text


def wait(browser: TestClient, path: str) -> dict[str, Any]:
    """Give what came of a simulation, as its page has it once it is through."""
    end = time.monotonic() + 60
    while True:
        found: dict[str, Any] = browser.get(f"{path}.json").json()
        if not found["running"]:
            return found
        assert time.monotonic() < end
        time.sleep(0.05)


def fill(stage: Stage) -> None:
    for n in range(1, 6):
        add(stage.engine, *(Event(NOW - 9000 + 60 * at, C(f"192.0.2.{n}"), "spam_rejected") for at in range(n)))
    calculate.run(stage.engine, lambda: NOW)


def test_the_rules_are_told_in_words_with_their_versions(stage: Stage) -> None:
    add_policy(stage.engine, INITIAL.replace("threshold = 3", "threshold = 4"), NOW - DAY)
    page = stage.browser().get("/policy").text
    said = "4 points within 6 h list a client, the first time for 3 h, then 6 h, then 12 h, then 24 h."
    assert said in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "categories.spam.threshold" in page
    found = stage.browser().get("/policy.json").json()
    assert [one["id"] for one in found["versions"]] == [2, 1]
    assert found["versions"][0]["changed"] == [{"key": "categories.spam.threshold", "old": "3", "new": "4"}]


def test_what_if_says_what_simulate_says_and_changes_nothing(stage: Stage) -> None:
    fill(stage)
    text = "[categories.spam]\nthreshold = 5\n"
    with stage.browser() as browser:
        answer = post(browser, "/policy/what-if", {"policy": text, "since": "1d"})
        assert answer.status_code == 303
        path = answer.headers["location"]
        found = wait(browser, path)
        page = browser.get(path).text
    expected = simulate.run(stage.engine, parse(text, "policy"), NOW - DAY, NOW)
    assert found["fault"] == ""
    assert found["clients"] == dict(expected.kinds) != {}
    assert found["active"]["new"]["counts"] == expected.active["new"].counts()
    for side in ("old", "new"):
        assert found["categories"][side]["spam"]["listings"] == expected.tallies[side]["spam"].listings
    assert 'class="line line-old"' in page
    assert 'class="line line-new"' in page
    assert len(stage.browser().get("/policy.json").json()["versions"]) == 1


def test_how_far_it_is_has_numbers_once_they_are_known() -> None:
    trial = whatif.Trial("id", "", "1d", "ada")
    assert trial.progress == "It is being prepared."
    trial.done, trial.events = 1200, 5000
    assert trial.progress == "It runs: 1,200 of 5,000 events."


@pytest.mark.parametrize(
    ("policy", "since", "wanted"),
    [
        ("threshold = ", "1d", "not valid TOML"),
        ("[weights]\nnothing = 1", "1d", "nothing"),
        ("", "0s", "400d"),
        ("", "500d", "400d"),
        ("", "yesterday", "yesterday"),
    ],
)
def test_what_cannot_be_simulated_is_said_beside_the_form(stage: Stage, policy: str, since: str, wanted: str) -> None:
    answer = post(stage.browser(), "/policy/what-if", {"policy": policy, "since": since})
    assert answer.status_code == 422
    assert wanted in answer.text


def test_one_runs_at_a_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif.Trials, "busy", True)
    assert post(stage.browser(), "/policy/what-if", {"policy": "", "since": "1d"}).status_code == 422


def test_one_that_takes_too_long_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "TOO_LONG", 0.0)
    with stage.browser() as browser:
        path = post(browser, "/policy/what-if", {"policy": "", "since": "1d"}).headers["location"]
        assert "longer than" in wait(browser, path)["fault"]


def test_what_nobody_remembers_is_not_found(stage: Stage) -> None:
    assert stage.browser().get("/policy/what-if/nothing").status_code == 404
