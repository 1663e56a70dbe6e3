"""`repzone purge` and `repzone rebuild`: first shown, then done with --yes, then in the audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.store.engine import Engine
from tests.cli.conftest import Run
from tests.cli.test_policy import offences


@pytest.fixture
def misled(run: Run) -> Run:
    """Runs commands where a log said of one client what was never true, and of another what was."""
    assert run("init").code == 0
    lines = offences("192.0.2.1", "pregreet", 10, 5000) + offences("192.0.2.2", "auth_failed", 10, 5000)
    assert run("ingest", "--format", "jsonl", "-", text=lines).code == 0
    return run


def states(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        query = "SELECT host(key), state::text FROM listing ORDER BY key"
        return [(key, state) for key, state in connection.execute(text(query))]


def test_purge_shows_what_it_would_delete_and_with_yes_deletes_it_and_is_audited(misled: Run, engine: Engine) -> None:
    done = misled("purge", "--reason", "pregreet")
    assert "10 events of 1 client" in done.out
    assert "Nothing was: add --yes." in done.out
    done = misled("purge", "--reason", "pregreet", "--since", "1d", "--yes", "--because", "a faulty filter")
    assert "10 events of 1 client are deleted." in done.out
    assert "repzone rebuild --since 20" in done.out
    assert "No events" in misled("purge", "--reason", "pregreet", "--yes").out
    with engine.connect() as connection:
        query = "SELECT verb, subject, reason, details FROM act"
        assert [tuple(row) for row in connection.execute(text(query))] == [
            ("purge", "reason pregreet, since 1d", "a faulty filter", {"events": 10, "clients": 1})
        ]
        assert connection.scalar(text("SELECT count(*) FROM event")) == 10


def test_purge_by_source_takes_its_events_only(misled: Run, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(offences("192.0.2.9", "timeout", 3, 900))
    assert misled("ingest", "--format", "jsonl", "other.jsonl").code == 0
    found = misled("purge", "--source", str(tmp_path / "other.jsonl"), "-o", "json", "--yes").objects[0]
    assert (found["events"], found["clients"], found["deleted"]) == (3, 1, 3)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "say which events"),
        (("--reason", "pregret"), 2, "there is no 'pregret'; write pregreet"),
        (("--source", "/var/log/none"), 1, "there is no source '/var/log/none'"),
    ],
)
def test_what_is_not_there_is_not_purged(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    done = run("purge", "--yes", *words)
    assert done.code == code
    assert said in done.err


def test_rebuild_of_what_is_right_says_so(misled: Run) -> None:
    assert misled("rebuild", "--since", "1d", "--yes").out == "Every listing is as the events ask for.\n"
    assert misled("rebuild", "--since", "1d", "-o", "json").objects == []


def test_rebuild_shows_the_difference_and_corrects_it_with_yes(misled: Run, engine: Engine) -> None:
    assert misled("purge", "--reason", "pregreet", "--yes").code == 0
    shown = misled("rebuild", "--since", "1d")
    assert "192.0.2.1  errors    wrong" in shown.out
    assert "1 listing: 1 wrong. Add --yes to correct." in shown.out
    assert states(engine) == [("192.0.2.1", "active"), ("192.0.2.2", "active")]
    (one,) = misled("rebuild", "--since", "1d", "--yes", "-o", "json").objects
    assert (one["client"], one["difference"], one["rebuilt"], one["corrected"]) == ("192.0.2.1", "wrong", None, True)
    assert states(engine) == [("192.0.2.1", "reversed"), ("192.0.2.2", "active")]
    assert json.dumps(misled("check", "192.0.2.1", "-o", "json").objects).count("active") == 0


def test_a_rebuild_since_a_time_to_come_is_refused(run: Run) -> None:
    assert run("rebuild", "--since", "2999-01-01").code == 2
