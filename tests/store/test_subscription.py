"""A connection that listens and that never waits longer than it is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.errors import UnavailableError
from repzone.store.engine import Engine, answering, connect
from repzone.store.subscription import subscribe


def notify(engine: Engine, channel: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"NOTIFY {channel}")


def test_a_notification_ends_the_wait_and_another_channels_does_not(engine: Engine) -> None:
    with subscribe(engine, "mine") as subscription:
        notify(engine, "mine")
        subscription.wait(600)
        notify(engine, "other")
        begin = time.monotonic()
        subscription.wait(0.2)
        assert time.monotonic() - begin >= 0.2


def test_an_answer_that_does_not_come_in_time_ends_the_connection(engine: Engine) -> None:
    with (
        pytest.raises(UnavailableError, match=r"does not answer: nothing came in 0\.2 s"),
        subscribe(engine, "mine") as subscription,
        subscription.within(0.2) as connection,
    ):
        connection.execute(text("SELECT pg_sleep(600)"))


def test_one_that_comes_in_time_leaves_it_open(engine: Engine) -> None:
    with subscribe(engine, "mine") as subscription:
        for _ in range(3):
            with subscription.within(0.2) as connection:
                assert connection.scalar(text("SELECT 1")) == 1
        time.sleep(0.3)
        with subscription.within(0.2) as connection:
            assert connection.scalar(text("SELECT 2")) == 2


def test_other_errors_stay_what_they_are_and_nothing_is_left_open(engine: Engine) -> None:
    with engine.connect():
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with (
            pytest.raises(UnavailableError, match="terminating connection"),
            answering(),
            subscribe(engine, "mine") as subscription,
            subscription.within(10) as connection,
        ):
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_server_that_is_not_there_is_unavailable() -> None:
    gone = connect(f"postgresql://nobody@127.0.0.1:1/none?application_name={os.getpid()}")
    with pytest.raises(UnavailableError, match="the database does not answer"), subscribe(gone, "mine"):
        pass
