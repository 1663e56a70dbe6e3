"""A log without years in, the year of each of its lines out."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.errors import RepzoneError
from repzone.jobs.files import open_log
from repzone.jobs.opened import Opened, read_log
from repzone.jobs.years import STEP, find_years
from repzone.logs.stamp import Stamps
from repzone.store.positions import FileRow

MESSAGE = "mx1 postfix/anvil[3]: statistics: max cache size 1"


def _write(path: Path, instants: list[datetime], message: str = MESSAGE, late: int = 3600) -> None:
    """Write a log of these instants; the file is of the last one's time, or as much later."""
    text = "".join(f"{at:%b %e %T} {message}\n" for at in instants)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    written = instants[-1].timestamp() + late
    os.utime(path, (written, written))


def _read(path: Path, row: FileRow | None = None) -> list[datetime]:
    """Give the instants of a log's lines, from where the row stands."""
    stamps = Stamps(UTC)
    found = []
    with open_log(path) as log:
        for block in Opened.at(log, row).read():
            for part, reference in block:
                for line in part.decode().splitlines():
                    at = stamps.from_rfc3164(line[:12], line[13:15], reference)
                    assert at is not None
                    found.append(datetime.fromtimestamp(at, UTC))
    return found


def _years(seed: int, gap: int, times: int) -> list[datetime]:
    """Make instants with gaps of so many hours at most."""
    dice = Random(seed)
    at = datetime(2021, dice.randrange(1, 13), dice.randrange(1, 29), tzinfo=UTC)
    return [at := at + timedelta(seconds=dice.randrange(gap * 3600)) for _ in range(times)]


@pytest.mark.parametrize("name", ["mail.log", "mail.log.3.gz"])
@given(seed=st.integers(0), days=st.integers(1, 150), times=st.integers(1, 60), late=st.integers(0, 29))
def test_a_log_of_several_years_is_read_back(
    name: str, seed: int, days: int, times: int, late: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("years") / name
    instants = _years(seed, 24 * days, times)
    _write(path, instants, late=late * 86_400)
    assert _read(path) == instants


def test_a_large_log_of_several_years_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    instants = _years(1, 2, 40_000)
    _write(path, instants, MESSAGE + " " * 100)
    assert path.stat().st_size > 32 * STEP
    assert instants[-1].year - instants[0].year > 3
    assert _read(path) == instants


def test_of_a_large_log_only_little_is_looked_at_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    _write(path, _years(1, 24 * 100, 3))
    with path.open("a") as log:
        log.writelines(f"2026-11-24T07:22:31Z {MESSAGE}\n" for _ in range(100_000))
    with open_log(path) as file:
        asked: list[int] = []
        peek = file.peek
        file.peek = lambda start, length: asked.append(length) or peek(start, length)  # type: ignore[method-assign,func-returns-value]
        find_years(file, 0)
    assert max(asked) <= 2 * STEP


@given(seed=st.integers(0), place=st.integers(0, 59))
def test_a_log_that_was_read_in_part_is_read_on_in_the_right_year(
    seed: int, place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("years") / "mail.log"
    instants = _years(seed, 24 * 60, 60)
    _write(path, instants)
    position = sum(map(len, path.read_bytes().splitlines(keepends=True)[:place]))
    assert _read(path, FileRow(1, b"", 0, position, place)) == instants[place:]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("month", range(1, 13))
def test_a_clock_that_was_not_set_and_a_line_that_comes_late_begin_no_year(
    month: int, late: bool, tmp_path: Path
) -> None:
    instants = [datetime(2025, month, 14, tzinfo=UTC) + timedelta(days=day) for day in range(60)]
    odd = instants[10] - timedelta(days=31) if late else datetime(2025, 1, 1, tzinfo=UTC)
    _write(tmp_path / "mail.log", [*instants[:30], odd, *instants[30:]])
    found = _read(tmp_path / "mail.log")
    assert found[:30] + found[31:] == instants


def test_a_clock_that_was_not_set_at_the_end_of_a_log_moves_nothing_before_it(tmp_path: Path) -> None:
    instants = [datetime(2025, 11, 14, tzinfo=UTC) + timedelta(hours=hour) for hour in range(60)]
    log = tmp_path / "mail.log"
    _write(log, [*instants, datetime(2025, 1, 1, tzinfo=UTC)])
    os.utime(log, (instants[-1].timestamp(),) * 2)
    assert _read(log)[:-1] == instants


@pytest.mark.parametrize("stamp", ["2021-01-01T00:00:00+00:00", "no stamp"])
def test_nothing_is_looked_for_where_the_first_line_has_no_such_stamp(stamp: str, tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    _write(path, _years(1, 24 * 100, 50))
    written = path.stat().st_mtime
    path.write_text(f"{stamp} {MESSAGE}\n" + path.read_text())
    os.utime(path, (written, written))
    with open_log(path) as log:
        assert find_years(log, 0) == []
        assert find_years(log, len(stamp) + len(MESSAGE) + 2) != []


def test_a_damaged_log_is_left_to_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.3.gz"
    _write(path, _years(1, 2, 40_000))
    packed = path.read_bytes()
    path.write_bytes(packed[: len(packed) // 2])
    with open_log(path) as log:
        assert find_years(log, 0) == []


@pytest.mark.parametrize("name", ["mail.log", "mail.log.gz"])
def test_who_reads_a_log_once_is_told_the_same_years_and_the_line_without_an_end_too(tmp_path: Path, name: str) -> None:
    instants = [datetime(2023, 12, 31, tzinfo=UTC) + timedelta(days=100 * number) for number in range(9)]
    _write(tmp_path / name, instants, MESSAGE)
    with open_log(tmp_path / name) as log:
        whole = [(log.peek(0, 99_999), log.modified), *read_log(log)]
    (text, modified), *parts = whole
    (tmp_path / name).write_bytes(gzip.compress(text[:-1]) if name.endswith(".gz") else text[:-1])
    os.utime(tmp_path / name, (modified, modified))
    with open_log(tmp_path / name) as log:
        unended = list(read_log(log))
    for found in (parts, unended):
        assert b"".join(part for part, _ in found) == text
        assert len(found) > 5
    stamps = Stamps(UTC)
    lines = [(line, reference) for part, reference in unended for line in part.decode().splitlines()]
    assert [stamps.from_rfc3164(line[:12], line[13:15], reference) for line, reference in lines] == [
        int(at.timestamp()) for at in instants
    ]


def test_a_damaged_log_that_is_read_once_is_said_to_be(tmp_path: Path) -> None:
    log = tmp_path / "mail.log.gz"
    log.write_bytes(gzip.compress(b"line\n" * 999)[:-9])
    with open_log(log) as file, pytest.raises(RepzoneError, match="cut off or damaged"):
        list(read_log(file))
