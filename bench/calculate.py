"""Stored events in, one table out: whether deciding follows what is new, and how fast the past is replayed.

    python -m bench.calculate --rows 10000000

(a) 10,000 new events of 5,000 clients are decided on beside a hundredth of the rows and beside all of them, in turn, in
one run: seconds of `calculate.run`. (b) All of it is replayed under another policy: events a second of this process's
own CPU time, and of the clock. The rows are those of a made-up month: a few clients do most, half a million do little.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from rich.console import Console
from sqlalchemy import text

from repzone import shipped
from repzone.cli.output import table
from repzone.jobs import calculate, simulate
from repzone.model import V4, Client, Event, Exemptions
from repzone.policy.rules import SHIPPED, Rulebook, parse
from repzone.store.embedded import running
from repzone.store.engine import Engine, connect
from repzone.store.events import add_days, add_events
from repzone.store.migrate import upgrade
from repzone.store.policies import load_policy
from repzone.store.positions import open_source

DAY = 86_400
DAYS = 30
START = 1_790_000_000 // DAY * DAY
CLIENTS = 500_000
NEW, OFFENDERS = 10_000, 5_000
OTHER = """
[categories.errors]
threshold = 8
durations = ["1h", "4h", "12h", "24h"]
[categories.auth]
threshold = 5
window = "2h"
"""

# The cube of an even number has few large values: the first of the clients do most. A network of documentation space
# has too few addresses for so many.
_FILL = text("""
INSERT INTO event (at, source_id, category, reason, count, late, key, client, component, detail)
SELECT to_timestamp(:start + floor(random() * :seconds)), 1, kind.category::category, kind.reason::reason, 1, false,
    client, client, '', ''
FROM (
    SELECT '11.0.0.0'::inet + floor(:clients * power(random(), 3))::bigint AS client, floor(random() * 6)::int AS n
    FROM generate_series(1, :rows)
) AS made
JOIN (VALUES (0, 'auth', 'auth_failed'), (1, 'auth', 'auth_unknown_user'), (2, 'errors', 'unknown_recipient'),
    (3, 'errors', 'dropped_connection'), (4, 'errors', 'relay_denied'), (5, 'spam', 'spam_detected'))
    AS kind (n, category, reason) USING (n)""")


def fill(engine: Engine, rows: int) -> Rulebook:
    """Make the tables and that many events; give the policy in force."""
    upgrade(engine, shipped.folder("migrations"))
    add_days(engine, range(START, START + (DAYS + 2) * DAY, DAY))
    index = "event_key_category_at_idx"
    with engine.begin() as connection:
        rulebook = load_policy(connection, SHIPPED, "policy.toml", START)
        connection.exec_driver_sql(f"DROP INDEX {index}")
        seconds = DAYS * DAY
        connection.execute(_FILL, {"start": START, "seconds": seconds, "clients": CLIENTS, "rows": rows})
        connection.exec_driver_sql(f"CREATE INDEX {index} ON event (key, category, at)")
        open_source(connection, "mx1", "/var/log/mail.log")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return rulebook


def decide(engine: Engine, rulebook: Rulebook, at: int) -> float:
    """Store new events and give the seconds that it takes to decide on them."""
    dice = random.Random(at)  # noqa: S311 - not a secret
    clients = [Client(V4, 0x0B000000 + int(CLIENTS * dice.random() ** 3), 32) for _ in range(OFFENDERS)]
    events = [Event(at + n // 20, clients[n % OFFENDERS], "auth_failed", 6) for n in range(NEW)]
    with engine.begin() as connection:
        source = open_source(connection, "mx1", "/var/log/mail.log")
        add_events(connection, source, events, rulebook, Exemptions(), at + NEW)
    began = perf_counter()
    calculate.run(engine, lambda: at + NEW)
    return perf_counter() - began


def replay(engine: Engine) -> tuple[simulate.Outcome, float, float]:
    """Simulate over all that is stored; give what was found, seconds of our own CPU time and of the clock."""
    began, clock = process_time(), perf_counter()
    found = simulate.run(engine, parse(OTHER, "other"), START, START + DAYS * DAY)
    return found, process_time() - began, perf_counter() - clock


def main() -> None:
    """Measure, and print a table of each."""
    parser = argparse.ArgumentParser(description="Deciding on what is new, and replaying what is stored.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="repzone-") as folder, running(Path(folder)) as url:
        home = connect(url)
        with home.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CREATE DATABASE few")
        few = connect(str(home.url.set(database="few").render_as_string(hide_password=False)).replace("+psycopg", ""))
        sizes = {few: asked.rows // 100, home: asked.rows}
        rulebooks = {}
        for engine, rows in sizes.items():
            print(f"{rows:,} events ...", file=sys.stderr)
            rulebooks[engine] = fill(engine, rows)
        outcome, cpu, clock = replay(home)
        taken: dict[Engine, list[float]] = {engine: [] for engine in sizes}
        for number in range(asked.rounds):
            for engine, seconds in taken.items():
                seconds.append(decide(engine, rulebooks[engine], START + DAYS * DAY + number * 7200))
        for engine in sizes:
            engine.dispose()
    made = table(">new events", ">stored", ">seconds", ">ratio")
    for engine, rows in sizes.items():
        ratio = median(mine / least for mine, least in zip(taken[engine], taken[few], strict=True))
        made.add_row(f"{NEW:,}", f"{rows:,}", f"{median(taken[engine]):.2f}", f"{ratio:.2f}")
    console.print(made)
    made = table(">replayed", ">events/s of CPU", ">events/s", ">listings")
    listings = sum(tally.listings for tally in outcome.tallies["new"].values())
    made.add_row(
        f"{outcome.events:,}", f"{outcome.events / cpu:,.0f}", f"{outcome.events / clock:,.0f}", f"{listings:,}"
    )
    console.print(made)


if __name__ == "__main__":
    main()
