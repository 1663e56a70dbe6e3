"""Ingesting: each offence exactly once, whatever happens to the file, the run or the database in between."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import batch, calculate, files, source
from repzone.jobs.ingest import Ingestion
from repzone.jobs.intake import Outcome
from repzone.logs.reader import Reader
from repzone.store import positions
from repzone.store.engine import Engine
from tests.jobs.samples import NOW, OWN, failed_login, history, hit, ingestion, listings, reject, stamp, stored


def test_a_second_run_stores_only_what_is_new(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW) * 3)
    assert ingestion(engine).run_file(log).events == {"errors": 3}
    assert ingestion(engine).run_file(log).events == {}
    with log.open("a") as file:
        file.write(reject(NOW))
    outcome = ingestion(engine).run_file(log)
    assert (outcome.lines, outcome.events) == (1, {"errors": 1})
    assert stored(engine) == {"unknown_recipient": 4}


def test_a_partial_last_line_waits_for_its_end(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    whole = reject(NOW)
    for cut in (10, len(whole) - 1):
        log.write_text(whole + whole[:cut])
        ingestion(engine).run_file(log)
    assert stored(engine) == {"unknown_recipient": 1}
    log.write_text(whole * 2)
    ingestion(engine).run_file(log)
    assert stored(engine) == {"unknown_recipient": 2}


def test_rotation_by_rename_loses_and_doubles_nothing(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW))
    ingestion(engine).run_file(log)
    with log.open("a") as file:
        file.write(reject(NOW + 1) * 2)
    log.rename(tmp_path / "mail.log.1")
    log.write_text(reject(NOW + 2) * 4)
    ingestion(engine).run_file(log)
    ingestion(engine).run_file(tmp_path / "mail.log.1")
    ingestion(engine).run_file(log)
    assert stored(engine) == {"unknown_recipient": 7}


def test_a_log_that_was_rotated_to_where_nobody_looks_is_told_of_once(engine: Engine, tmp_path: Path) -> None:
    folder, away = tmp_path / "log", tmp_path / "away"
    folder.mkdir()
    away.mkdir()
    log = folder / "mail.log"
    log.write_text(reject(NOW))
    assert ingestion(engine).run_file(log).faults == []
    log.rename(away / "mail.log.1")
    log.write_text(reject(NOW + 1))
    assert "olddir" in ingestion(engine).run_file(log).faults[0]
    assert ingestion(engine).run_file(log).faults == []


@pytest.mark.parametrize("compressed", [False, True])
def test_a_link_beside_the_log_leads_to_rotated_files_elsewhere(
    engine: Engine, tmp_path: Path, *, compressed: bool
) -> None:
    folder, away = tmp_path / "log", tmp_path / "away"
    folder.mkdir()
    away.mkdir()
    (folder / "old").symlink_to(away)
    log = folder / "mail.log"
    log.write_text(reject(NOW))
    ingestion(engine).run_file(log)
    rotated = log.read_text() + reject(NOW + 1)
    log.unlink()
    if compressed:
        (away / "mail.log.1.gz").write_bytes(gzip.compress(rotated.encode()))
    else:
        (away / "mail.log.1").write_text(rotated)
    log.write_text(reject(NOW + 2))
    for events in ({"errors": 2}, {}):
        outcome = ingestion(engine).run_file(log)
        assert (outcome.events, outcome.faults) == (events, [])


def test_a_log_that_was_followed_to_its_end_may_go_wherever_it_is_put(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW))
    with ingestion(engine).open(log) as followed:
        assert followed is not None
        followed.read()
        followed.commit()
        with log.open("a") as file:
            file.write(reject(NOW + 1))
        log.unlink()
        log.write_text(reject(NOW + 2))
        followed.read()
        followed.commit()
        assert followed.outcome.faults == []
    assert stored(engine) == {"unknown_recipient": 3}
    assert ingestion(engine).run_file(log).faults == []


def test_a_log_that_was_rotated_twice_and_compressed_is_read_to_its_end(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW))
    ingestion(engine).run_file(log)
    (tmp_path / "mail.log.2.gz").write_bytes(gzip.compress((reject(NOW) + reject(NOW + 1)).encode()))
    (tmp_path / "mail.log.1").write_text(reject(NOW + 2) * 2)
    log.write_text(reject(NOW + 3) * 3)
    for age, name in enumerate(["mail.log", "mail.log.1", "mail.log.2.gz"]):
        os.utime(tmp_path / name, (NOW + 10 - age, NOW + 10 - age))
    assert ingestion(engine).run_file(log).events == {"errors": 6}
    assert ingestion(engine).run_file(log).events == {}
    assert stored(engine) == {"unknown_recipient": 7}


def test_a_log_that_was_empty_at_first_is_read_through_its_rotation(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    ingestion(engine).run_file(log)
    (tmp_path / "mail.log.1").write_text(reject(NOW) * 2)
    log.write_text(reject(NOW + 1) * 3)
    assert ingestion(engine).run_file(log).events == {"errors": 5}
    assert ingestion(engine).run_file(log).events == {}


def test_offences_that_several_lines_tell_count_once_when_runs_end_between_the_lines(
    engine: Engine, tmp_path: Path
) -> None:
    log = tmp_path / "mail.log"
    for line in failed_login(NOW, 7):
        with log.open("a") as file:
            file.write(line)
        ingestion(engine).run_file(log)
    assert stored(engine) == {"auth_failed": 1}


def test_what_the_join_remembers_outlives_rotation(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    first, *rest = [failed_login(NOW, 7)[:2], failed_login(NOW, 7)[2:]]
    log.write_text("".join(first))
    ingestion(engine).run_file(log)
    log.rename(tmp_path / "mail.log.1")
    log.write_text("".join(rest[0]))
    ingestion(engine).run_file(log)
    assert stored(engine) == {"auth_failed": 1}


def test_a_run_that_dies_before_its_commit_is_as_if_it_had_not_been(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mail.log"
    log.write_text("".join(reject(NOW + n) for n in range(10)))
    monkeypatch.setattr(batch, "EVENTS", 3)
    monkeypatch.setattr(files, "BLOCK", len(reject(NOW)))
    store_state = positions.store_state
    calls = 0

    def die_at_the_third(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        store_state(*arguments)  # type: ignore[arg-type]
        if calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(source, "store_state", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingestion(engine).run_file(log)
    assert stored(engine) == {"unknown_recipient": 6}
    assert ingestion(engine).run_file(log).events == {"errors": 4}
    assert stored(engine) == {"unknown_recipient": 10}


def test_an_interruption_waits_for_what_is_being_stored_however_often_it_comes(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW) * 3)
    monkeypatch.setattr(batch, "EVENTS", 1)
    monkeypatch.setattr(files, "BLOCK", len(reject(NOW)))
    waited = threading.Event()
    store_state, times = positions.store_state, 0

    def store_late(*arguments: object) -> None:
        assert waited.wait(10)
        store_state(*arguments)  # type: ignore[arg-type]

    def wait_for(futures: list[Future[object]]) -> None:
        nonlocal times
        times += 1
        if times <= 3:
            raise KeyboardInterrupt
        waited.set()
        wait(futures)

    monkeypatch.setattr(source, "store_state", store_late)
    monkeypatch.setattr(source, "wait", wait_for)
    with pytest.raises(KeyboardInterrupt):
        ingestion(engine).run_file(log)
    assert (times, stored(engine)) == (4, {"unknown_recipient": 1})
    monkeypatch.undo()
    assert ingestion(engine).run_file(log).events == {"errors": 2}


def test_a_second_reader_of_the_same_log_waits_and_then_leaves_it(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW))
    inside, go_on = threading.Event(), threading.Event()
    slow = ingestion(engine)

    def hold(file: Path, done: int, octets: int, lines: int) -> None:
        inside.set()
        go_on.wait(20)

    holder = Ingestion(slow.engine, slow.clock, slow.host, slow.make_reader, progress=hold)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(holder.run_file(log)))
    thread.start()
    assert inside.wait(20)
    try:
        assert ingestion(engine, wait=1).run_file(log).busy
    finally:
        go_on.set()
        thread.join(20)
    assert not outcomes[0].busy
    assert stored(engine) == {"unknown_recipient": 1}


def test_a_refusal_of_ours_is_a_hit_and_no_offence(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(hit(NOW))
    outcome = ingestion(engine).run_file(log)
    assert (outcome.events, outcome.hits) == ({}, 1)
    assert stored(engine) == {}


def test_a_dry_run_counts_and_stores_nothing(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW) * 3)
    assert ingestion(engine, dry_run=True).run_file(log).events == {"errors": 3}
    ingestion(engine, dry_run=True).run_stream(io.BytesIO(reject(NOW).encode()))
    assert stored(engine) == {}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT path FROM source")).all() == []
    assert ingestion(engine).run_file(log).events == {"errors": 3}
    assert ingestion(engine, dry_run=True).run_file(log).lines == 0


def test_json_lines_with_ids_are_stored_once_from_standard_input_too(engine: Engine) -> None:
    line = '{"at":"2026-09-21T14:00:00Z","client":"192.0.2.9","reason":"spamtrap","id":"%s"}\n'
    for _ in range(2):
        ingestion(engine, jsonl=True).run_stream(io.BytesIO((line % "a" + line % "b").encode()))
    assert stored(engine) == {"spamtrap": 2}


def test_an_absurd_date_is_counted_and_left_out(engine: Engine) -> None:
    lines = '{"at":"2100-01-01T00:00:00Z","client":"192.0.2.9","reason":"spamtrap"}\n'
    lines += '{"at":"1989-12-31T23:59:59Z","client":"192.0.2.9","reason":"spamtrap"}\n'
    outcome = ingestion(engine, jsonl=True).run_stream(io.BytesIO(lines.encode()))
    assert (outcome.absurd, outcome.events) == (2, {})


def chopped(engine: Engine, path: Path, log: bytes, cuts: list[int]) -> list[tuple[object, ...]]:
    """Let the log grow to each cut, ingest and calculate there; give all listings."""
    for end in [*cuts, len(log)]:
        path.write_bytes(log[:end])
        ingestion(engine).run_file(path)
        calculate.run(engine, lambda: NOW)
    return listings(engine)


def instants(engine: Engine) -> list[str]:
    """Give when the stored events were, in UTC."""
    with engine.connect() as connection:
        return [f"{at:%Y-%m-%d %H:%M:%S}" for at in connection.scalars(text("SELECT at FROM event ORDER BY at"))]


def test_stamps_without_year_in_an_old_file_are_of_the_year_that_it_was_written_in(
    engine: Engine, tmp_path: Path
) -> None:
    lines = "".join(
        reject(0).replace(reject(0).split()[0], clock)
        for clock in ("Dec 30 23:00:01", "Dec 31 23:59:59", "Jan  1 00:00:00")
    )
    log = tmp_path / "mail.log.2.gz"
    log.write_bytes(gzip.compress(lines.encode()))
    written = datetime(2024, 1, 1, 0, 5, tzinfo=UTC).timestamp()
    os.utime(log, (written, written))
    assert ingestion(engine).run_file(log).events == {"errors": 3}
    assert instants(engine) == ["2023-12-30 23:00:01", "2023-12-31 23:59:59", "2024-01-01 00:00:00"]


@pytest.mark.parametrize(("ahead", "at_once"), [(300, True), (301, False), (86_400, False)])
def test_stamps_more_than_five_minutes_ahead_are_stored_and_decided_once_their_time_has_come(
    engine: Engine, tmp_path: Path, ahead: int, at_once: bool
) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW + ahead) * 12)
    assert ingestion(engine).run_file(log).events == {"errors": 12}
    calculate.run(engine, lambda: NOW)
    assert len(listings(engine)) == (1 if at_once else 0)
    calculate.run(engine, lambda: NOW + ahead - 301)
    assert len(listings(engine)) == (1 if at_once else 0)
    calculate.run(engine, lambda: NOW + ahead)
    assert [began for _, _, began, *_ in listings(engine)] == [NOW + ahead]


def test_clean_traffic_is_counted_once_however_runs_end(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    who = f"{stamp(NOW)} mx1 postfix/smtpd[7]:"
    for number in range(1, 4):
        log.write_text(f"{who} connect from unknown[192.0.2.7]\n{who} disconnect from unknown[192.0.2.7]\n" * number)
        ingestion(engine).run_file(log)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT host(key), connections FROM traffic")).all() == [("192.0.2.7", 3)]


@given(seed=st.integers(0, 1000), shares=st.lists(st.floats(0, 1), max_size=4))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_log_gives_the_same_listings_however_it_is_chopped(
    fresh_engine: Callable[[], Engine], tmp_path_factory: pytest.TempPathFactory, seed: int, shares: list[float]
) -> None:
    log = history(seed).encode()
    folder = tmp_path_factory.mktemp("chopped")
    whole = chopped(fresh_engine(), folder / "whole.log", log, [])
    cuts = sorted(int(share * len(log)) for share in shares)
    assert chopped(fresh_engine(), folder / "chopped.log", log, cuts) == whole


FALL = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp())
PARIS = ZoneInfo("Europe/Paris")


def in_paris(engine: Engine, now: int) -> Ingestion:
    """Make an ingestion of a log whose stamps are of Paris, at that time."""
    make = partial(Reader, PARIS, OWN)
    return replace(ingestion(engine), make_reader=lambda state: make(state), clock=lambda: now)


def in_local_time(at: int) -> str:
    return reject(at).replace(stamp(at), f"{datetime.fromtimestamp(at, PARIS):%b %e %T}")


def test_the_second_pass_of_an_hour_is_known_although_runs_end_between(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    instants = [FALL - 3600 + step for step in (-60, 0, 1200, 2400, 3599, 3600, 4800, 6000, 7199, 7200)]
    for number, at in enumerate(instants, 1):
        log.write_text("".join(map(in_local_time, instants[:number])))
        os.utime(log, (at, at))
        in_paris(engine, FALL + 90 * 86_400).run_file(log)  # no clock tells
    assert instants_of(engine) == instants


def test_the_second_pass_of_an_hour_is_known_by_when_the_log_was_read(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    for number, at in enumerate(instants := [FALL - 3500, FALL + 1200], 1):
        log.write_text("".join(map(in_local_time, instants[:number])))
        os.utime(log, (at, at))
        in_paris(engine, at + 2).run_file(log)
        in_paris(engine, FALL + 1100).run_file(log)
    assert instants_of(engine) == instants


def instants_of(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT extract(epoch FROM at)::bigint FROM event ORDER BY at")))


def test_a_log_of_three_years_without_years_is_of_each_of_them(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    days = [datetime(2023, 12, 31, tzinfo=UTC) + timedelta(days=100 * number) for number in range(9)]
    log.write_text("".join(reject(0).replace(stamp(0), f"{day:%b %e %T}") for day in days))
    os.utime(log, (days[-1].timestamp(),) * 2)
    assert ingestion(engine).run_file(log).events == {"errors": 9}
    assert instants(engine) == [f"{day:%F %T}" for day in days]
