"""The page and the DNS never disagree: who is blocked, for what, and from and until which second."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.fastpath import make_table
from repzone.model import Client, Listing
from repzone.policy.rules import SHIPPED
from repzone.reasons import Category
from repzone.store.changes import add_changes, set_paused
from repzone.store.engine import Engine
from repzone.store.manual import Choice, unban
from repzone.store.policies import load_policy
from repzone.store.sender import load_sender
from repzone.store.zone import load_rows
from repzone.web.knowledge import Knowledge
from repzone.web.verdict import Kind, Known, Verdict, judge
from repzone.wire.ask import encode_query, parse_reply
from repzone.wire.respond import View, respond
from repzone.zone import rows
from repzone.zone.names import to_labels
from tests.store.acts import act
from tests.store.samples import HOUR, add_listings, add_policy
from tests.web.site_of import ALLOW, SPAM, ZONE, site

NOW = 1_790_000_000
ASKER = Client.from_text("127.0.0.1")
NETWORKS = [
    *(f"192.0.2.{n}" for n in range(12)),
    *("192.0.2.0/29", "192.0.2.8/30", "198.51.100.0/24", "2001:db8:1::/64", "2001:db8:1:2::/64", "2001:db8:1::/48"),
    *("10.0.0.1", "127.0.0.2", "2001:db8:1::5"),
]
ASKED = [
    *(f"192.0.2.{n}" for n in range(13)),
    *("198.51.100.9", "2001:db8:1::5", "2001:db8:1:2::6", "2001:db8:1:3::7", "203.0.113.1", "::ffff:192.0.2.3"),
    *("10.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.99", "2001::1", "64:ff9b::c000:203"),
]
_LISTING = text("""
INSERT INTO listing (key, category, offence, began, expires, state, created, counts_until)
VALUES (:key, :category, :offence, to_timestamp(:began), to_timestamp(:expires), :state, to_timestamp(:began),
    CASE WHEN CAST(:state AS listing_state) IN ('reversed', 'dropped') THEN to_timestamp(:began) END)
ON CONFLICT DO NOTHING""")
_EXEMPTION = text(
    "INSERT INTO exemption (network, added, ended) VALUES (:key, to_timestamp(:added), to_timestamp(:ended))"
)


def fill(engine: Engine, chance: random.Random) -> None:
    """Store listings in all states and exemptions, some of which begin and end in the time that is asked about."""
    categories = ("errors", "spam", "virus", "auth", "manual")
    states = ("active", "active", "active", "held", "reversed", "dropped", "shadow", "released")
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW - 1000)
        for key in NETWORKS:
            for category in chance.sample(categories, chance.randint(0, 4)):
                began = NOW - chance.randint(1, 900)
                values = {"key": key, "category": category, "offence": chance.randint(1, 9), "began": began}
                values |= {"expires": NOW + chance.randint(1, 400), "state": chance.choice(states)}
                connection.execute(_LISTING, values)
        for key in chance.sample(NETWORKS, 6):
            added = NOW + chance.randint(-500, 200)
            ended = chance.choice([None, added + chance.randint(0, 400)])
            connection.execute(_EXEMPTION, {"key": key, "added": added, "ended": ended})
        if chance.random() < 0.3:
            set_paused(connection, [chance.choice(["bl.example.net", "spam.bl.example.net"])], True, NOW, None)


@pytest.mark.parametrize("seed", range(10))
def test_page_and_dns_agree_on_a_hundred_random_cases_at_random_times(
    engine: Engine, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    fill(engine, chance)
    made = site(tmp_path, zones=(ZONE, SPAM, ALLOW))
    table = make_table()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        serial, found = load_rows(connection, NOW - 1)
        paused = frozenset(connection.scalars(text("SELECT apex FROM zone_pause")))
    rows.load(table, found)
    view = View(made.zones, table, serial, 0, paused=paused)

    async def look() -> list[tuple[Client, int, Verdict]]:
        knowledge = Knowledge(lambda: engine, tmp_path, time.monotonic)
        seen = []
        for _ in range(100):
            client, now = Client.from_text(chance.choice(ASKED)), NOW + chance.randint(0, 410)
            known = await knowledge.look_up(client, now)
            assert known.live
            seen.append((client, now, judge(client, now, known, made.zones, made.max_stale)))
        return seen

    kinds = set()
    for client, now, verdict in asyncio.run(look()):
        said = {zone.apex: _answers(client, zone.apex, now, view) for zone in made.zones if zone.kind == "block"}
        codes = {
            zone.apex: {f"127.0.0.{zone.codes[b.listing.category]}" for b in verdict.blocks if zone.apex in b.zones}
            for zone in made.zones
            if zone.kind == "block"
        }
        if verdict.kind is Kind.test:
            assert any(said.values()), (client, now)
        else:
            assert codes == said, (client, now, verdict)
            assert (verdict.kind is Kind.blocked) == any(said.values())
        allowed = _answers(client, "wl.example.net", now, view)
        assert (verdict.kind is Kind.exempt) <= bool(allowed)
        kinds.add(verdict.kind)
    assert {Kind.blocked, Kind.clear, Kind.reserved} <= kinds


def _answers(client: Client, apex: str, now: int, view: View) -> set[str]:
    """Ask the DNS for the addresses of a client in a zone."""
    name = f"{b'.'.join(to_labels(client)).decode()}.{apex}"
    reply = respond(encode_query(name, "A", 7), ASKER, now, view, udp=True)
    assert reply is not None
    return set(parse_reply(reply, 7).answers)


def test_of_a_block_that_no_zone_published_nobody_learns_afterwards(tmp_path: Path) -> None:
    client, nothing = Client.from_text("192.0.2.1"), make_table().lookup(Client.from_text("192.0.2.1"), NOW)
    cases: tuple[tuple[Category, bool], ...] = (("spam", True), ("auth", False))
    for category, told in cases:
        ended = Listing(client, category, 1, NOW - 60, NOW - 30, "expired")
        known = Known(nothing, frozenset(), 1, 0, live=True, ended=(ended,))
        verdict = judge(client, NOW, known, site(tmp_path, zones=(SPAM,)).zones, 60)
        assert (verdict.kind, verdict.ended is not None) == (Kind.clear, told)


def test_of_blocks_that_ended_the_last_one_that_a_zone_published_is_told(engine: Engine, tmp_path: Path) -> None:
    client = Client.from_text("192.0.2.1")
    add_policy(engine, SHIPPED)
    ends: tuple[tuple[Category, int], ...] = (
        ("spam", NOW - 300),
        ("virus", NOW - 200),
        ("virus", NOW - 400),
        ("errors", NOW - 100),
    )
    add_listings(engine, *(Listing(client, name, 1, end - 60, end, "expired") for name, end in ends))
    with engine.connect() as connection:
        sender = load_sender(connection, client, NOW)
    assert [(one.category, one.expires) for one in sender.ended] == [ends[3], ends[1], ends[0]]
    nothing = make_table().lookup(client, NOW)
    known = Known(nothing, frozenset(), 1, 0, live=True, ended=sender.ended)
    ended = judge(client, NOW, known, site(tmp_path, zones=(SPAM,)).zones, 60).ended
    assert ended is not None
    assert (ended.category, ended.expires) == ("virus", NOW - 200)


def test_the_end_that_is_told_is_the_second_at_which_the_dns_says_no_more(engine: Engine, tmp_path: Path) -> None:
    row = {"key": "192.0.2.1", "category": "spam", "offence": 1, "began": NOW, "expires": NOW + 60, "state": "active"}
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
        connection.execute(_LISTING, row)
    made = site(tmp_path)
    client = Client.from_text("192.0.2.1")

    async def kinds() -> list[Kind]:
        knowledge = Knowledge(lambda: engine, tmp_path, time.monotonic)
        return [
            judge(client, at, await knowledge.look_up(client, at), made.zones, 60).kind for at in (NOW + 59, NOW + 60)
        ]

    assert asyncio.run(kinds()) == [Kind.blocked, Kind.clear]


def test_of_what_was_reversed_only_that_is_told_which_blocked_somebody(engine: Engine) -> None:
    published, held = Client.from_text("192.0.2.1"), Client.from_text("192.0.2.2")
    ends = NOW + HOUR
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    numbers = add_listings(
        engine,
        Listing(published, "spam", 1, NOW - 60, ends),
        Listing(held, "spam", 1, NOW - 60, ends, "held"),
    )
    with engine.begin() as connection:
        add_changes(connection, numbers, NOW - 60)
    with engine.begin() as connection:
        choice = Choice(keys=frozenset({published, held}))
        assert unban(connection, choice, act(NOW), false_positive=True) == {"spam": 2}
    with engine.connect() as connection:
        told = [
            [(one.state, one.expires) for one in load_sender(connection, client, NOW).ended]
            for client in (published, held)
        ]
    assert told == [[("reversed", NOW)], []]
