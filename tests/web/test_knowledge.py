"""While the database does not answer its snapshot does, and says how old it is; ignorance is never "not blocked"."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from repzone.model import Exemption, Listing
from repzone.store import snapshot
from repzone.store.engine import Engine, connect
from repzone.store.snapshot import Snapshot
from repzone.web import knowledge
from repzone.zone import rows
from repzone.zone.table import MemoryTable
from tests.store.samples import DAY, HOUR, NOW
from tests.web.asked import EXEMPT, NOTHING, SPAM, C, asking, fill

AGE = 125 * 60


def keep(folder: Path, age: int = AGE, *, listed: bool = True) -> None:
    """Write a snapshot of that age in which one is blocked and one is exempt."""
    listings = [Listing(C(SPAM), "spam", 2, NOW - HOUR, NOW + HOUR)] if listed else []
    table = MemoryTable(listings, [Exemption(C(EXEMPT), NOW - DAY)])
    snapshot.write(folder / snapshot.NAME, Snapshot(812, NOW - age, rows.dump(table, NOW)))


def state(browser: TestClient, address: str) -> str:
    """Give what programs are told of an address."""
    answer = browser.get(f"/api/v1/ip/{address}").json()
    return str(answer.get("state", answer.get("status", "")))


def test_without_its_database_the_page_answers_from_the_snapshot_and_says_how_old_it_is(tmp_path: Path) -> None:
    keep(tmp_path)
    with asking(None, tmp_path) as page:
        blocked, clear = (page.get(f"/?ip={address}") for address in (SPAM, NOTHING))
        assert "is blocked for sending spam, for the 2nd time" in blocked.text
        assert "is not blocked by us" in clear.text
        for answer in (blocked, clear, page.get(f"/api/v1/ip/{SPAM}.txt")):
            assert answer.status_code == 200
            assert "a copy of the list that is 2 h 5 min old" in answer.text.replace("\N{NO-BREAK SPACE}", " ")
        told = page.get(f"/api/v1/ip/{SPAM}").json()
        assert (told["live"], told["age"], told["serial"]) == (False, AGE, 812)
        assert not {"reasons", "threshold"} & set(told["listings"][0])  # nobody says that there are none
        assert state(page, EXEMPT) == "exempt"


@pytest.mark.parametrize(("age", "said"), [(DAY, "clear"), (DAY + 1, "503"), (-60, "clear"), (-61, "503")])
def test_a_snapshot_that_is_too_old_or_of_the_future_tells_nothing(tmp_path: Path, age: int, said: str) -> None:
    keep(tmp_path, age)
    with asking(None, tmp_path) as page:
        assert state(page, NOTHING) == said


def test_a_snapshot_that_is_damaged_tells_nothing(tmp_path: Path) -> None:
    keep(tmp_path)
    file = tmp_path / snapshot.NAME
    octets = bytearray(file.read_bytes())
    octets[-1] ^= 1
    file.write_bytes(octets)
    with asking(None, tmp_path) as page:
        assert state(page, NOTHING) == "503"
        assert state(page, "10.0.0.1") == "reserved"  # that is so whatever the list says


def test_a_newer_snapshot_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    keep(tmp_path)
    with asking(None, tmp_path) as page:
        assert state(page, SPAM) == "blocked"
        keep(tmp_path, listed=False)
        assert state(page, SPAM) == "clear"


def test_a_database_that_cannot_be_reached_leaves_the_word_to_the_snapshot(tmp_path: Path) -> None:
    keep(tmp_path)
    gone = connect("postgresql://nobody@127.0.0.1:1/none")
    with asking(gone, tmp_path) as page:
        assert state(page, SPAM) == "blocked"
        assert page.get(f"/api/v1/ip/{SPAM}").json()["live"] is False
    gone.dispose()


def test_a_database_that_lets_the_page_read_nothing_leaves_the_word_to_the_snapshot(
    migrated_url: str, tmp_path: Path
) -> None:
    keep(tmp_path)
    engine = connect(migrated_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE policy_version RENAME TO hidden")
    with asking(engine, tmp_path) as page:
        assert state(page, SPAM) == "blocked"
        assert page.get(f"/api/v1/ip/{SPAM}").json()["live"] is False
    engine.dispose()


def test_a_database_that_hangs_is_not_waited_for_and_not_asked_again_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)
    keep(tmp_path)
    monkeypatch.setattr(knowledge, "PATIENCE", 0.2)
    with asking(engine, tmp_path) as page:
        assert page.get(f"/api/v1/ip/{SPAM}").json()["live"] is True
        with engine.connect() as other:
            other.exec_driver_sql("LOCK TABLE listing IN ACCESS EXCLUSIVE MODE")
            for _ in range(5):
                assert page.get(f"/api/v1/ip/{SPAM}").json()["live"] is False
                assert state(page, NOTHING) == "clear"
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            assert (
                other.exec_driver_sql(f"{waiting} AND datname = current_database()").scalar() == 1
            )  # the first who asked, and nobody after
    for thread in threading.enumerate():
        if thread.name == "database":
            thread.join(60)
