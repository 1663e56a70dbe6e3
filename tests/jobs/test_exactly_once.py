"""Whatever becomes of a log between two runs, each of its lines is stored once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from repzone.errors import ConfigError, RepzoneError, UnavailableError
from repzone.jobs.rotation import rotated_paths
from repzone.store.engine import Engine
from tests.jobs.rotated import KeptLog, Log, events, make_log

ROTATIONS = [Log.rename, Log.rename_by_date, Log.copy_and_truncate, Log.compress, Log.compress_zstd]
WRITES = [Log.write, lambda log: log.write(7), Log.begin_line]
ACTIONS = [*ROTATIONS, *WRITES, Log.run, Log.run]
READS = [
    partial(KeptLog.read, thorough=thorough, commit=commit) for thorough in (False, True) for commit in (False, True)
]
KEPT_ACTIONS = [
    *(*ROTATIONS, *WRITES, *READS, *READS, KeptLog.close),
    *(KeptLog.copy, KeptLog.copy_packed, KeptLog.link, KeptLog.point),
]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_rotations_of_every_kind_lose_and_double_nothing(log: Log, rotate: Callable[[Log], None]) -> None:
    for number in (3, 12, 1):
        log.write(number)
        log.run()
        log.write(number)
        rotate(log)
        log.write(number)
    log.run()
    assert events(log) == log.lines
    assert log.run().lines == 0


@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=14))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_between_two_runs_each_line_is_stored_once(
    fresh_engine: Callable[[], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[Callable[[Log], object]],
) -> None:
    log = make_log(fresh_engine(), tmp_path_factory.mktemp("log"), Log)
    for act in actions:
        act(log)
    log.write()
    log.run()
    assert events(log) == log.lines


@example(actions=[Log.begin_line, READS[0], Log.copy_and_truncate])  # emptied in the middle of a line
@given(actions=st.lists(st.sampled_from(KEPT_ACTIONS), max_size=20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_while_a_reader_has_the_log_open_each_line_is_stored_once(
    fresh_engine: Callable[[], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[Callable[[KeptLog], object]],
) -> None:
    log = make_log(fresh_engine(), tmp_path_factory.mktemp("log"), KeptLog)
    try:
        for act in actions:
            act(log)
        log.write()
        log.read(thorough=True, commit=True)
    finally:
        log.close()
    assert events(log) == log.lines
    assert log.run().lines == 0


@pytest.mark.parametrize("act", [KeptLog.copy, KeptLog.copy_packed, KeptLog.link, KeptLog.point])
@pytest.mark.parametrize("known", [0, 20])
def test_a_log_that_is_kept_open_goes_on_behind_what_was_read_of_its_copy(
    kept: KeptLog, act: Callable[[KeptLog], None], known: int
) -> None:
    kept.point()
    kept.write(known)
    kept.read(thorough=True, commit=True)
    kept.write(10)
    act(kept)
    kept.write(3)
    kept.read(thorough=True, commit=True)
    assert events(kept) == kept.lines


def test_a_log_that_is_renamed_while_its_rotated_files_are_looked_for_is_read_once(
    kept: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.write(2)
    kept.read(thorough=True, commit=True)
    kept.write(2)

    def rename_and_look(path: Path) -> list[Path]:
        if not path.with_name("mail.log.1").exists():
            kept.rename()
        return rotated_paths(path)

    monkeypatch.setattr("repzone.jobs.source.rotated_paths", rename_and_look)
    for _ in range(2):
        kept.read(thorough=True, commit=True)
        kept.write(2)
    kept.read(thorough=False, commit=True)
    assert events(kept) == kept.lines


@pytest.mark.parametrize("kind", [UnavailableError, lambda said: ConfigError("policy", "", said)])
def test_a_decision_that_fails_after_the_commit_is_no_fault_of_a_rotated_file_and_doubles_nothing(
    kept: KeptLog, kind: Callable[[str], RepzoneError]
) -> None:
    kept.write(10)
    kept.run()
    kept.write(10)
    kept.rename()
    kept.write(5)
    failed = False

    def fail_once(new: bool) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise kind("deadlock detected")

    kept.job = replace(kept.job, committed=fail_once)
    with pytest.raises(RepzoneError, match="deadlock detected"):
        kept.read(thorough=True, commit=True)
    kept.read(thorough=False, commit=True)
    assert events(kept) == kept.lines
