"""Ingesting: each offence exactly once, whatever happens to the file, the run or the database in between."""

from __future__ import annotations

import gzip
import io
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import calculate, ingest
from repzone.jobs.ingest import Ingestion, Outcome
from repzone.logs.join import OwnZones
from repzone.logs.jsonl import JsonlReader
from repzone.logs.reader import Reader
from repzone.policy.rules import SHIPPED
from repzone.store import positions
from repzone.store.engine import Engine
from repzone.store.listings import find_listings
from repzone.store.policies import load_policy

NOW = 1_790_000_000
OWN = OwnZones(("bl.example.net",), ("https://postmaster.example.net/?ip={client}",))


def ingestion(engine: Engine, *, jsonl: bool = False, dry_run: bool = False, wait: int = 1) -> Ingestion:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    make = (lambda state: JsonlReader()) if jsonl else (lambda state: Reader(UTC, OWN, state))
    return Ingestion(engine, lambda: NOW, "mx1", make, dry_run=dry_run, wait=wait)


def stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def reject(at: int, client: str = "192.0.2.7") -> str:
    """Give the line of one unknown recipient."""
    return (
        f"{stamp(at)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[{client}]: 550 5.1.1 <a@example.net>: "
        "Recipient address rejected: User unknown in local recipient table; from=<b@example.org> to=<a@example.net> "
        "proto=ESMTP helo=<example.org>\n"
    )


def failed_login(at: int, number: int, client: str = "192.0.2.8") -> list[str]:
    """Give the lines of one failed login, which three of them tell."""
    who = f"{stamp(at)} mx1 postfix/smtpd[{number}]:"
    return [
        f"{who} connect from unknown[{client}]\n",
        f"{who} warning: unknown[{client}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6\n",
        f"{who} lost connection after AUTH from unknown[{client}]\n",
        f"{who} disconnect from unknown[{client}] ehlo=1 auth=0/1 commands=1/2\n",
    ]


def stored(engine: Engine) -> dict[str, int]:
    """Give the offences that are stored, by reason."""
    query = "SELECT reason::text, sum(count)::integer FROM event GROUP BY reason ORDER BY reason"
    with engine.connect() as connection:
        return {reason: count for reason, count in connection.execute(text(query))}


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
    monkeypatch.setattr(ingest, "EVENTS", 3)
    store_state = positions.store_state
    calls = 0

    def die_at_the_third(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        store_state(*arguments)  # type: ignore[arg-type]
        if calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "store_state", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingestion(engine).run_file(log)
    assert stored(engine) == {"unknown_recipient": 6}
    assert ingestion(engine).run_file(log).events == {"errors": 4}
    assert stored(engine) == {"unknown_recipient": 10}


def test_a_second_reader_of_the_same_log_waits_and_then_leaves_it(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW))
    inside, go_on = threading.Event(), threading.Event()
    slow = ingestion(engine)

    def hold(octets: int) -> None:
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
    log.write_text(
        f"{stamp(NOW)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 Service "
        "unavailable; Client host [192.0.2.7] blocked using bl.example.net; Too many errors from your IP; "
        "from=<b@example.org> to=<a@example.net> proto=ESMTP helo=<example.org>\n"
    )
    outcome = ingestion(engine).run_file(log)
    assert (outcome.events, outcome.hits) == ({}, 1)
    assert stored(engine) == {}


def test_a_dry_run_counts_and_stores_nothing(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text(reject(NOW) * 3)
    assert ingestion(engine, dry_run=True).run_file(log).events == {"errors": 3}
    assert stored(engine) == {}
    assert ingestion(engine).run_file(log).events == {"errors": 3}


def test_json_lines_with_ids_are_stored_once_from_standard_input_too(engine: Engine) -> None:
    line = '{"at":"2026-09-21T14:00:00Z","client":"192.0.2.9","reason":"spamtrap","id":"%s"}\n'
    for _ in range(2):
        ingestion(engine, jsonl=True).run_stream(io.BytesIO((line % "a" + line % "b").encode()))
    assert stored(engine) == {"spamtrap": 2}


def test_an_absurd_date_is_counted_and_left_out(engine: Engine) -> None:
    lines = '{"at":"9999-12-31T23:59:59Z","client":"192.0.2.9","reason":"spamtrap"}\n'
    lines += '{"at":"0001-01-01T00:00:00Z","client":"192.0.2.9","reason":"spamtrap"}\n'
    outcome = ingestion(engine, jsonl=True).run_stream(io.BytesIO(lines.encode()))
    assert (outcome.absurd, outcome.events) == (2, {})


def history(seed: int) -> str:
    """Give a log of three hours in which several clients offend at random."""
    dice = random.Random(seed)
    lines: list[tuple[int, str]] = []
    for number in range(60):
        at = NOW - dice.randrange(3 * 3600)
        if dice.random() < 0.3:
            lines += [(at, line) for line in failed_login(at, 100 + number, f"192.0.2.{dice.randrange(2)}")]
        else:
            lines += [(at, reject(at, f"192.0.2.{dice.randrange(3)}"))] * dice.randrange(1, 5)
    return "".join(line for _, line in sorted(lines, key=lambda pair: pair[0]))


def listings(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        found = find_listings(connection, NOW, everything=True)
    return sorted(
        (str(one.client), one.category, one.began, one.expires, one.offence, dict(one.reasons)) for one in found
    )


def chopped(engine: Engine, path: Path, log: bytes, cuts: list[int]) -> list[tuple[object, ...]]:
    """Let the log grow to each cut, ingest and calculate there; give all listings."""
    for end in [*cuts, len(log)]:
        path.write_bytes(log[:end])
        ingestion(engine).run_file(path)
        calculate.run(engine, lambda: NOW)
    return listings(engine)


@given(seed=st.integers(0, 1000), shares=st.lists(st.floats(0, 1), max_size=4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_log_gives_the_same_listings_however_it_is_chopped(
    fresh_engine: Callable[[], Engine], tmp_path_factory: pytest.TempPathFactory, seed: int, shares: list[float]
) -> None:
    log = history(seed).encode()
    folder = tmp_path_factory.mktemp("chopped")
    whole = chopped(fresh_engine(), folder / "whole.log", log, [])
    cuts = sorted(int(share * len(log)) for share in shares)
    assert chopped(fresh_engine(), folder / "chopped.log", log, cuts) == whole
