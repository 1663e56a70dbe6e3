"""Exemptions made and ended by hand, or by the configuration: what they lift, and what they leave."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from repzone.jobs import calculate
from repzone.model import STATES, Client, Exemption, Exemptions, Listing
from repzone.reasons import CATEGORIES
from repzone.store import exemptions
from repzone.store.acts import load_acts
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events
from repzone.store.exemptions import Exempted, add_exemptions, end_exemption, load_exemptions, store_own_networks
from repzone.store.listings import add_decisions, load_cases, take_pending
from repzone.store.locks import hold_rules
from repzone.store.policies import load_rulebook
from repzone.store.positions import open_source
from tests.store.acts import C, act, acts, add, check_served, join, served, standing, start, viruses, wait_for_lock
from tests.store.samples import DAY, HOUR, NOW, add_listings, add_policy

NET = C("192.0.2.0/24")


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """This test's database with a policy."""
    add_policy(engine)
    return engine


def exempt(engine: Engine, networks: Mapping[Client, str], ended: int | None = None, now: int = NOW) -> Exempted:
    with engine.begin() as connection:
        return add_exemptions(connection, networks, ended, act(now, "allow add"))


def load(engine: Engine) -> list[Exemption]:
    with engine.connect() as connection:
        return load_exemptions(connection)


def test_what_runs_wholly_inside_a_new_exemption_is_reversed_and_nothing_else(ready: Engine) -> None:
    add_listings(
        ready,
        Listing(C("192.0.2.1"), "errors", 1, NOW - 60, NOW + 60),
        Listing(C("192.0.2.1"), "auth", 1, NOW - 60, NOW + 60, "held"),
        Listing(C("192.0.2.1"), "virus", 1, NOW + 30, NOW + 60),
        Listing(C("192.0.2.2"), "errors", 1, NOW - 60, NOW),
        Listing(C("192.0.2.2"), "spam", 1, NOW - 60, NOW + 60, "shadow"),
        Listing(C("192.0.2.2"), "auth", 1, NOW - 60, NOW + 60, "dropped"),
        Listing(C("192.0.3.1"), "errors", 1, NOW - 60, NOW + 60),
        Listing(C("192.0.0.0/16"), "manual", 1, NOW - 60, NOW + 60),
        Listing(NET, "manual", 1, NOW - 60, NOW + 60),
    )
    feed = served(ready)
    before = standing(ready)
    done = exempt(ready, {NET: "partners"})
    check_served(ready, feed)
    one = C("192.0.2.1")
    assert done == Exempted(1, 0, 0, ((NET, "manual"), (one, "auth"), (one, "errors"), (one, "virus")))
    assert {name: found for name, found in standing(ready).items() if found != before[name]} == {
        "192.0.2.1 errors": ("reversed", -60, 0),
        "192.0.2.1 auth": ("reversed", -60, 0),
        "192.0.2.1 virus": ("reversed", 30, 30),
        "192.0.2.0/24 manual": ("reversed", -60, 0),
        "192.0.2.2 spam": ("shadow", -60, 0),
    }
    assert feed.table.lookup(C("192.0.2.9"), NOW).exemption is not None
    assert feed.table.lookup(C("192.0.3.9"), NOW).listings  # the wider ban has a hole, no more


def test_one_of_a_clock_that_was_ahead_does_not_stand_for_one_from_now_on(ready: Engine) -> None:
    exempt(ready, {NET: "partners"}, now=NOW + 86_400)
    add_listings(ready, Listing(C("192.0.2.1"), "errors", 1, NOW - 60, NOW + 60))
    feed = served(ready)
    done = exempt(ready, {NET: "partners"})
    check_served(ready, feed)
    assert done == Exempted(1, 0, 0, ((C("192.0.2.1"), "errors"),))
    assert feed.table.lookup(C("192.0.2.9"), NOW).exemption is not None


def test_an_exemption_is_in_force_from_its_second_to_its_end_and_says_who_made_it(ready: Engine) -> None:
    exempt(ready, {NET: "partners"}, NOW + 60)
    assert load(ready) == [Exemption(NET, NOW, NOW + 60, "partners", "ada")]
    add(ready, *viruses(NOW - 1, "192.0.2.1"), *viruses(NOW + 59, "192.0.2.2"), *viruses(NOW + 60, "192.0.2.3"))
    calculate.run(ready, lambda: NOW + 60)
    assert standing(ready) == {
        "192.0.2.1 virus": ("reversed", -1, 0),  # it came too late to be listed for long
        "192.0.2.3 virus": ("active", 60, 60 + DAY),
    }


def test_adding_again_replaces_comment_and_end_and_changes_nothing_when_both_are_the_same(ready: Engine) -> None:
    feed = served(ready)
    assert exempt(ready, {NET: "one", C("198.51.100.1"): "two"}).new == 2
    assert exempt(ready, {NET: "one", C("198.51.100.1"): "new"}, now=NOW + 5) == Exempted(0, 1, 1, ())
    assert exempt(ready, {NET: "one"}, NOW + 60, now=NOW + 6) == Exempted(0, 1, 0, ())
    assert exempt(ready, {NET: "one"}, NOW + 60, now=NOW + 7) == Exempted(0, 0, 1, ())
    check_served(ready, feed, NOW + 7)
    assert [(one.added, one.ended, one.comment) for one in load(ready)] == [
        (NOW, NOW + 60, "one"),
        (NOW, None, "new"),
    ]
    assert len(acts(ready)) == 3
    assert exempt(ready, {NET: "one"}, now=NOW + 60).new == 1  # the other has ended


def test_an_exemption_ends_when_it_is_removed_and_offences_count_again(ready: Engine) -> None:
    feed = served(ready)
    exempt(ready, {NET: "partners", C("192.0.2.0/28"): "some of them"})
    with ready.begin() as connection:
        assert end_exemption(connection, NET, act(NOW + 9, "allow remove")) == 1
        assert end_exemption(connection, NET, act(NOW + 9, "allow remove")) == 0
    check_served(ready, feed, NOW + 9)
    assert [one.ended for one in load(ready)] == [NOW + 9, None]
    add(ready, *viruses(NOW + 8, "192.0.2.99"), *viruses(NOW + 9, "192.0.2.98", "192.0.2.1"))
    calculate.run(ready, lambda: NOW + 9)
    assert standing(ready) == {"192.0.2.98 virus": ("active", 9, 9 + DAY)}
    assert [verb for _, verb, _ in acts(ready)] == ["allow add", "allow remove"]


def test_a_part_of_what_is_listed_as_one_lists_it_no_more_and_the_others_do(ready: Engine) -> None:
    one, other, whole = "2001:db8::1", "2001:db8::2", "2001:db8::/64 virus"
    exempt(ready, {C(one): "a friend"})
    add(ready, *viruses(NOW - 1, one), *viruses(NOW, one))
    calculate.run(ready, lambda: NOW)
    assert standing(ready) == {whole: ("active", -1, DAY - 1)}  # that of the second before
    add(ready, *viruses(NOW + DAY, one), now=NOW + DAY)
    calculate.run(ready, lambda: NOW + DAY)
    add(ready, *viruses(NOW + DAY + 60, other), now=NOW + DAY + 60)
    calculate.run(ready, lambda: NOW + DAY + 60)
    assert standing(ready, NOW + DAY + 60)[whole] == ("active", DAY + 60, 2 * DAY + 60)


def test_who_ends_an_exemption_waits_for_who_stores_while_it_holds(ready: Engine) -> None:
    exempt(ready, {NET: "partners"})
    add_days(ready, [NOW + 9])
    with ready.begin() as connection:
        hold_rules(connection)
        rulebook, held = load_rulebook(connection), Exemptions(load_exemptions(connection))
        threads = start(lambda: end(ready, NOW + 9))
        wait_for_lock(ready, threads[0])
        source = open_source(connection, "mx", "/var/log/mail.log")
        add_events(connection, source, viruses(NOW + 9, "192.0.2.1"), rulebook, held, NOW + 9)
    join(threads)
    calculate.run(ready, lambda: NOW + 9)
    assert standing(ready) == {"192.0.2.1 virus": ("active", 9, 9 + DAY)}


def end(engine: Engine, now: int) -> None:
    with engine.begin() as connection:
        end_exemption(connection, NET, act(now, "allow remove"))


def many(engine: Engine) -> set[str]:
    """Store seven listings in the network, and one outside; give those inside."""
    inside = [f"192.0.2.{n}" for n in range(7)]
    add_listings(engine, *(Listing(C(one), "errors", 1, NOW - 60, NOW + 60) for one in (*inside, "192.0.3.1")))
    return {f"{one} errors" for one in inside}


def test_a_wide_network_is_lifted_step_by_step_which_is_told_and_counted_in_the_one_act(
    ready: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, feed = many(ready), served(ready)
    monkeypatch.setattr(exemptions, "STEP", 3)
    seen: list[tuple[int, int]] = []
    with ready.begin() as connection:
        add_exemptions(connection, {NET: "x"}, None, act(), lambda *numbers: seen.append(numbers))
    check_served(ready, feed)
    assert seen == [(0, 7), (3, 7), (6, 7)]
    assert {name for name, found in standing(ready).items() if found == ("reversed", -60, 0)} == inside
    with ready.connect() as connection:
        (done,) = load_acts(connection)
    assert done.details["lifted"] == 7


def test_who_is_killed_while_a_wide_network_is_lifted_has_exempted_nothing(
    ready: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(lifted: int, _: int) -> None:
        if lifted:
            raise KeyboardInterrupt

    many(ready)
    before = standing(ready)
    monkeypatch.setattr(exemptions, "STEP", 3)
    with pytest.raises(KeyboardInterrupt), ready.begin() as connection:
        add_exemptions(connection, {NET: "x"}, None, act(), kill)
    assert (standing(ready), load(ready), acts(ready)) == (before, [], [])


def test_what_begins_when_an_exemption_has_ended_is_decided_anew(ready: Engine) -> None:
    add(ready, *viruses(NOW + 59, "192.0.2.1"), *viruses(NOW + 60, "192.0.2.2"))
    calculate.run(ready, lambda: NOW)
    exempt(ready, {NET: "x"}, NOW + 60)
    calculate.run(ready, lambda: NOW)
    assert standing(ready) == {
        "192.0.2.1 virus": ("reversed", 59, 59),
        "192.0.2.2 virus": ("active", 60, 60 + DAY),
    }


def test_own_networks_lift_too_and_are_not_removed_by_hand(ready: Engine) -> None:
    add_listings(ready, Listing(C("192.0.2.1"), "errors", 1, NOW - 60, NOW + 60))
    feed = served(ready)
    with ready.begin() as connection:
        store_own_networks(connection, [NET], NOW)
        assert end_exemption(connection, NET, act(NOW, "allow remove")) == 0
        assert [(one.author, one.details["lifted"]) for one in load_acts(connection)] == [("own_networks", 1)]
    check_served(ready, feed)
    assert standing(ready) == {"192.0.2.1 errors": ("reversed", -60, 0)}
    assert [one.ended for one in load(ready)] == [None]
    with ready.begin() as connection:
        store_own_networks(connection, [NET], NOW + 1)
        assert len(load_acts(connection)) == 1


@pytest.mark.parametrize("own", [False, True])
def test_who_exempts_waits_for_who_decides_and_lifts_what_that_one_lists(ready: Engine, own: bool) -> None:
    feed = served(ready)
    add(ready, *viruses(NOW - 60, "192.0.2.1", "198.51.100.1"))

    def change() -> None:
        if own:
            with ready.begin() as connection:
                store_own_networks(connection, [NET], NOW)
        else:
            exempt(ready, {NET: "partners"})

    with ready.begin() as calculator:
        hold_rules(calculator)
        rulebook, held = load_rulebook(calculator), Exemptions(load_exemptions(calculator))
        cases = load_cases(calculator, take_pending(calculator, NOW, 10), rulebook, held, NOW)
        threads = start(change)
        wait_for_lock(ready, threads[0])
        add_decisions(calculator, [(case, case.judge(rulebook)) for case in cases], None, NOW)
    join(threads)
    check_served(ready, feed)
    assert standing(ready) == {
        "192.0.2.1 virus": ("reversed", -60, 0),
        "198.51.100.1 virus": ("active", -60, DAY - 60),
    }


@pytest.mark.parametrize("seed", range(3))
def test_exactly_the_listings_inside_are_lifted_whatever_they_are(ready: Engine, seed: int) -> None:
    dice = random.Random(seed)

    def network() -> Client:
        if dice.random() < 0.3:
            return Client(6, 0x20010DB8 << 96 | dice.randrange(4) << 64, 128).truncate(dice.choice([32, 62, 63, 64]))
        return Client(4, 0xC0000200 + dice.randrange(16), 32).truncate(dice.choice([24, 28, 30, 31, 32, 32]))

    unique = sorted({(network(), dice.choice(CATEGORIES)) for _ in range(60)})
    listings = [
        Listing(client, category, 1, NOW - HOUR, NOW + dice.choice([-1, 0, 1, 900]), dice.choice(STATES))
        for client, category in unique
    ]
    add_listings(ready, *listings)
    feed = served(ready)
    networks = {network(): "" for _ in range(3)}
    done = exempt(ready, networks)
    check_served(ready, feed)
    assert set(done.lifted) == {
        (one.client, one.category)
        for one in listings
        if one.state in ("active", "held", "expired")
        and one.expires > NOW
        and any(net.covers(one.client) for net in networks)
    }
