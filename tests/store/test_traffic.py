"""Clean traffic: by key and hour, without those who are exempt, whoever else writes at the same time."""

from __future__ import annotations

import threading

from sqlalchemy import text

from repzone.model import Client, Exemption, Exemptions, Traffic
from repzone.policy.rules import Rulebook, Version, parse
from repzone.store.engine import Engine
from repzone.store.traffic import add_traffic

HOUR = 3600
NOON = 1_789_992_000  # a whole hour
RULEBOOK = Rulebook([Version(1, 0, parse("", "shipped"))])


def store(engine: Engine, *traffic: Traffic, exemptions: tuple[Exemption, ...] = ()) -> None:
    with engine.begin() as connection:
        add_traffic(connection, traffic, RULEBOOK, Exemptions(exemptions))


def stored(engine: Engine) -> list[tuple[str, int, int, int]]:
    """Give key, hours since noon, connections and messages."""
    query = "SELECT key::text, extract(epoch FROM hour)::bigint, connections, messages FROM traffic ORDER BY key, hour"
    with engine.connect() as connection:
        return [(key, (at - NOON) // HOUR, *counts) for key, at, *counts in connection.execute(text(query))]


def of(client: str, at: int = NOON, connections: int = 0, messages: int = 0) -> Traffic:
    return Traffic(at, Client.from_text(client), connections, messages)


def test_traffic_is_summed_by_key_and_hour_over_transactions(engine: Engine) -> None:
    store(
        engine,
        of("192.0.2.1", connections=1),
        of("192.0.2.1", NOON + HOUR - 1, messages=2),
        of("192.0.2.1", NOON + HOUR, connections=1),
        of("2001:db8:1:2::5", messages=1),
        of("2001:db8:1:2:3::", connections=4),
    )
    store(engine, of("192.0.2.1", messages=5))
    assert stored(engine) == [
        ("192.0.2.1/32", 0, 1, 7),
        ("192.0.2.1/32", 1, 1, 0),
        ("2001:db8:1:2::/64", 0, 4, 1),
    ]


def test_exempt_clients_are_left_out_while_they_are_exempt(engine: Engine) -> None:
    exemption = Exemption(Client.from_text("192.0.2.0/24"), added=NOON, ended=NOON + 10)
    store(
        engine,
        *(of("127.0.0.1", connections=1), of("192.0.2.1", NOON + 9, connections=1)),
        of("192.0.2.1", NOON + 10, connections=1),
        exemptions=(exemption,),
    )
    assert stored(engine) == [("192.0.2.1/32", 0, 1, 0)]


def test_writers_of_the_same_clients_in_any_order_do_not_lock_each_other_out(engine: Engine) -> None:
    clients = [of(f"192.0.2.{n}", messages=1) for n in range(200)]

    def write(there: list[Traffic]) -> None:
        for _ in range(10):
            store(engine, *there)

    orders = clients, clients[::-1], clients[100:] + clients[:100]
    threads = [threading.Thread(target=write, args=(there,)) for there in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {messages for _, _, _, messages in stored(engine)} == {30}
