"""`repzone zone accept`: a server that holds a reload says so, and takes it when it is told."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import text

from repzone.serve.client import ask
from repzone.store.engine import Engine
from tests.cli.conftest import Run
from tests.cli.test_serve import answers, serving, until
from tests.jobs.listed import add_listings

LISTED, KEPT = "7.2.0.192.bl.example.net", "1.113.0.203.bl.example.net"


def test_a_zone_that_would_lose_most_is_held_until_it_is_accepted(
    engine: Engine, run_process: Run, migrated_url: str, tmp_path: Path
) -> None:
    now = int(time.time())  # noqa: TID251 - this test plays the operator's world
    lost = add_listings(engine, [f"192.0.2.{n}" for n in range(10)], now)
    add_listings(engine, [f"203.0.113.{n}" for n in range(9)], now)
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):

        def status() -> str:
            (said,) = ask(address, "_status.bl.example.net", "TXT").answers
            return said

        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        nothing = run_process("zone", "accept")
        assert (nothing.code, nothing.out) == (1, "")
        assert "no reload is held by a server whose state_dir is " in nothing.err
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM listing_change WHERE listing_id = ANY(:lost)"), {"lost": lost})
            connection.execute(text("DELETE FROM listing WHERE id = ANY(:lost)"), {"lost": lost})
            connection.exec_driver_sql("DELETE FROM listing_change WHERE serial = 19")
            connection.exec_driver_sql("UPDATE change_serial SET serial = 18")
        until(lambda: " held=yes " in status())
        assert (answers(address, LISTED), answers(address, KEPT)) == (("127.0.0.8",), ("127.0.0.8",))
        shown = run_process("zone", "accept")
        assert "the server lists 19, the database (serial 18) 9; 10 listings would go" in shown.out
        assert "Run it with --yes" in shown.out
        (fields,) = run_process("zone", "accept", "-o", "json").objects
        assert (fields["listed"], fields["offered"], fields["lost"], fields["accepted"]) == (19, 9, 10, False)
        assert " held=yes " in status()
        assert "Accepted" in run_process("zone", "accept", "--yes").out
        until(lambda: answers(address, LISTED) == ("NXDOMAIN",))
        assert answers(address, KEPT) == ("127.0.0.8",)
        assert "held" not in status()
        assert run_process("zone", "accept").code == 1
    assert (tmp_path / "said").read_text().count("zone.reload_held") == 1
