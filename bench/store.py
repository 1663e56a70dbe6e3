"""Events in, one table out: how fast they are stored, beside a bare COPY of the same rows, and how much they take.

    python -m bench.store --rows 500000

Both go into the same empty partitioned table with its index, in one run: `add_events` in transactions as ingest makes
them, COPY in one. The rows are those of a made-up week: most clients offend once or twice a day, a few thousands of
times; a fifth of them have IPv6 addresses.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg
from rich.console import Console

from repzone import shipped
from repzone.cli.output import table
from repzone.model import V4, V6, Client, Event, Exemptions
from repzone.policy.rules import SHIPPED
from repzone.store.embedded import running
from repzone.store.engine import Engine, connect
from repzone.store.events import add_days, add_events
from repzone.store.migrate import upgrade
from repzone.store.policies import load_policy
from repzone.store.positions import open_source

START = 1_790_000_000 // 86_400 * 86_400
DAYS = 7
BATCH = 50_000
"""Events of one transaction, as many as ingest takes."""

EVENTS_OF_A_CLIENT = 12
"""A day, in the mean."""

KINDS = {
    ("auth_failed", "postfix/smtpd", "SASL LOGIN authentication failed"): 30,
    ("auth_failed", "dovecot", "imap-login: auth failed, 3 attempts in 14 secs, method=PLAIN"): 12,
    ("unknown_recipient", "postfix/smtpd", "RCPT 550 5.1.1 Recipient address rejected: User unknown in table"): 20,
    ("relay_denied", "postfix/smtpd", "RCPT 554 5.7.1 Relay access denied"): 6,
    ("dropped_connection", "postfix/smtpd", "lost connection after CONNECT"): 10,
    ("greylisted", "postgrey", "action=greylist, reason=new"): 8,
    ("pregreet", "postfix/postscreen", "PREGREET 14 after 0.05: EHLO example.org"): 4,
    ("spam_detected", "amavis", "Blocked SPAM, hits 17.3 of 6.3, subject and names left out"): 8,
    ("dnsbl_listed", "postfix/postscreen", "DNSBL rank 6"): 2,
}


def made_up(rows: int, seed: int = 1) -> Iterator[Event]:
    """Give events in order of time; a client keeps to one kind, mostly."""
    dice = random.Random(seed)  # noqa: S311 - not a secret
    kinds, weights = list(KINDS), list(KINDS.values())
    number = rows // DAYS
    for day in range(DAYS):
        clients = [(_client(dice), dice.choices(kinds, weights)[0]) for _ in range(number // EVENTS_OF_A_CLIENT)]
        heavy = list(accumulate(1 / (rank + 3) for rank in range(len(clients))))
        instants = sorted(START + day * 86_400 + dice.randrange(86_400) for _ in range(number))
        for at, (client, kind) in zip(instants, dice.choices(clients, cum_weights=heavy, k=number), strict=True):
            reason, component, detail = kind if dice.random() < 0.9 else dice.choices(kinds, weights)[0]
            yield Event(at, client, reason, 1, component, detail)


def _client(dice: random.Random) -> Client:
    if dice.random() < 0.2:
        return Client(V6, 0x20010DB8 << 96 | dice.getrandbits(96), 128)
    return Client(V4, dice.randrange(0x0B000000, 0x7E000000), 32)  # so many are more than documentation space has


def add(engine: Engine, events: list[Event]) -> float:
    """Store the events as ingest does; give the seconds."""
    with engine.begin() as connection:
        rulebook = load_policy(connection, SHIPPED, "policy.toml", START)
        source = open_source(connection, "mx1", "/var/log/mail.log")
    exemptions = Exemptions()
    began = perf_counter()
    for first in range(0, len(events), BATCH):
        with engine.begin() as connection:
            batch = events[first : first + BATCH]
            add_events(connection, source, batch, rulebook, exemptions, START + DAYS * 86_400)
    return perf_counter() - began


def copy_out(url: str) -> bytes:
    """Give the stored rows in order of time, as COPY takes them."""
    statement = "COPY (SELECT * FROM event ORDER BY at) TO STDOUT"
    with psycopg.connect(url) as connection, connection.cursor().copy(statement) as stream:
        return b"".join(bytes(block) for block in stream)


def copy_in(url: str, rows: bytes) -> float:
    """Store the same rows by COPY; give the seconds."""
    began = perf_counter()
    with psycopg.connect(url) as connection, connection.cursor().copy("COPY event FROM STDIN") as into:
        into.write(rows)
    return perf_counter() - began


def octets(engine: Engine) -> int:
    """Give what the events take on disk, with their indexes."""
    query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('event') WHERE isleaf"
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def empty(engine: Engine) -> None:
    """Take everything away."""
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE event, pending")


def main() -> None:
    """Measure a few times in turn, and print the medians."""
    parser = argparse.ArgumentParser(description="Speed and size of stored events, beside a bare COPY.")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    events = list(made_up(asked.rows))
    gc.freeze()  # ingest never holds so many
    adding, copying = [], []
    with tempfile.TemporaryDirectory(prefix="repzone-") as folder, running(Path(folder)) as url:
        engine = connect(url)
        upgrade(engine, shipped.folder("migrations"))
        add_days(engine, range(START, START + DAYS * 86_400, 86_400))
        for number in range(asked.rounds):
            print(f"round {number + 1} of {asked.rounds} ...", file=sys.stderr)
            empty(engine)
            adding.append(add(engine, events))
            size, rows = octets(engine), copy_out(url)
            empty(engine)
            copying.append(copy_in(url, rows))
        engine.dispose()
    made = table(">events", ">bare COPY", ">add_events", ">ratio", ">octets/event")
    ratio = median(bare / ours for bare, ours in zip(copying, adding, strict=True))
    speeds = (f"{len(events) / median(seconds):,.0f}/s" for seconds in (copying, adding))
    made.add_row(f"{len(events):,}", *speeds, f"{ratio:.2f}", f"{size / len(events):.0f}")
    Console(highlight=False).print(made)


if __name__ == "__main__":
    main()
