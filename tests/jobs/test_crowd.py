"""Many at once, on few clients and with clocks ahead: nobody waits in a circle, and a replay finds what there is."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable

import pytest

from repzone.jobs import calculate, rebuild, sweep
from repzone.jobs.batch import Batch
from repzone.jobs.batch import store as store_batch
from repzone.model import Client, Event
from repzone.store.acts import Act
from repzone.store.engine import Engine
from repzone.store.exemptions import add_exemptions, end_exemption, store_own_networks
from repzone.store.held import drop_held, release_held
from repzone.store.locks import lock_acts
from repzone.store.manual import Choice, unban
from repzone.store.policies import load_policy
from repzone.store.positions import open_source
from tests.jobs.histories import START, both
from tests.store.acts import join

SOAK = os.environ.get("REPZONE_SOAK") == "1"
CROWDS, SECONDS = (10, 15) if SOAK else (1, 4)
SPEED = 5
"""Seconds of the crowd's clock in one of ours."""

ADDRESSES = [
    *(f"192.0.2.{host}" for host in range(1, 5)),
    *(f"2001:db8:1:{net}::{host}" for net in (1, 2) for host in (1, 2, 3)),
]
BRIEF = '[categories.errors]\nthreshold = 6\nwindow = "20s"\ndurations = ["3s", "5s", "9s"]\n'
POLICIES = (
    BRIEF,
    BRIEF + 'max_clean = 2\n[categories.auth]\nmax_clean = 1\nthreshold = 2\ndurations = ["4s"]',
    'offence_memory = "3h"\nbrake_listings = 1\n' + BRIEF,
    'ipv6_prefix = 48\n[categories.errors]\nthreshold = 8\nwindow = "4h"\ndurations = ["40s"]',
    "ipv6_prefix = 128\n" + BRIEF + "shadow = true\n[categories.auth]\nthreshold = 2",
)
NETWORKS = ("192.0.2.1", "192.0.2.0/30", "2001:db8:1:1::1", "2001:db8:1:2::/64", "2001:db8:1::/48")


class Crowd:
    """Everybody who writes, each doing one thing after the other as its dice say."""

    def __init__(self, engine: Engine, dice: Callable[[str], random.Random]) -> None:
        self.engine = engine
        self.dice = dice
        self.began = time.monotonic()
        self.done = threading.Event()
        self.faults: list[BaseException] = []
        with engine.begin() as connection:
            load_policy(connection, BRIEF, "policy.toml", START)
            self.source = open_source(connection, "mx", "/var/log/mail.log")

    def clock(self) -> int:
        return START + int((time.monotonic() - self.began) * SPEED)

    def act(self, verb: str) -> Act:
        return Act(self.clock(), "somebody", verb, "one of them", "")

    def run(self, seconds: float) -> None:
        """Let all work at once, two each of readers and calculators; what any of them raises is in `faults`."""
        work: list[tuple[Callable[[random.Random], None], float]] = [
            *((self.ingest, 0.05), (self.ingest, 0.05), (self.calculate, 0.05), (self.calculate, 0.05)),
            *((self.exempt, 0.3), (self.own, 0.6), (self.policy, 0.8), (self.undo, 0.5)),
            *((self.sweep, 0.02), (self.rebuild, 0.6), (self.held, 0.3)),
        ]
        threads = [
            threading.Thread(target=self._repeat, args=(*one, self.dice(f"{place}")), daemon=True)
            for place, one in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        self.done.wait(seconds)
        self.done.set()
        join(threads)

    def _repeat(self, do: Callable[[random.Random], None], pause: float, dice: random.Random) -> None:
        while not self.done.wait(dice.random() * pause):
            try:
                do(dice)
            except BaseException as fault:
                self.faults.append(fault)
                self.done.set()

    def ingest(self, dice: random.Random) -> None:
        batch, now = Batch(), self.clock()
        batch.add(
            [
                Event(
                    now + dice.choice((0, 0, 0, 1, 30, 200, 299, 500, -5)),
                    Client.from_text(dice.choice(ADDRESSES)),
                    dice.choice(("unknown_recipient", "auth_failed", "greylisted")),
                    dice.choice((1, 3, 6)),
                )
                for _ in range(dice.randrange(1, 12))
            ]
        )
        with self.engine.connect() as connection:
            store_batch(
                connection, self.source, batch, self.clock, lambda _: time.sleep(dice.choice((0, 0, 0.01, 0.1)))
            )

    def calculate(self, dice: random.Random) -> None:
        calculate.run(self.engine, self.clock, most=dice.choice((1, 3, 1000)))

    def exempt(self, dice: random.Random) -> None:
        with self.engine.begin() as connection:
            lock_acts(connection)  # before the clock is read, as commands do
            if dice.random() < 0.5:
                networks = {Client.from_text(network): "a friend" for network in dice.sample(NETWORKS, 2)}
                ended = dice.choice((None, self.clock() + 20))
                add_exemptions(connection, networks, ended, self.act("allow add"))
            else:
                end_exemption(connection, Client.from_text(dice.choice(NETWORKS)), self.act("allow remove"))

    def own(self, dice: random.Random) -> None:
        with self.engine.begin() as connection:
            networks = [Client.from_text(network) for network in dice.sample(NETWORKS, dice.choice((0, 1)))]
            store_own_networks(connection, networks, self.clock())

    def policy(self, dice: random.Random) -> None:
        with self.engine.begin() as connection:
            load_policy(connection, dice.choice(POLICIES), "policy.toml", self.clock())

    def sweep(self, dice: random.Random) -> None:
        sweep.expire_ended(self.engine, self.clock)

    def rebuild(self, dice: random.Random) -> None:
        rebuild.run(self.engine, START - 86_400, self.clock, self.act("rebuild"))

    def held(self, dice: random.Random) -> None:
        with self.engine.begin() as connection:
            lock_acts(connection)
            if dice.random() < 0.5:
                release_held(connection, None, None, self.act("held release"))
            else:
                drop_held(connection, None, None, self.act("held drop"))

    def undo(self, dice: random.Random) -> None:
        false = dice.random() < 0.5
        choice = Choice(frozenset([Client.from_text(dice.choice(ADDRESSES)).key(64)]), ended=false)
        with self.engine.begin() as connection:
            lock_acts(connection)
            unban(connection, choice, self.act("unban"), false_positive=false)


@pytest.mark.parametrize("number", range(CROWDS))
def test_a_crowd_leaves_what_a_replay_finds(engine: Engine, number: int) -> None:
    crowd = Crowd(engine, lambda place: random.Random(f"{number} {place}"))
    crowd.run(SECONDS)
    assert crowd.faults == []
    now = crowd.clock() + 1
    calculate.run(engine, lambda: now)
    stored, found = both(engine, START - 86_400, now)
    assert found == stored
    assert stored
