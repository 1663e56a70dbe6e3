"""The demo log through the database: exactly the listings that its cast promises, however it is shifted."""

from __future__ import annotations

from datetime import UTC

from sqlalchemy import text

from ops.demo.cast import CAST
from ops.demo.generate import TARGET
from ops.demo.lines import END
from repzone.jobs import calculate
from repzone.jobs.demo import last_instant, shifted
from repzone.jobs.ingest import Ingestion
from repzone.logs.join import OwnZones
from repzone.logs.reader import Reader
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Engine
from repzone.store.find import find_listings
from repzone.store.policies import load_policy

NOW = 1_790_000_000
OWN = OwnZones(("bl.example.net",), ("https://postmaster.example.net/?ip={client}",))


def test_the_log_ends_when_its_generator_says() -> None:
    assert last_instant(TARGET) == int(END.timestamp())


def test_the_database_holds_the_listings_that_the_cast_promises(engine: Engine) -> None:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    make_reader = shifted(lambda state: Reader(UTC, OWN, state), NOW - last_instant(TARGET))
    outcome = Ingestion(engine, lambda: NOW, "mx1", make_reader).run_file(TARGET)
    assert (outcome.skipped, outcome.hits) == (0, 51)
    calculate.run(engine, lambda: NOW)
    with engine.connect() as connection:
        found = find_listings(connection, NOW, everything=True)
        hits = connection.scalar(text("SELECT sum(count) FROM hit"))
    offences = {(str(one.client), one.category, one.offence) for one in found}
    assert offences == {
        (actor.client, promise.category, number)
        for actor in CAST
        for promise in actor.listings
        for number in range(1, promise.offences + 1)
    }
    active = {(str(one.client), one.category) for one in found if one.expires > NOW + 3600}
    assert active == {
        (actor.client, promise.category) for actor in CAST for promise in actor.listings if promise.active
    }
    assert hits == 51
