"""The demo log: as shipped it is what the generator writes, and it tells what the cast promises."""

from __future__ import annotations

import gzip
import ipaddress
import re
from collections import Counter, defaultdict
from datetime import datetime
from functools import cache

import pytest

from ops.demo.acts import FORGED
from ops.demo.cast import CAST, Actor
from ops.demo.generate import LENGTH, TARGET, build, compress
from ops.demo.lines import END, START, Log, Offence
from repzone.model import RESERVED, Client
from repzone.reasons import Category

HOUR = 3600
# Threshold, window and ladder of every category, written down once more and not read from the policy.
RULES: dict[Category, tuple[int, int, list[int]]] = {
    "errors": (10, HOUR, [2, 4, 8, 16, 24]),
    "spam": (3, 6 * HOUR, [3, 6, 12, 24]),
    "virus": (1, HOUR, [24]),
    "auth": (10, HOUR, [2, 4, 8, 16, 24]),
}
DOCUMENTATION = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
OURS = {"127.0.0.1", "10.20.30.40"}


@cache
def log() -> Log:
    """Build it once."""
    return build()


@cache
def lines() -> list[str]:
    """Give the lines of the shipped file."""
    return gzip.decompress(TARGET.read_bytes()).decode("ascii").splitlines()


def test_shipped_file_is_what_the_generator_writes() -> None:
    """The texts are compared, not the compressed octets: those follow the zlib of the machine."""
    assert log().to_bytes() == gzip.decompress(TARGET.read_bytes()), "run: python -m ops.demo.generate"


def test_generator_writes_the_same_octets_each_time() -> None:
    """Two runs are equal octet for octet, and the header of the file holds no time."""
    first, second = (compress(build().to_bytes()) for _ in range(2))
    assert first == second
    assert first[4:8] == b"\0\0\0\0"


def test_size_fits_a_quick_demo() -> None:
    """It has 20,000 to 40,000 lines in at most 600 KB."""
    assert 20_000 <= len(lines()) <= 40_000
    assert TARGET.stat().st_size <= 600_000


def test_stamps_are_in_order_and_end_at_the_named_instant() -> None:
    """Whoever shifts the log can take the last line's stamp, or END."""
    stamps = [datetime.fromisoformat(line.split(" ", 1)[0]) for line in lines()]
    assert stamps == sorted(stamps)
    assert stamps[0] >= START
    assert stamps[-1] == END


def test_only_documentation_addresses_and_our_own_are_named() -> None:
    """Nobody's real address is in a file that we ship."""
    found = set(re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", "\n".join(lines())))
    found |= set(re.findall(r"\[([0-9a-f:]*:[0-9a-f:]*)\]", "\n".join(lines())))
    assert len(found) > 50
    strange = [
        text for text in found - OURS if not any(ipaddress.ip_address(text) in network for network in DOCUMENTATION)
    ]
    assert strange == []


def test_every_offence_stands_in_a_line_of_its_second() -> None:
    """What the generator counts is in the text, with the address in brackets."""
    by_second: dict[int, list[str]] = defaultdict(list)
    for line in lines():
        at = datetime.fromisoformat(line.split(" ", 1)[0])
        by_second[int((at - START).total_seconds())].append(line)
    lacking = [
        offence
        for offence in log().offences
        if not any(f"[{offence.address}]" in line for line in by_second[offence.at])
    ]
    assert len(log().offences) > 500
    assert lacking == []


def test_sessions_open_and_close_with_counters_that_fit() -> None:
    """One process serves one client at a time; refused recipients and logins are counted at the end."""
    open_: dict[str, tuple[str, Counter[str]]] = {}
    closed = 0
    for line in lines():
        match = re.match(r"\S+ mx1 (postfix/(?:\w+/)?smtpd\[\d+\]): (.*)", line)
        if match is None:
            continue
        process, text = match.groups()
        if text.startswith("connect from "):
            assert process not in open_
            open_[process] = (text.removeprefix("connect from "), Counter())
            continue
        client, seen = open_[process]
        assert client in text or "TLS" in text
        seen["rcpt"] += text.startswith("NOQUEUE: reject: RCPT ")
        seen["auth"] += "SASL" in text.split(client)[1][:8]
        if text.startswith("disconnect from "):
            _check_counters(text.removeprefix(f"disconnect from {client} "), seen)
            del open_[process]
            closed += 1
    assert open_ == {}
    assert closed > 2000


def _check_counters(text: str, seen: Counter[str]) -> None:
    failed, done = Counter[str](), Counter[str]()
    for pair in text.split():
        name, _, value = pair.partition("=")
        good, _, total = value.partition("/")
        done[name] = int(good)
        failed[name] = int(total or good) - int(good)
    assert failed["rcpt"] == seen["rcpt"]
    assert seen["auth"] in (0, failed["auth"])  # port 25 says nothing of a login that it does not offer
    assert done["commands"] == sum(done[name] for name in done if name != "commands")
    assert failed["commands"] == sum(failed[name] for name in failed if name != "commands")


def test_the_forged_address_is_named_often_and_never_by_a_daemon() -> None:
    """It is in enough lines to be listed by whoever believes them, and connects in none."""
    named = [line for line in lines() if f"[{FORGED}]" in line]
    assert len(named) > 40
    assert not [
        line for line in named if f"connect from unknown[{FORGED}]" in line or f"CONNECT from [{FORGED}]" in line
    ]


def listings_by_hand(offences: list[Offence]) -> list[tuple[int, int]]:
    """Count one key's offences of one category as one would on paper: (begin, end) in seconds after START."""
    threshold, window, ladder = RULES[offences[0].category]
    listings: list[tuple[int, int]] = []
    for second in sorted({offence.at for offence in offences}):
        free_from = listings[-1][1] if listings else 0
        since = max(free_from, second - window + 1)
        points = sum(offence.points for offence in offences if since <= offence.at <= second)
        if second >= free_from and points >= threshold:
            hours = ladder[min(len(listings), len(ladder) - 1)]
            listings.append((second, second + hours * HOUR))
    return listings


@cache
def by_hand() -> dict[tuple[str, Category], list[tuple[int, int]]]:
    """Give the listings of every client key and category that has any."""
    grouped: dict[tuple[str, Category], list[Offence]] = defaultdict(list)
    for offence in log().offences:
        client = Client.from_text(offence.address)
        if not any(network.covers(client) for network in RESERVED):
            grouped[client.key().to_text(), offence.category].append(offence)
    counted = {pair: listings_by_hand(offences) for pair, offences in grouped.items()}
    return {pair: listings for pair, listings in counted.items() if listings}


@pytest.mark.parametrize("actor", CAST, ids=lambda actor: actor.client)
def test_counting_by_hand_gives_what_the_cast_promises(actor: Actor) -> None:
    """Offence numbers are as promised, and so is what is listed an hour after the log's end."""
    got = {category: listings for (client, category), listings in by_hand().items() if client == actor.client}
    assert {category: len(listings) for category, listings in got.items()} == {
        promise.category: promise.offences for promise in actor.listings
    }
    for promise in actor.listings:
        end = got[promise.category][-1][1]
        assert end > LENGTH + HOUR if promise.active else end < LENGTH


def test_nobody_else_is_listed() -> None:
    """The cast is complete."""
    assert {client for client, _ in by_hand()} <= {actor.client for actor in CAST}


def test_every_category_is_listed_at_the_end_with_second_and_third_bans() -> None:
    """The demo has something to show in each category, of the ladder, and of IPv6."""
    active = [(actor.client, promise) for actor in CAST for promise in actor.listings if promise.active]
    assert {promise.category for _, promise in active} == set(RULES)
    assert {1, 2, 3} <= {promise.offences for _, promise in active}
    assert any(":" in client for client, _ in active)
