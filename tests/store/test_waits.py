"""Greylisting that is never resolved: one event for each wait, whatever the order in which logs are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.model import Client, Event, Exemption, Exemptions, Wait
from repzone.store import waits
from repzone.store.engine import Engine
from repzone.store.positions import open_source, reading, store_state
from repzone.store.waits import COMPONENT, NEVER_RETRIED, add_waits, settle_waits

HOUR = 3600
DAY = 24 * HOUR
NOW = 1_790_000_000
A, B = "a" * 32, "b" * 32
Told = tuple[int, str]


def wait(at: int, client: str = "192.0.2.7", letter: str = A, *, closed: bool = False) -> Wait:
    return Wait(at, Client.from_text(client), letter, closed, "postgrey")


def store(
    engine: Engine,
    logged: int | None,
    *waits: Wait,
    host: str = "mx1",
    now: int = NOW,
    ended: int | None = None,
    exemptions: Exemptions | None = None,
) -> None:
    """Read a host's log up to an instant; its end was last reached at `ended`."""
    with engine.begin() as connection:
        source = open_source(connection, host, "/var/log/mail.log")
        store_state(connection, source, {"ended": ended}, now, logged)
        add_waits(connection, waits, exemptions or Exemptions())


def settle(engine: Engine, now: int = NOW) -> list[Event]:
    """Give the letters that failed by now."""
    failed: list[Event] = []
    more = True
    while more:
        with engine.begin() as connection:
            new, more = settle_waits(connection, DAY, now)
            failed += new
    return failed


def told(failed: list[Event]) -> list[Told]:
    return [(event.at, event.client.to_text()) for event in failed]


def read(
    engine: Engine, logged: int, *waits: Wait, host: str = "mx1", now: int = NOW, exemptions: Exemptions | None = None
) -> list[Told]:
    """Read a host's log alone; give when and whose letters failed by it."""
    store(engine, logged, *waits, host=host, now=now, exemptions=exemptions)
    return told(settle(engine, now))


def left(engine: Engine) -> tuple[int, int]:
    """Give how many are waited for, and how many steps lie ahead."""
    query = "SELECT (SELECT count(*) FROM greylist_wait), (SELECT count(*) FROM greylist_ahead)"
    with engine.connect() as connection:
        waiting, ahead = connection.execute(text(query)).one()
    return waiting, ahead


T = NOW - 3 * DAY


def test_a_letter_that_never_comes_again_is_an_event_a_day_later_in_log_time(engine: Engine) -> None:
    assert read(engine, T + 1, wait(T)) == []
    assert read(engine, T + DAY - 1) == []
    assert left(engine) == (1, 0)
    store(engine, T + DAY)
    (event,) = settle(engine)
    assert event == Event(T + DAY, Client.from_text("192.0.2.7"), NEVER_RETRIED, component=COMPONENT)
    assert left(engine) == (0, 0)
    assert read(engine, T + 2 * DAY) == []


@pytest.mark.parametrize(
    ("opened", "came"),
    [("192.0.2.7", "192.0.2.250"), ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1"), ("192.0.2.7", "192.0.2.7")],
)
def test_a_retry_from_the_same_network_closes_the_wait(engine: Engine, opened: str, came: str) -> None:
    assert read(engine, T + 600, wait(T, opened), wait(T + 500, came, closed=True)) == []
    assert read(engine, T + 2 * DAY) == []
    assert left(engine) == (0, 0)


@pytest.mark.parametrize(
    ("other", "letter"), [("192.0.3.7", A), ("2001:db8:1:3::7", A), ("192.0.2.7", B), ("192.0.2.7", "0" * 32)]
)
def test_another_network_or_another_letter_closes_nothing(engine: Engine, other: str, letter: str) -> None:
    read(engine, T + 600, wait(T), wait(T + 500, other, letter, closed=True))
    assert read(engine, T + DAY) == [(T + DAY, "192.0.2.7")]


def test_one_letter_that_gets_through_says_nothing_of_the_others(engine: Engine) -> None:
    read(engine, T + 600, wait(T), wait(T, letter=B), wait(T, "192.0.3.7"))
    read(engine, T + 601, wait(T + 600, closed=True))
    read(engine, T + 602)
    assert left(engine) == (2, 0)
    assert read(engine, T + DAY) == [(T + DAY, "192.0.2.7"), (T + DAY, "192.0.3.7")]


def test_in_the_same_second_the_closing_counts(engine: Engine) -> None:
    read(engine, T + 600, wait(T), wait(T, closed=True), wait(T, letter=B, closed=True), wait(T, letter=B))
    assert left(engine) == (0, 0)


def test_a_further_attempt_moves_the_wait_and_its_client(engine: Engine) -> None:
    read(engine, T + HOUR, wait(T))
    read(engine, T + 2 * HOUR, wait(T + HOUR, "192.0.2.9"))
    assert read(engine, T + DAY) == []
    assert read(engine, T + DAY + HOUR) == [(T + DAY + HOUR, "192.0.2.9")]


def test_what_comes_after_the_time_is_over_comes_too_late(engine: Engine) -> None:
    steps = [wait(T), wait(T + DAY), wait(T + 2 * DAY, closed=True)]
    assert read(engine, T + 2 * DAY + 1, *steps) == [(T + DAY, "192.0.2.7"), (T + 2 * DAY, "192.0.2.7")]


def test_exempt_clients_owe_nothing(engine: Engine) -> None:
    exemptions = Exemptions([Exemption(Client.from_text("192.0.2.0/24"), added=T - 1)])
    read(engine, T + 1, wait(T), wait(T, "10.1.2.3", B), exemptions=exemptions)
    assert left(engine) == (0, 0)


def test_a_log_that_lags_behind_holds_the_time_back_as_long_as_it_is_read(engine: Engine) -> None:
    read(engine, T, host="mx2")
    read(engine, T + 1, wait(T - HOUR))
    assert read(engine, T + DAY) == []
    read(engine, T + HOUR, wait(T + 500, closed=True), host="mx2")
    assert read(engine, T + 2 * DAY) == []
    read(engine, T + 2 * DAY, wait(T + 2 * DAY - 1, letter=B))
    later = NOW + 2 * DAY
    assert read(engine, T + 3 * DAY, now=later - 1) == []
    assert read(engine, T + 3 * DAY, now=later) == [(T + 3 * DAY - 1, "192.0.2.7")]  # nobody reads mx2 any more


def test_a_retry_that_is_read_before_its_attempt_closes_it_all_the_same(engine: Engine) -> None:
    read(engine, T, host="mx2")
    read(engine, T + 600, wait(T + 500, closed=True))
    read(engine, T + 601, wait(T), host="mx2")
    read(engine, T + 601)
    assert read(engine, T + 2 * DAY, host="mx2") == []
    assert read(engine, T + 2 * DAY) == []
    assert left(engine) == (0, 0)


def test_a_stamp_in_the_far_future_does_not_end_all_waits(engine: Engine) -> None:
    read(engine, NOW - 1, wait(NOW - HOUR), now=NOW)
    assert read(engine, NOW + 30 * DAY, now=NOW) == []
    assert left(engine) == (1, 0)


def test_logs_that_are_read_one_after_another_for_the_first_time_are_taken_together(engine: Engine) -> None:
    store(engine, NOW, wait(T))
    store(engine, NOW, wait(T + 900, closed=True), host="mx2")
    assert settle(engine) == []
    assert left(engine) == (0, 0)


def test_logs_that_nobody_read_for_days_are_taken_together(engine: Engine) -> None:
    for host in ("mx1", "mx2"):
        store(engine, T, host=host, now=T, ended=T)
    store(engine, NOW, wait(T + 1), ended=NOW)
    store(engine, NOW, wait(T + 900, closed=True), host="mx2", ended=NOW)
    assert settle(engine) == []
    assert left(engine) == (0, 0)


def test_a_log_that_says_nothing_for_days_holds_the_others_back_for_two_waits(engine: Engine) -> None:
    store(engine, T - DAY, host="quiet", ended=NOW)
    store(engine, NOW, *(wait(at, letter=f"{n:032x}") for n, at in enumerate((T, T + 1, NOW - 1))), ended=NOW)
    assert told(settle(engine)) == [(T + DAY, "192.0.2.7")]
    store(engine, NOW + 1, ended=NOW + 1, now=NOW + 1)
    assert settle(engine, NOW + 1) == []
    store(engine, None, host="quiet", ended=NOW + 1, now=NOW + 1)
    assert told(settle(engine, NOW + 1)) == [(T + 1 + DAY, "192.0.2.7")]


@pytest.mark.parametrize("ended", [None, T - DAY])
def test_a_log_in_the_midst_of_being_read_is_waited_for_however_far_behind(engine: Engine, ended: int | None) -> None:
    store(engine, T, host="mx2", ended=ended)
    store(engine, NOW, wait(T - 1), wait(T + 500, letter=B), ended=NOW)
    assert settle(engine) == []
    store(engine, NOW, wait(T + 900, letter=B, closed=True), host="mx2", ended=NOW)
    assert told(settle(engine)) == [(T - 1 + DAY, "192.0.2.7")]


def test_old_logs_that_are_read_today_end_where_they_end(engine: Engine) -> None:
    store(engine, T - 9 * DAY, wait(T - 9 * DAY - 1), host="old", ended=NOW)
    assert settle(engine) == []


def test_a_source_without_stamps_is_not_waited_for(engine: Engine) -> None:
    store(engine, None, host="spool", ended=NOW)
    assert read(engine, T + DAY, wait(T)) == [(T + DAY, "192.0.2.7")]


@pytest.mark.parametrize("logged", [None, T - 2 * DAY], ids=["new", "unread for days"])
def test_a_log_that_another_begins_to_read_is_waited_for(engine: Engine, logged: int | None) -> None:
    with engine.begin() as connection:
        source = open_source(connection, "mx2", "/var/log/mail.log")
    if logged is not None:
        store(engine, logged, host="mx2", now=logged, ended=logged)
    with reading(engine, source):
        assert read(engine, T + DAY, wait(T)) == []
    assert told(settle(engine)) == [(T + DAY, "192.0.2.7")]


def test_nothing_is_settled_before_anything_was_read(engine: Engine) -> None:
    with engine.begin() as connection:
        add_waits(connection, [wait(T)], Exemptions())
    assert settle(engine) == []
    assert left(engine) == (0, 1)
    assert read(engine, T + DAY) == [(T + DAY, "192.0.2.7")]


def test_who_comes_while_another_settles_leaves_it_to_the_next_and_waits_for_nobody(engine: Engine) -> None:
    read(engine, T + 1, wait(T))
    store(engine, T + DAY)
    with engine.begin() as first, engine.begin() as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        assert len(settle_waits(first, DAY, NOW)[0]) == 1
        add_waits(second, [wait(T + 1, letter=B)], Exemptions())
        assert settle_waits(second, DAY, NOW) == ([], False)
    assert left(engine) == (0, 1)
    assert read(engine, T + DAY + 1) == [(T + DAY + 1, "192.0.2.7")]


def test_much_is_taken_piece_by_piece(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "STEPS", 10)
    steps = [wait(T + second, letter=f"{letter:032x}") for second in range(5) for letter in range(7)]
    store(engine, T + HOUR, *steps, *(wait(T + HOUR - 1, letter=f"{n:032x}", closed=True) for n in range(3)))
    pieces = []
    more = True
    while more:
        with engine.begin() as connection:
            failed, more = settle_waits(connection, DAY, NOW)
            assert failed == []
        pieces.append(left(engine))
    assert pieces == [(7, 24), (7, 10), (4, 0)]
    assert read(engine, T + 2 * DAY) == [(T + 4 + DAY, "192.0.2.7")] * 4


def test_many_who_settle_at_once_give_each_event_once(engine: Engine) -> None:
    read(engine, T + 1, *(wait(T, f"192.0.{n // 100}.{n % 100}", f"{n:032x}") for n in range(500)))
    failed: list[Told] = []
    start = threading.Barrier(4)

    def settle(host: str) -> None:
        start.wait(20)
        for hour in range(3):
            failed.extend(read(engine, T + DAY + hour, host=host))

    threads = [threading.Thread(target=settle, args=(f"mx{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    failed += read(engine, T + 2 * DAY)
    for host in ("mx0", "mx1", "mx2", "mx3"):
        failed += read(engine, T + 2 * DAY, host=host)
    assert len(failed) == len(set(failed)) == 500


HOSTS = ("mx1", "mx2", "mx3")
steps = st.lists(
    st.tuples(
        st.integers(0, 80),  # hours
        st.sampled_from(HOSTS),
        st.sampled_from(("192.0.2.7", "192.0.2.8", "198.51.100.1")),
        st.sampled_from((A, B)),
        st.booleans(),
    ),
    max_size=24,
)


@dataclass(frozen=True)
class Run:
    """What is read `pause` hours after the run before: which logs in turn, in pieces, until it is killed, if so."""

    pause: int
    hosts: list[str]
    piece: int
    killed: int | None


runs = st.lists(
    st.builds(
        Run,
        pause=st.integers(0, 30) | st.integers(40, 80),
        hosts=st.permutations(HOSTS).flatmap(lambda hosts: st.integers(1, 3).map(lambda number: hosts[:number])),
        piece=st.integers(1, 6),
        killed=st.none() | st.integers(1, 8),
    ),
    max_size=12,
)


def expected(waits: list[Wait]) -> list[Told]:
    """Give what the whole history means, by its definition: an opening fails that nothing follows within a day."""
    names: dict[tuple[Client, str], list[Wait]] = {}
    for one in waits:
        names.setdefault((one.client.truncate(24), one.letter), []).append(one)
    failed = []
    for (network, _), told in names.items():
        told.sort(key=lambda one: (one.at, one.closed))
        for one, after in pairwise([*told, wait(10 * NOW)]):
            if not one.closed and after.at - one.at >= DAY:
                failed.append((one.at + DAY, network.to_text()))
    return sorted(failed)


@dataclass
class Logs:
    """Three logs that are read while they are written; lines come `late` by so many hours, as in nightly copies."""

    engine: Engine
    logs: dict[str, list[Wait]]
    late: dict[str, int]
    hour: int = 0
    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(HOSTS, 0))
    seen: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(HOSTS))
    failed: list[Event] = field(default_factory=list)

    def run(self, run: Run) -> None:
        """Read, and if not killed, settle. Who reads some logs only knows of the others: they were read lately."""
        self.hour += run.pause
        known = all(host in run.hosts or self.seen.get(host, -99) > self.hour - 48 for host in HOSTS)
        commits = 0
        for host in run.hosts if known else [*run.hosts, *sorted(set(HOSTS) - set(run.hosts))]:
            there = [one for one in self.logs[host] if one.at < T + (self.hour - self.late[host]) * HOUR]
            whole = False
            while not whole:
                if commits == run.killed:
                    return
                pieces = there[self.read[host] : self.read[host] + run.piece]
                self.read[host] += len(pieces)
                whole = self.read[host] == len(there)
                self._store(host, pieces, whole)
                commits += 1
        self.failed += settle(self.engine, T + self.hour * HOUR)

    def _store(self, host: str, pieces: list[Wait], whole: bool) -> None:
        now = T + self.hour * HOUR
        self.ended[host] = now if whole else self.ended[host]
        self.seen[host] = self.hour
        logged = pieces[-1].at if pieces else None
        store(self.engine, logged, *pieces, host=host, now=now, ended=self.ended[host])


@given(
    history=steps,
    schedule=runs,
    late=st.fixed_dictionaries({host: st.just(0) | st.integers(0, 40) for host in HOSTS}),
    at_once=st.integers(1, 30),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_makes_no_difference_in_what_order_and_pieces_the_logs_are_read(
    fresh_engine: Callable[[], Engine],
    monkeypatch: pytest.MonkeyPatch,
    history: list[tuple[int, str, str, str, bool]],
    schedule: list[Run],
    late: dict[str, int],
    at_once: int,
) -> None:
    monkeypatch.setattr(waits, "STEPS", at_once)
    lines = [wait(T + hour * HOUR, client, letter, closed=closed) for hour, _, client, letter, closed in history]
    logs = {host: [wait(T - DAY, "203.0.113.1", closed=True)] for host in HOSTS}  # each has something in it
    for line, (_, host, *_) in sorted(zip(lines, history, strict=True), key=lambda pair: pair[0].at):
        logs[host].append(line)
    for log in logs.values():
        log.append(wait(T + 300 * HOUR, "203.0.113.1", closed=True))
    written = Logs(fresh_engine(), logs, late)
    for run in schedule:
        written.run(run)
    written.run(Run(2000, list(HOSTS), 100, None))
    networks = sorted((event.at, event.client.truncate(24).to_text()) for event in written.failed)
    assert networks == expected(lines)
    assert left(written.engine) == (0, len(HOSTS))  # the last lines of the logs
