"""A run that is killed at any write or commit, and the next one: together they leave what one run would have left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.store.engine import Engine
from repzone.store.tables import metadata
from tests.jobs.samples import NOW, delivered, failed_login, greylisted, history, hit, reject, stored

KILLS = 200 if os.environ.get("REPZONE_SOAK") == "1" else 20
SERIALS = {"id", "listing_id", "exemption_id", "serial"}  # sequences have gaps where a transaction was not committed

NAME_LAST = """
UPDATE source SET state = jsonb_set(state, '{last}', coalesce(
    (SELECT to_jsonb(inode) FROM source_file WHERE id = CAST(state ->> 'last' AS integer)), 'null'))"""

Run = Callable[[str, Path, int], int]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs ingestion in a process that is killed at the call of that number; gives the number of calls, or -1."""
    command = [sys.executable, "-m", "tests.jobs.killed"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        asked, said = runner.stdin, runner.stdout
        assert asked is not None
        assert said is not None

        def run(url: str, log: Path, at: int) -> int:
            print(url, log, at, file=asked, flush=True)
            return int(said.readline())

        yield run
        asked.close()


@pytest.fixture
def log(tmp_path: Path, migrated_url: str, run: Run) -> Path:
    """A log that was read up to the middle of a session, and was then written to and rotated twice.

    Of some letters that had to come again, one did.
    """
    log = tmp_path / "mail.log"
    login = failed_login(NOW, 7)
    letters = "".join(greylisted(NOW - 2 * 86_400 + n, f"{n}@example.org") for n in range(4))
    log.write_text(history(1, 8) + "".join(login[:2]))
    run(migrated_url, log, 0)
    with log.open("a") as file:
        file.write("".join(login[2:]) + letters + history(2, 8))
    log.rename(log.with_name("mail.log.2"))
    log.with_name("mail.log.1").write_text(
        reject(NOW) * 5 + delivered(NOW - 2 * 86_400 + 900, "2@example.org") + hit(NOW)
    )
    log.write_text(history(3, 8) + reject(NOW)[:100])
    for age, there in enumerate((log, log.with_name("mail.log.1"), log.with_name("mail.log.2"))):
        os.utime(there, (NOW + 10 - age,) * 2)
    return log


def save(engine: Engine) -> Callable[[], None]:
    """Give what brings back the rows that there are now."""
    names = [table.name for table in metadata.sorted_tables]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA saved")
        for name in names:
            connection.exec_driver_sql(f"CREATE TABLE saved.{name} AS TABLE {name}")

    def restore() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)}")
            for name in names:
                connection.exec_driver_sql(f"INSERT INTO {name} OVERRIDING SYSTEM VALUE TABLE saved.{name}")

    return restore


def dump(engine: Engine) -> dict[str, list[str]]:
    """Give the rows of every table but for the numbers that count attempts; a source says which file was the last."""
    with engine.connect() as connection:
        connection.execute(text(NAME_LAST))  # and undone at the end
        return {
            table.name: sorted(
                str({key: value for key, value in row.items() if key not in SERIALS})
                for row in connection.scalars(text(f"SELECT to_jsonb({table.name}) FROM {table.name}"))  # noqa: S608
            )
            for table in metadata.sorted_tables
        }


def test_a_killed_run_and_the_next_leave_what_one_run_would_have_left(
    run: Run, log: Path, engine: Engine, migrated_url: str
) -> None:
    restore = save(engine)
    calls = run(migrated_url, log, 0)
    wanted = dump(engine)
    assert all(wanted[name] for name in ("event", "hit", "listing", "listing_evidence", "source_file"))
    assert stored(engine)["greylist_never_retried"] == 3
    dice = random.Random(KILLS)
    for number in range(KILLS):
        restore()
        at = 1 + int((number + dice.random()) * calls / KILLS)
        killed = run(migrated_url, log, at)
        assert killed == -1 or killed < at  # a run may take a call or two less
        again = dice.randrange(1, calls) if number % 2 else 0
        if run(migrated_url, log, again) == -1:
            assert run(migrated_url, log, 0) > 0
        assert dump(engine) == wanted, f"killed at call {at} of {calls}, then at {again}"
