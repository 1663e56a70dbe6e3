"""Letters that never came again, as several logs tell it together."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from repzone.jobs.batch import NO_SOURCE, settle
from repzone.jobs.follow import Following, Settling
from repzone.jobs.watch import Stop
from repzone.store.engine import Engine
from tests.jobs.samples import NOW, delivered, greylisted, hit, ingestion, reject, stored
from tests.jobs.test_follow import running, until, write

DAY = 86_400
THEN = NOW - 3 * DAY


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Logs of two servers: of two letters that one of them refused, the other took one."""
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    write(logs[0], greylisted(THEN, "comes@example.org"), greylisted(THEN, "never@example.org"), hit(NOW))
    write(logs[1], delivered(THEN + 900, "comes@example.org"), hit(NOW))
    return logs


def rows(engine: Engine) -> list[tuple[int, int]]:
    """Give source and time of the events of letters that never came again."""
    query = "SELECT source_id, extract(epoch FROM at)::bigint FROM event WHERE reason = 'greylist_never_retried'"
    with engine.connect() as connection:
        return [(source, at) for source, at in connection.execute(text(query))]


@pytest.mark.parametrize("order", [1, -1])
def test_logs_that_are_read_one_after_another_are_settled_together(
    engine: Engine, logs: list[Path], order: int
) -> None:
    for log in logs[::order]:
        ingestion(engine).run_file(log)
    with capture_logs() as said:
        assert settle(engine, lambda: NOW, DAY) == 1
        assert settle(engine, lambda: NOW, DAY) == 0
    assert said == [{"event": "settle.done", "letters": 1, "log_level": "info"}]
    assert rows(engine) == [(NO_SOURCE, THEN + DAY)]


def test_days_without_any_run_make_no_difference(engine: Engine, logs: list[Path], tmp_path: Path) -> None:
    texts = [log.read_text() for log in logs]
    for log in logs:
        log.write_text(hit(THEN - 1))
        replace(ingestion(engine), clock=lambda: THEN).run_file(log)
    assert settle(engine, lambda: THEN, DAY) == 0
    for log, lines in zip(logs, texts, strict=True):
        write(log, lines)
        ingestion(engine).run_file(log)
    settle(engine, lambda: NOW, DAY)
    assert rows(engine) == [(NO_SOURCE, THEN + DAY)]


def test_it_ends_when_told_so(engine: Engine, logs: list[Path]) -> None:
    ingestion(engine).run_file(logs[0])
    assert settle(engine, lambda: NOW, DAY, going=lambda: False) == 0
    assert rows(engine) == []


def test_a_log_is_known_to_its_end_only_when_it_was_reached(
    engine: Engine, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = "SELECT state -> 'ended' FROM source"
    monkeypatch.setattr("repzone.jobs.batch.LINES", 1)
    monkeypatch.setattr("repzone.jobs.files.BLOCK", 100)
    seen = []

    def look(new: bool) -> None:
        with engine.connect() as connection:
            seen.append(connection.execute(text(ended)).scalar_one())

    replace(ingestion(engine), committed=look).run_file(logs[0])
    assert len(seen) > 2
    assert (set(seen[:-1]), seen[-1]) == ({None}, NOW)


def test_followed_logs_are_settled_once_the_ends_of_all_have_been_reached(
    engine: Engine, logs: list[Path], tmp_path: Path
) -> None:
    missing = tmp_path / "c.log"
    following = Following(ingestion(engine), Stop(), time.monotonic, settling=Settling({*logs, missing}))
    first, second, third = (partial(following.run_file, path) for path in (*logs, missing))
    with running(first, third, stop=following.stop):
        until(lambda: following.settling.unread == {logs[1]})
        write(logs[0], reject(NOW, "192.0.2.1"))
        until(lambda: "unknown_recipient" in stored(engine))
        with running(second, stop=following.stop):
            until(lambda: not following.settling.unread)
            write(logs[0], reject(NOW, "192.0.2.1"))
            until(lambda: rows(engine) == [(NO_SOURCE, THEN + DAY)])


def test_followed_logs_that_another_reads_are_not_waited_for(engine: Engine, logs: list[Path]) -> None:
    others, own = (Following(ingestion(engine), Stop(), time.monotonic, settling=Settling(set(logs))) for _ in range(2))
    with running(partial(others.run_file, logs[1]), stop=others.stop):
        until(lambda: others.settling.unread == {logs[0]})
        with running(*(partial(own.run_file, log) for log in logs), stop=own.stop):
            until(lambda: not own.settling.unread)
            write(logs[0], reject(NOW, "192.0.2.1"))
            until(lambda: rows(engine) == [(NO_SOURCE, THEN + DAY)])


def test_followed_logs_are_settled_every_few_seconds_at_most() -> None:
    settling = Settling({Path("/a")})
    assert not settling.is_due(100)
    settling.unread.clear()
    assert [settling.is_due(now) for now in (100, 104.9, 105, 106, 110)] == [True, False, True, False, True]
