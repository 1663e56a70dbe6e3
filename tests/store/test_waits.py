"""Greylisting that is never resolved: one event for each wait, whatever the order in which logs are read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.model import Client, Event, Exemption, Exemptions, Wait
from repzone.store.engine import Engine
from repzone.store.positions import open_source, store_state
from repzone.store.waits import settle_waits

HOUR = 3600
DAY = 24 * HOUR
NOW = 1_790_000_000
A, B = "a" * 32, "b" * 32
Told = tuple[int, str]


def wait(at: int, client: str = "192.0.2.7", letter: str = A, *, closed: bool = False) -> Wait:
    return Wait(at, Client.from_text(client), letter, closed, "postgrey")


def read(
    engine: Engine, logged: int, *waits: Wait, host: str = "mx1", now: int = NOW, exemptions: Exemptions | None = None
) -> list[Told]:
    """Read a host's log up to an instant; give when and whose letters failed by it."""
    return [(event.at, event.client.to_text()) for event in events(engine, logged, waits, host, now, exemptions)]


def events(
    engine: Engine,
    logged: int,
    waits: tuple[Wait, ...],
    host: str = "mx1",
    now: int = NOW,
    exemptions: Exemptions | None = None,
) -> list[Event]:
    with engine.begin() as connection:
        source = open_source(connection, host, "/var/log/mail.log")
        store_state(connection, source, {}, now, logged)
        return settle_waits(connection, waits, exemptions or Exemptions(), DAY, now)


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
    (event,) = events(engine, T + DAY, ())
    assert event == Event(T + DAY, Client.from_text("192.0.2.7"), "greylist_never_retried", component="greylist")
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


def test_nothing_is_settled_before_anything_was_read(engine: Engine) -> None:
    with engine.begin() as connection:
        assert settle_waits(connection, [wait(T)], Exemptions(), DAY, NOW) == []
    assert left(engine) == (0, 1)
    assert read(engine, T + DAY) == [(T + DAY, "192.0.2.7")]


def test_who_comes_while_another_settles_leaves_it_to_the_next_and_waits_for_nobody(engine: Engine) -> None:
    read(engine, T + 1, wait(T))
    with engine.begin() as connection:
        store_state(connection, open_source(connection, "mx1", "/var/log/mail.log"), {}, NOW, T + DAY)
    with engine.begin() as first, engine.begin() as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        assert len(settle_waits(first, (), Exemptions(), DAY, NOW)) == 1
        assert settle_waits(second, [wait(T + 1, letter=B)], Exemptions(), DAY, NOW) == []
    assert left(engine) == (0, 1)
    assert read(engine, T + DAY + 1) == [(T + DAY + 1, "192.0.2.7")]


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


steps = st.lists(
    st.tuples(
        st.integers(0, 80),  # hours
        st.sampled_from(("mx1", "mx2", "mx3")),
        st.sampled_from(("192.0.2.7", "192.0.2.8", "198.51.100.1")),
        st.sampled_from((A, B)),
        st.booleans(),
    ),
    max_size=24,
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


@given(history=steps, schedule=st.lists(st.tuples(st.sampled_from(("mx1", "mx2", "mx3")), st.integers(0, 90))))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_makes_no_difference_in_what_order_and_pieces_the_logs_are_read(
    fresh_engine: Callable[[], Engine],
    history: list[tuple[int, str, str, str, bool]],
    schedule: list[tuple[str, int]],
) -> None:
    engine = fresh_engine()
    logs: dict[str, list[Wait]] = {"mx1": [], "mx2": [], "mx3": []}
    for hour, host, client, letter, closed in sorted(history):
        logs[host].append(wait(T + hour * HOUR, client, letter, closed=closed))
    done = dict.fromkeys(logs, -1)
    failed: list[Told] = []
    for host in logs:
        failed += read(engine, T - 1, host=host, now=T + 201 * HOUR)  # they are known from the beginning
    for host, hour in [*schedule, *((host, 200) for _ in range(2) for host in logs)]:
        if hour > done[host]:
            new = [one for one in logs[host] if done[host] < (one.at - T) // HOUR <= hour]
            failed += read(engine, T + hour * HOUR, *new, host=host, now=T + 201 * HOUR)
            done[host] = hour
    failed += read(engine, T + 201 * HOUR, host="mx1", now=T + 201 * HOUR)
    networks = sorted((at, Client.from_text(client).truncate(24).to_text()) for at, client in failed)
    assert networks == expected([one for log in logs.values() for one in log])
    assert left(engine) == (0, 0)
