"""What doctor says of who answers on our port."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from repzone.config import Settings
from repzone.jobs.doctor import Case
from repzone.serve.doctor import check_ports
from repzone.store.engine import Engine
from tests.serve.running import running
from tests.wire.sample import NOW, make_view

CHANGED = text("""
INSERT INTO listing_change (serial, at, apex, began) VALUES (:serial, to_timestamp(:at), 'bl.example.net', now())""")


@pytest.mark.parametrize(
    ("serial", "age", "changed", "level"),
    [
        (812, 1, 3600, "right"),
        (811, 1, 3600, "warning"),  # it knows what our database never gave out
        (813, 1, 5, "right"),  # it may be about to see that
        (813, 1, 3600, "warning"),
        (813, 50, 100, "right"),
        (813, None, 3600, "right"),  # it has not looked at all: others say so
        (813, 3000, 3600, "right"),
    ],
)
def test_a_server_that_has_another_database_is_told_by_its_serial(
    engine: Engine, serial: int, age: int | None, changed: int, level: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE change_serial SET serial = :serial"), {"serial": serial})
        connection.execute(CHANGED, {"serial": serial, "at": NOW - changed})
    view = replace(make_view(), serial=812, age=age)
    with running(lambda: view) as server:
        settings = Settings(dns_listen=(f"127.0.0.1:{server.address[1]}",))
        (found,) = check_ports(Case(settings, view.zones, engine, lambda: NOW))
    assert found.level == level
    assert (f"serial 812, and ours is at {serial}" in found.what) == (level == "warning")
    assert f"{server.address[1]}" in found.mend or level == "right"
