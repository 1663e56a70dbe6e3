"""What happened on some days, drawn by hypothesis, done to a real database: logs, runs, acts, exemptions, policies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import calculate, simulate
from repzone.model import Client, Event, Exemptions, Traffic
from repzone.policy.replay import replay
from repzone.store.acts import Act
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events
from repzone.store.exemptions import add_exemptions, end_exemption, load_exemptions, store_own_networks
from repzone.store.held import drop_held
from repzone.store.manual import Choice, unban
from repzone.store.policies import load_policy, load_rulebook
from repzone.store.positions import open_source
from repzone.store.replay import load_pasts
from repzone.store.traffic import add_traffic

START = 1_790_000_000 // 86_400 * 86_400 + 30_000
HOUR = 3600
ADDRESSES = ("192.0.2.1", "192.0.2.1", "2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1")
NETWORKS = ("192.0.2.0/30", "2001:db8:1:2::/64", "2001:db8:1:2::1", "2001:db8:1::/48")
REASONS = ("unknown_recipient", "unknown_recipient", "pregreet", "greylisted", "auth_failed")
SHORT = '[categories.errors]\nthreshold = 6\nwindow = "1h"\ndurations = ["20m", "40m", "1h", "2h"]\n'
POLICIES = (
    SHORT,
    SHORT + "max_clean = 2\n[categories.auth]\nmax_clean = 1\nthreshold = 2",
    SHORT + "max_clean = 1",
    'offence_memory = "3h"\nbrake_listings = 1\n' + SHORT,
    'ipv6_prefix = 48\n[categories.errors]\nthreshold = 8\nwindow = "4h"\ndurations = ["40m"]',
    "ipv6_prefix = 128\n" + SHORT + "shadow = true\n[categories.auth]\nthreshold = 2",
    '[weights]\ngreylisted = 3\nunknown_recipient = 0\n[categories.errors]\nwindow = "10m"\ndurations = ["10m"]',
)

Step = tuple[int, str, Any]
"""So many seconds later, what is done, and with what."""

ADDRESS = "192.0.2.1"
BURST = [(0, ADDRESS, "unknown_recipient", 6)]

_OFFENCE = st.tuples(
    st.sampled_from((0, 0, 1, 60, 900, 1800, 2 * HOUR)),
    st.sampled_from(ADDRESSES),
    st.sampled_from(REASONS),
    st.sampled_from((1, 3, 6, 9)),
)
# Of a log whose clock is ahead, by more than is decided on at once or less.
_AHEAD = st.tuples(
    st.sampled_from((-100, -250, -100, -250, -HOUR)),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("unknown_recipient", "auth_failed")),
    st.sampled_from((1, 6, 9)),
)
_LATER = st.sampled_from((0, 1, 60, 600, 900, 1800, HOUR))
_CHOICE = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(_LATER, st.just("log"), st.lists(_OFFENCE, min_size=1, max_size=6)),
        st.tuples(_LATER, st.just("log"), st.lists(st.one_of(_OFFENCE, _OFFENCE, _AHEAD), min_size=1, max_size=6)),
        st.tuples(_LATER, st.just("calculate"), st.none()),
        st.tuples(_LATER, st.just("calculate"), st.none()),
        st.tuples(
            _LATER, st.just("clean"), st.tuples(st.integers(0, 4), st.sampled_from(ADDRESSES), st.sampled_from((5, 40)))
        ),
        st.tuples(_LATER, st.just("act"), st.tuples(st.sampled_from(("release", "false", "drop")), _CHOICE)),
        st.tuples(_LATER, st.just("exempt"), st.tuples(st.sampled_from(NETWORKS), st.sampled_from((None, 60, HOUR)))),
        st.tuples(_LATER, st.just("unexempt"), _CHOICE),
        st.tuples(_LATER, st.just("own"), st.sampled_from(([], [ADDRESSES[0]], [ADDRESSES[2]]))),
        st.tuples(_LATER, st.just("policy"), st.sampled_from(POLICIES)),
    ),
    min_size=4,
    max_size=40,
)

# Everything within a few minutes and on few clients, of logs whose clocks are ahead: what is decided, lifted, released
# and decided anew meets in the same seconds.
_CROWD = ("192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:2::2")
_SOON = st.sampled_from((0, 0, 0, 1, 1, 2, 3))
_NEAR = st.tuples(
    st.sampled_from((0, 0, 0, -1, -30, -200, -299, -500, 5)),
    st.sampled_from(_CROWD),
    st.sampled_from(("unknown_recipient", "auth_failed", "greylisted")),
    st.sampled_from((1, 3, 6)),
)
_NEAR_NETWORKS = st.sampled_from((_CROWD[0], "192.0.2.0/30", _CROWD[2], "2001:db8:1:2::/64", "2001:db8:1::/48"))
_LOG = st.tuples(_SOON, st.just("log"), st.lists(_NEAR, min_size=1, max_size=5))
_CALCULATE = st.tuples(_SOON, st.just("calculate"), st.none())
DENSE_STEPS = st.lists(
    st.one_of(
        *(*[_LOG] * 9, *[_CALCULATE] * 5),
        *[st.tuples(_SOON, st.just("exempt"), st.tuples(_NEAR_NETWORKS, st.sampled_from((None, 20))))] * 2,
        st.tuples(_SOON, st.just("unexempt"), _CHOICE),
        st.tuples(_SOON, st.just("own"), st.sampled_from(([], [_CROWD[0]], [_CROWD[2]], ["2001:db8:1::/48"]))),
        st.tuples(_SOON, st.just("policy"), st.sampled_from(POLICIES[:6])),
        st.tuples(_SOON, st.just("act"), st.tuples(st.sampled_from(("release", "false")), _CHOICE)),
    ),
    min_size=20,
    max_size=60,
)


@dataclass(slots=True)
class World:
    """A database, what time it is, and what can be done to it."""

    engine: Engine
    now: int = START

    def run(self, steps: list[Step]) -> None:
        """Do one step after the other, and let a calculator look at the last of it."""
        self.policy(SHORT)
        for later, what, how in steps:
            self.now += later
            do: Callable[[Any], None] = getattr(self, what)
            do(how)
        self.now += 1
        self.calculate(None)

    def log(self, offences: list[tuple[int, str, str, int]]) -> None:
        """Read some offences, the first number being how many seconds ago that was."""
        events = [
            Event(self.now - ago, Client.from_text(address), reason, count) for ago, address, reason, count in offences
        ]
        add_days(self.engine, [event.at for event in events])
        with self.engine.begin() as connection:
            source = open_source(connection, "mx", "/var/log/mail.log")
            rulebook = load_rulebook(connection)
            add_events(connection, source, events, rulebook, Exemptions(load_exemptions(connection)), self.now)

    def clean(self, mail: tuple[int, str, int]) -> None:
        """Read that messages were accepted, some hours ago."""
        hours, address, messages = mail
        traffic = [Traffic(self.now - hours * HOUR, Client.from_text(address), 1, messages)]
        with self.engine.begin() as connection:
            add_traffic(connection, traffic, load_rulebook(connection), Exemptions(load_exemptions(connection)))

    def calculate(self, _: None) -> None:
        """Let a calculator run."""
        calculate.run(self.engine, lambda: self.now)

    def policy(self, policy: str) -> None:
        """Put a policy in force."""
        with self.engine.begin() as connection:
            load_policy(connection, policy, "policy.toml", self.now)

    def said(self, verb: str) -> Act:
        """Give an act of somebody."""
        return Act(self.now, "somebody", verb, "one of them", "")

    def act(self, act: tuple[str, int]) -> None:
        """Release a client that is listed, say that all its listings were false, or drop those that are held."""
        how, choice = act
        held = " AND state = 'held'" if how == "drop" else ""
        with self.engine.begin() as connection:
            query = f"SELECT key::text, category::text FROM listing WHERE state <> 'shadow'{held} ORDER BY id"  # noqa: S608
            found = [(Client.from_text(key), category) for key, category in connection.execute(text(query))]
            if not found:
                return
            key, category = found[choice % len(found)]
            if how == "drop":
                drop_held(connection, frozenset([key]), category, self.said("held drop"))
            else:
                false = how == "false"
                wanted = Choice(frozenset([key]), category, ended=false)
                unban(connection, wanted, self.said("unban"), false_positive=false)

    def exempt(self, how: tuple[str, int | None]) -> None:
        """Exempt a network from now on, for good or for some seconds, and lift what lies in it."""
        network, seconds = how
        ended = None if seconds is None else self.now + seconds
        with self.engine.begin() as connection:
            add_exemptions(connection, {Client.from_text(network): "of a friend"}, ended, self.said("allow add"))

    def own(self, networks: list[str]) -> None:
        """Name the networks that are our own."""
        with self.engine.begin() as connection:
            store_own_networks(connection, [Client.from_text(network) for network in networks], self.now)

    def unexempt(self, choice: int) -> None:
        """End one of the exemptions."""
        with self.engine.begin() as connection:
            found = [one.network for one in load_exemptions(connection) if one.ended is None or one.ended > self.now]
            if found:
                end_exemption(connection, found[choice % len(found)], self.said("allow remove"))


SOAK = os.environ.get("REPZONE_SOAK") == "1"
database = settings(max_examples=400 if SOAK else 25, suppress_health_check=[HealthCheck.function_scoped_fixture])

Bounds = tuple[str, str, int, int, int, bool]
"""Client, category, begin, end, offence number, whether it is shadow."""


def both(engine: Engine, since: int, now: int) -> tuple[list[Bounds], list[Bounds]]:
    """Give the listings that there are since then, and those of the running policies' replay."""
    stored: list[Bounds] = []
    found: list[Bounds] = []
    with engine.connect() as connection:
        question = simulate.make_question(connection, None, since, now)
        exemptions = Exemptions(load_exemptions(connection))
        for past in load_pasts(connection, question):
            client, category = past.history.client, past.history.category
            for made, listings in ((stored, past.stored), (found, replay(past.history, question.rulebook).listings)):
                made += [
                    (str(client), category, one.began, one.expires, one.offence, one.state == "shadow")
                    for one in listings
                    if one.began >= since
                    and not getattr(one, "void", False)
                    and exemptions.find(client, one.began) is None
                ]
    return sorted(stored), sorted(found)
