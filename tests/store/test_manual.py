"""Bans and their ends: what becomes of the listings, of later offences, and of what others do meanwhile."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from repzone.errors import RepzoneError
from repzone.jobs import calculate
from repzone.model import Client, Exemption, Exemptions, Listing
from repzone.reasons import Category
from repzone.store.changes import load_paused
from repzone.store.engine import Engine
from repzone.store.exemptions import add_exemptions, end_exemption, load_exemptions
from repzone.store.find import find_listings
from repzone.store.listings import add_decisions, load_cases, take_pending
from repzone.store.manual import Choice, ban, find_sources, load_pauses, pause_zones, preview, unban
from repzone.store.policies import load_rulebook
from tests.store.acts import (
    C,
    act,
    acts,
    add,
    check_served,
    join,
    served,
    standing,
    start,
    viruses,
    wait_for_lock,
)
from tests.store.samples import DAY, HOUR, NOW, add_listings, add_policy
from tests.store.samples import add_exemptions as store_exemptions

ONE = C("192.0.2.1")


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """This test's database with a policy."""
    add_policy(engine)
    return engine


def do_ban(engine: Engine, key: Client = ONE, length: int = HOUR, now: int = NOW, reason: str = "why") -> None:
    with engine.begin() as connection:
        ban(connection, key, key, now + length, act(now, reason=reason))


def do_unban(
    engine: Engine, choice: Choice | None = None, now: int = NOW, *, false_positive: bool = False
) -> dict[Category, int]:
    with engine.begin() as connection:
        choice = choice or Choice(frozenset([ONE]))
        return unban(connection, choice, act(now, "unban"), false_positive=false_positive)


def load_all(engine: Engine) -> list[Listing]:
    with engine.connect() as connection:
        return find_listings(connection, NOW, everything=True)


def decide(engine: Engine, now: int = NOW) -> None:
    calculate.run(engine, lambda: now)


def test_a_ban_is_in_the_zone_until_its_end_and_names_who_did_it(ready: Engine) -> None:
    feed = served(ready)
    do_ban(ready)
    check_served(ready, feed)
    assert feed.table.lookup(ONE, NOW + HOUR - 1).listings == (Listing(ONE, "manual", 1, NOW, NOW + HOUR),)
    assert not feed.table.lookup(ONE, NOW + HOUR).listings
    assert acts(ready) == [("ada", "ban", "why")]


def test_banning_again_replaces_end_and_reason_and_keeps_the_begin(ready: Engine) -> None:
    feed = served(ready)
    do_ban(ready)
    with ready.begin() as connection:
        banned = ban(connection, ONE, ONE, NOW + 60, act(NOW + 9, reason="other"))
    assert banned.listing == Listing(ONE, "manual", 1, NOW, NOW + 60, comment="other")
    assert banned.before == (NOW + HOUR, "why")
    check_served(ready, feed, NOW + 9)
    assert standing(ready) == {"192.0.2.1 manual": ("active", 0, 60)}


def test_a_ban_that_has_ended_is_followed_by_another_one(ready: Engine) -> None:
    do_ban(ready, length=60)
    do_ban(ready, now=NOW + 60)
    assert standing(ready) == {"192.0.2.1 manual": ("active", 60, 60 + HOUR)}


@pytest.mark.parametrize(("false_positive", "state"), [(False, "released"), (True, "reversed")])
def test_a_ban_that_was_ended_in_its_first_second_can_be_made_again_in_it(
    ready: Engine, false_positive: bool, state: str
) -> None:
    feed = served(ready)
    do_ban(ready)
    assert do_unban(ready, false_positive=false_positive) == {"manual": 1}
    assert standing(ready) == {"192.0.2.1 manual": (state, 0, 0)}
    do_ban(ready, length=60)
    check_served(ready, feed)
    assert standing(ready) == {"192.0.2.1 manual": ("active", 0, 60)}


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("192.0.2.9", "192.0.2.9 is not banned: 192.0.2.0/28 is exempt (a partner)"),
        ("2001:db8:1:1::1", "2001:db8:1:1::/64 is exempt (own_networks of the configuration)"),
        ("10.1.0.0/16", "10.0.0.0/8 is reserved address space, never listed"),
    ],
)
def test_what_is_exempt_is_not_banned_and_the_exemption_is_named(ready: Engine, client: str, said: str) -> None:
    store_exemptions(
        ready,
        Exemption(C("192.0.2.0/28"), NOW, None, "a partner", "ada"),
        Exemption(C("192.0.2.9"), 0, NOW, "has ended", "ada"),
        Exemption(C("2001:db8:1:1::/64"), 0, None, "own network", "own_networks"),
    )
    with pytest.raises(RepzoneError) as refused:
        do_ban(ready, C(client))
    assert said in str(refused.value)
    assert standing(ready) == {}
    assert acts(ready) == []


def test_an_address_exempt_within_its_key_is_not_banned(ready: Engine) -> None:
    address = C("2001:db8:1:1::1")
    store_exemptions(ready, Exemption(address, 0, None, "our backup"))
    with ready.begin() as connection, pytest.raises(RepzoneError, match="our backup"):
        ban(connection, address, address.key(64), NOW + HOUR, act())


def test_an_unban_ends_every_listing_of_a_key_at_that_second_held_ones_too(ready: Engine) -> None:
    add_listings(
        ready,
        Listing(ONE, "errors", 1, NOW - 60, NOW + 60),
        Listing(ONE, "auth", 1, NOW - 60, NOW + 60, "held"),
        Listing(ONE, "spam", 1, NOW - 60, NOW + 60, "shadow"),
        Listing(ONE, "virus", 1, NOW - 60, NOW),
        Listing(C("192.0.2.2"), "errors", 1, NOW - 60, NOW + 60),
        Listing(C("192.0.2.0/24"), "manual", 1, NOW - 60, NOW + 60),
    )
    feed = served(ready)
    assert do_unban(ready) == {"auth": 1, "errors": 1}
    check_served(ready, feed)
    assert {name: (state, end) for name, (state, _, end) in standing(ready).items()} == {
        "192.0.2.1 errors": ("released", 0),
        "192.0.2.1 auth": ("released", 0),
        "192.0.2.1 spam": ("shadow", 60),
        "192.0.2.1 virus": ("active", 0),
        "192.0.2.2 errors": ("active", 60),
        "192.0.2.0/24 manual": ("active", 60),
    }
    assert do_unban(ready) == {}
    assert len(acts(ready)) == 1


def test_a_listing_that_begins_a_little_later_ends_where_it_begins(ready: Engine) -> None:
    add_listings(ready, Listing(ONE, "virus", 1, NOW + 60, NOW + 120))
    do_unban(ready)
    assert standing(ready) == {"192.0.2.1 virus": ("released", 60, 60)}


@pytest.mark.parametrize(("false_positive", "offence"), [(False, 2), (True, 1)])
def test_offences_from_the_unban_on_count_and_older_ones_never(
    ready: Engine, false_positive: bool, offence: int
) -> None:
    add(ready, *viruses(NOW - 60, "192.0.2.1"))
    decide(ready)
    do_unban(ready, false_positive=false_positive)
    add(ready, *viruses(NOW - 1, "192.0.2.1"))
    decide(ready)
    state = "reversed" if false_positive else "released"
    assert standing(ready) == {"192.0.2.1 virus": (state, -60, 0)}
    add(ready, *viruses(NOW, "192.0.2.1"))
    decide(ready)
    assert standing(ready) == {"192.0.2.1 virus": ("active", 0, DAY)}
    assert [one.offence for one in load_all(ready) if one.began == NOW] == [offence]


def test_an_unban_waits_for_who_decides_just_now_and_leaves_what_comes_after_it_to_be_decided(ready: Engine) -> None:
    add(ready, *viruses(NOW - 60, "192.0.2.1"))
    decide(ready)
    add(ready, *viruses(NOW + 5, "192.0.2.1"))
    with ready.begin() as calculator:
        rulebook = load_rulebook(calculator)
        (case,) = load_cases(calculator, take_pending(calculator, NOW + 9, 10), rulebook, Exemptions(), NOW + 9)
        judgement = case.judge(rulebook)
        assert judgement.listings == []  # it lies inside the listing that it sees
        threads = start(lambda: do_unban(ready, now=NOW + 5))
        wait_for_lock(ready, threads[0])
        add_decisions(calculator, [(case, judgement)], None, NOW + 9)
    join(threads)
    decide(ready, NOW + 9)
    assert standing(ready) == {"192.0.2.1 virus": ("active", 5, 5 + DAY)}


MANY = (
    Listing(C("192.0.2.1"), "errors", 1, NOW - 2 * HOUR, NOW + 60, "active", {"timeout": 9, "vrfy_expn": 2}),
    Listing(C("192.0.2.2"), "errors", 1, NOW - HOUR, NOW + 60, "held", {"timeout": 9}),
    Listing(C("192.0.2.3"), "auth", 1, NOW - HOUR, NOW - 60, "expired", {"auth_failed": 9}),
    Listing(C("192.0.2.4"), "auth", 1, NOW - HOUR, NOW - 60, "active", {"auth_failed": 9}),
    Listing(C("192.0.2.5"), "auth", 1, NOW - HOUR, NOW - 60, "released", {"auth_failed": 9}),
    Listing(C("192.0.2.6"), "auth", 1, NOW - HOUR, NOW + 60, "reversed", {"auth_failed": 9}),
    Listing(C("192.0.2.7"), "auth", 1, NOW - HOUR, NOW + 60, "shadow", {"auth_failed": 9}),
    Listing(C("192.0.2.8"), "manual", 1, NOW - HOUR, NOW + 60),
    Listing(C("2001:db8::/64"), "spam", 1, NOW - 60, NOW + 60, "active", {"spamtrap": 3}),
)
CHOICES: list[tuple[Choice, str]] = [
    (Choice(since=NOW - 2 * HOUR), "1 2 ::"),
    (Choice(since=NOW - HOUR), "2 ::"),
    (Choice(since=NOW - HOUR + 1), "::"),
    (Choice(since=NOW - 2 * HOUR, category="errors"), "1 2"),
    (Choice(since=NOW - 2 * HOUR, category="manual"), "8"),
    (Choice(since=NOW - 2 * HOUR, reason="vrfy_expn"), "1"),
    (Choice(since=NOW - 2 * HOUR, reason="timeout", category="auth"), ""),
    (Choice(since=NOW - 2 * HOUR, ended=True), "1 2 3 4 5 ::"),
    (Choice(since=NOW - 2 * HOUR, ended=True, reason="auth_failed"), "3 4 5"),
    (Choice(frozenset([C("192.0.2.8"), C("192.0.2.3")])), "8"),
]


@pytest.mark.parametrize(("choice", "chosen"), CHOICES, ids=str)
def test_a_choice_ends_what_it_shows_and_nothing_else(ready: Engine, choice: Choice, chosen: str) -> None:
    names = {str(one.client).removeprefix("192.0.2.").removeprefix("2001:db8").removesuffix("/64") for one in MANY}
    assert set(chosen.split()) <= names
    add_listings(ready, *MANY)
    feed = served(ready)
    before = standing(ready)
    with ready.connect() as connection:
        shown = preview(connection, choice, NOW)
    counts = do_unban(ready, choice, false_positive=choice.ended)
    check_served(ready, feed)
    after = standing(ready)
    changed = {name for name in before if after[name] != before[name]}
    assert {
        name.split()[0].removeprefix("192.0.2.").removeprefix("2001:db8").removesuffix("/64") for name in changed
    } == (set(chosen.split()))
    assert sum(counts.values()) == len(changed) == sum(shown.running.values()) + shown.ended
    assert {str(client) for client in shown.clients} == {name.split()[0] for name in changed}
    for name in changed:
        state, began, ends = after[name]
        assert (state, began) == ("reversed" if choice.ended else "released", before[name][1])
        assert ends == min(before[name][2], 0)  # what has ended keeps its end


def test_listings_are_found_by_the_log_that_led_to_them(ready: Engine) -> None:
    add(ready, *viruses(NOW - 60, "192.0.2.1"), path="/var/log/a.log")
    add(ready, *viruses(NOW - 60, "192.0.2.2"), path="/var/log/b.log")
    decide(ready)
    add(ready, *viruses(NOW - 30, "192.0.2.2"), path="/var/log/a.log")  # while it was listed: not what led to it
    for name in ("/var/log/a.log", "mx:/var/log/a.log"):
        with ready.connect() as connection:
            choice = Choice(since=NOW - HOUR, sources=find_sources(connection, name))
            assert preview(connection, choice, NOW).clients == (ONE,)
    with ready.connect() as connection:
        assert len(find_sources(connection, "mx")) == 2
        with pytest.raises(
            RepzoneError, match=r"no source 'c\.log'; there are: mx:/var/log/a\.log, mx:/var/log/b\.log"
        ):
            find_sources(connection, "c.log")


def test_two_operators_who_ban_the_same_leave_one_listing_and_both_acts(ready: Engine) -> None:
    feed = served(ready)
    join(start(*(partial(do_ban, ready, length=HOUR + n, now=NOW + n % 2) for n in range(8))))
    check_served(ready, feed, NOW + 1)
    assert len(standing(ready)) == len(load_all(ready)) == 1
    assert len(acts(ready)) == 8


@pytest.mark.parametrize("seed", range(2))
def test_whatever_operators_calculators_and_ingestion_do_at_once_the_zone_is_what_the_database_says(
    ready: Engine, seed: int
) -> None:
    feed = served(ready)
    addresses = [f"192.0.2.{n}" for n in range(12)]

    def operate(dice: random.Random) -> None:
        for now in range(NOW, NOW + 10):
            client, what = C(dice.choice(addresses)), dice.randrange(4)
            with ready.begin() as connection, suppress(RepzoneError):  # what is exempt is not banned
                if what == 0:
                    add_exemptions(connection, {client.truncate(31): ""}, None, act(now, "allow add"))
                elif what == 1:
                    end_exemption(connection, client.truncate(31), act(now, "allow remove"))
                elif what == 2:
                    unban(connection, Choice(), act(now, "unban"), false_positive=True)
                else:
                    ban(connection, client, client, now + HOUR, act(now))

    def offend(dice: random.Random) -> None:
        for now in range(NOW, NOW + 10):
            add(ready, *viruses(now, *dice.sample(addresses, 6)), now=now)

    def judge(dice: random.Random) -> None:
        for now in range(NOW, NOW + 10):
            calculate.run(ready, lambda now=now: now, most=dice.randrange(1, 9))  # type: ignore[misc]

    work = [operate, operate, offend, offend, judge, judge]
    with ThreadPoolExecutor(len(work)) as pool:
        done = [pool.submit(one, random.Random(10 * seed + n)) for n, one in enumerate(work)]
    for one in done:
        one.result()
    decide(ready, NOW + 10)
    check_served(ready, feed, NOW + 10)
    with ready.connect() as connection:
        exemptions = Exemptions(load_exemptions(connection))
    listed = [one for one in load_all(ready) if one.state == "active" and one.expires > NOW + 10]
    assert [one for one in listed if exemptions.find(one.client, NOW + 10)] == []


def test_zones_are_paused_and_resumed_once(ready: Engine) -> None:
    zones = ["bl.example.net", "wl.example.net"]
    with ready.begin() as connection:
        assert pause_zones(connection, zones[:1], act(NOW, "zone pause"), paused=True) == zones[:1]
        assert pause_zones(connection, zones, act(NOW + 1, "zone pause"), paused=True) == zones[1:]
        assert load_pauses(connection) == {zones[0]: NOW, zones[1]: NOW + 1}
        assert pause_zones(connection, zones, act(NOW + 2, "zone pause", reason=""), paused=True) == []
        assert pause_zones(connection, zones, act(NOW + 3, "zone resume"), paused=False) == zones
        assert load_paused(connection) == frozenset()
    assert [verb for _, verb, _ in acts(ready)] == ["zone pause", "zone pause", "zone resume"]
