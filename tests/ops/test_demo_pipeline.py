"""The demo log through the real parsers and the real calculator: exactly the listings that the cast promises.

Without the database: what `ingest` and `calculate` keep there is handed on in memory.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from datetime import UTC
from functools import cache

import pytest

from ops.demo.cast import CAST, Actor
from ops.demo.generate import TARGET
from ops.demo.lines import END
from repzone.logs.join import OwnZones
from repzone.logs.reader import Reader
from repzone.model import Event, Exemptions, Hit
from repzone.policy import rules
from repzone.policy.calculator import Decision, Offence, calculate
from repzone.policy.rules import Rulebook, Version
from repzone.reasons import CATALOGUE, Category

HOUR = 3600
END_AT = int(END.timestamp())
OWN = OwnZones(apexes=("bl.example.net",), urls=("https://postmaster.example.net/?ip={client}",))


@cache
def parsed() -> list[Event | Hit]:
    """Give all offences and hits that the shipped log tells of."""
    reader = Reader(UTC, OWN)
    told = reader.read_block(gzip.decompress(TARGET.read_bytes()), 1, END_AT)
    found = [what for what in told if isinstance(what, Event | Hit)]
    assert (reader.skipped, reader.unmatched) == (0, 0)
    return found


@cache
def listed() -> dict[tuple[str, Category], list[Decision]]:
    """Give the listings of every client key and category that has any, by the shipped policy."""
    rulebook = Rulebook([Version(1, 0, rules.parse("", "shipped"))])
    exemptions = Exemptions()
    offences: dict[tuple[str, Category], list[Offence]] = defaultdict(list)
    for event in parsed():
        if isinstance(event, Event) and exemptions.find(event.client, event.at) is None:
            key = (event.client.key().to_text(), CATALOGUE[event.reason])
            offences[key].append(Offence(event.at, event.reason, event.count))
    for done in offences.values():
        done.sort(key=lambda offence: offence.at)
    decided = {key: calculate(done, (), key[1], rulebook).listings for key, done in offences.items()}
    return {key: decisions for key, decisions in decided.items() if decisions}


@pytest.mark.parametrize("actor", CAST, ids=lambda actor: actor.client)
def test_the_listings_are_as_the_cast_promises(actor: Actor) -> None:
    """Categories and offence numbers, and what is still listed an hour after the log's end."""
    got = {category: decisions for (client, category), decisions in listed().items() if client == actor.client}
    numbers = {category: [decision.offence for decision in decisions] for category, decisions in got.items()}
    assert numbers == {promise.category: list(range(1, promise.offences + 1)) for promise in actor.listings}
    for promise in actor.listings:
        assert (got[promise.category][-1].expires > END_AT + HOUR) == promise.active


def test_nobody_else_is_listed() -> None:
    """Neither ordinary senders nor our own users, nor whoever offenders name."""
    assert {client for client, _ in listed()} <= {actor.client for actor in CAST if actor.listings}


def test_refusals_by_our_own_zone_are_hits() -> None:
    """Three bans were asked for, twice a little beyond their end."""
    hits = [what for what in parsed() if isinstance(what, Hit)]
    assert {hit.client.to_text() for hit in hits} == {"192.0.2.10"}
    assert len(hits) == 3 * 9 + 2 * 12
