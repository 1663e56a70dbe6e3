"""`repzone policy`: what is in force, what a file would change, and what it would have changed."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.cli.output import utc
from repzone.cli.wall import clock
from repzone.store.engine import Engine
from tests.cli.conftest import Run

STRICT = '[categories.errors]\nthreshold = 3\ndurations = ["1h"]\n[categories.auth]\nshadow = true\n'


def offences(client: str, reason: str, number: int, ago: int) -> str:
    """Give so many lines of JSON, a second apart, the first so many seconds ago."""
    now = clock()
    return "".join(
        json.dumps({"at": utc(now - ago + n), "client": client, "reason": reason}) + "\n" for n in range(number)
    )


@pytest.fixture
def month(run: Run, tmp_path: Path) -> Run:
    """Runs commands where one client was listed for errors and one for auth, and one did too little for either."""
    (tmp_path / "strict.toml").write_text(STRICT)
    assert run("init").code == 0
    lines = offences("192.0.2.1", "unknown_recipient", 10, 90_000) + offences("192.0.2.2", "auth_failed", 10, 90_000)
    read = run("ingest", "--format", "jsonl", "-", text=lines + offences("192.0.2.3", "timeout", 4, 50_000))
    assert (read.code, read.err) == (0, "")
    return run


def test_show_says_in_words_what_is_in_force_and_since_when(month: Run) -> None:
    shown = month("policy", "show")
    assert shown.code == 0
    assert "errors        10  1h      2h, 4h, 8h, 16h, 24h" in shown.out
    brake = "those beyond 1,000, or a fifth of the active ones if more, are held."
    assert f"Of the listings that begin within an hour, {brake}" in " ".join(shown.out.split())
    assert "5 points: non_smtp_command" in shown.out
    assert "1  ever (loaded 20" in shown.out
    assert "threshold = 10" in shown.out


def test_what_show_writes_for_files_and_programs_is_what_is_in_force(month: Run, tmp_path: Path) -> None:
    (tmp_path / "same.toml").write_text(month("policy", "show", "--toml").out)
    checked = month("policy", "check", "same.toml")
    assert (checked.code, checked.out) == (0, "same.toml is valid, and says what is in force.\n")
    policy, version = month("policy", "show", "-o", "json").objects
    assert (policy["what"], policy["version"], policy["categories"]["errors"]["window"]) == ("policy", 1, 3600)
    assert (version["what"], version["version"], version["since"]) == ("version", 1, policy["since"])


def test_looking_at_a_changed_policy_file_puts_it_in_force_no_sooner(month: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(STRICT)
    assert "The policy file was changed" in month("policy", "show").out
    assert len(month("policy", "show", "-o", "json").objects) == 2
    assert month("calculate").code == 0
    assert len(month("policy", "show", "-o", "json").objects) == 3


def test_a_policy_that_waits_behind_what_was_read_is_said_to_wait(month: Run, tmp_path: Path) -> None:
    month("ingest", "--format", "jsonl", "-", text=offences("192.0.2.4", "timeout", 1, -200))
    (tmp_path / "policy.toml").write_text(STRICT)
    assert month("calculate").code == 0
    waits = datetime.fromisoformat(month("policy", "show", "-o", "json").objects[-1]["since"])
    (tmp_path / "other.toml").write_text(STRICT.replace("3", "4", 1))
    told = f"{waits:%Y-%m-%d %H:%M:%S} UTC"
    shown = month("policy", "show").out
    assert f"Version 2 is in force from {told}, behind what has been read." in shown
    assert "The policy file was changed" not in shown
    assert f"valid. 5 keys will change at {told}, by version 2:" in " ".join(month("policy", "check").out.split())
    assert "5 keys would change" in month("policy", "check", "other.toml").out


def test_check_says_what_a_file_would_change(month: Run) -> None:
    checked = month("policy", "check", "strict.toml", "-o", "json")
    assert {(one["key"], one["running"], one["file"]) for one in checked.objects} == {
        ("categories.errors.threshold", "10", "3"),
        ("categories.errors.durations", '["2h", "4h", "8h", "16h", "24h"]', '["1h"]'),
        ("categories.errors.max_clean", "20.0", None),
        ("categories.spam.max_clean", "20.0", None),
        ("categories.auth.shadow", "false", "true"),
    }
    assert "5 keys would change" in month("policy", "check", "strict.toml").out
    assert month("policy", "check", "--policy", "strict.toml", "-o", "json").out == checked.out


def test_the_words_of_a_comparison_are_not_broken(month: Run) -> None:
    lines = month("policy", "check", "strict.toml", COLUMNS="60").out.splitlines()
    assert {"categories.errors.threshold", "categories.errors.max_clean"} <= {line.split(" ")[0] for line in lines}


def test_a_policy_file_is_named_once(month: Run) -> None:
    for command in ("check", "simulate"):
        done = month("policy", command, "strict.toml", "--policy", "policy.toml")
        assert (done.code, "name one policy file: strict.toml or policy.toml" in done.err) == (2, True)
    simulated = [month("policy", "simulate", *words, "-o", "json") for words in (("s.toml",), ("--policy", "s.toml"))]
    assert [done.code for done in simulated] == [78, 78]


def test_a_policy_that_is_not_valid_is_refused_with_file_and_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[categories.errors]\nthreshold = 0")
    for command in (("check", "bad.toml"), ("check", "--policy", "bad.toml"), ("simulate", "--policy", "bad.toml")):
        done = run("policy", *command)
        assert done.code == 78
        assert "bad.toml: line 2: categories.errors.threshold" in done.err


def test_before_anything_was_in_force_that_is_said(run: Run) -> None:
    done = run("policy", "show")
    assert (done.code, done.out) == (1, "")
    assert "no policy was ever in force" in done.err


def test_simulate_shows_who_would_be_listed_differently_and_writes_nothing(month: Run, engine: Engine) -> None:
    def counts() -> list[int]:
        tables = ("event", "listing", "listing_change", "policy_version", "spared", "pending", "act", "traffic")
        with engine.connect() as connection:
            return [connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables]  # noqa: S608

    before = counts()
    done = month("policy", "simulate", "--policy", "strict.toml", "--since", "3d")
    assert done.code == 0, done.err
    assert "192.0.2.3  newly listed" in done.out
    assert "Numbers are old → new." in done.out
    assert "192.0.2.2  not listed any more" in done.out
    assert "24 events" in done.out
    assert "┤" in done.out
    assert "\x1b" not in done.out
    assert counts() == before


def test_the_chart_has_whole_numbers_and_says_where_it_begins_and_ends_however_narrow(month: Run) -> None:
    for columns in ("60", "200"):
        lines = month("policy", "simulate", "--since", "3d", COLUMNS=columns).out.splitlines()
        chart = lines[lines.index("Active listings:") + 1 :]
        heights = [line.split("┤")[0].strip() for line in chart if "┤" in line]
        assert heights == ["2", "1", "0"]
        begun, *_, end = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", chart[-2])
        assert datetime.fromisoformat(end) - datetime.fromisoformat(begun) > timedelta(days=2, hours=23)


def test_simulate_gives_programs_the_same(month: Run) -> None:
    objects = month("policy", "simulate", "--policy", "strict.toml", "--since", "3d", "-o", "json").objects
    kinds = {one["what"] for one in objects}
    assert kinds == {"simulation", "category", "client", "active"}
    whole = objects[0]
    assert (whole["events"], whole["clients"]["newly"], whole["clients"]["never"]) == (24, 1, 1)
    (errors,) = (one for one in objects if one.get("category") == "errors")
    assert (errors["old"]["listings"], errors["old"]["hours"], errors["new"]["clients"]) == (1, 2.0, 2)
    (auth,) = (one for one in objects if one.get("category") == "auth")
    assert (auth["old"]["shadow"], auth["new"]["shadow"], auth["new"]["listings"]) == (0, 1, 0)
    (client,) = (one for one in objects if one.get("client") == "192.0.2.3")
    assert (client["change"], client["old"]["listings"], client["new"]["hours"]) == ("newly", 0, 1.0)
    active = [(one["old"], one["new"]) for one in objects if one["what"] == "active"]
    assert max(old for old, _ in active) == 2
    assert active[-1] == (0, 0)


def test_what_happened_simulated_again_is_no_different(month: Run) -> None:
    assert "Nothing would be different." in month("policy", "simulate").out


@pytest.mark.parametrize("since", ["tomorrow", "2999-01-01"])
def test_a_time_that_has_not_passed_is_refused(run: Run, since: str) -> None:
    assert run("policy", "simulate", "--since", since).code == 2
