"""`audit`: who did what, when and why."""

from __future__ import annotations

from sqlalchemy import text

from repzone.store.engine import Engine
from tests.cli.conftest import Run


def test_every_act_is_there_with_who_what_when_and_why_the_newest_first(run: Run, engine: Engine) -> None:
    assert "Nothing was done by hand since " in run("audit").out
    run("ban", "192.0.2.1", "--reason", "floods\x1b[31m us", SUDO_USER="ada")
    run("unban", "192.0.2.1", "--because", "our customer", SUDO_USER="ben")
    newest, oldest = run("audit", "-o", "json").objects
    assert (newest["author"], newest["verb"], newest["subject"], newest["reason"]) == (
        *("ben", "unban", "192.0.2.1", "our customer"),
    )
    assert (oldest["author"], oldest["verb"], oldest["subject"]) == ("ada", "ban", "192.0.2.1")
    assert set(oldest) == {"at", "author", "verb", "subject", "reason", "details"}
    shown = run("audit").out
    assert shown.index("ben") < shown.index("ada")
    assert "floods\\x1b[31m us" in shown
    assert len(run("audit", "--limit", "1", "-o", "json").objects) == 1
    with engine.begin() as connection:
        connection.execute(text("UPDATE act SET at = at - interval '40 days' WHERE author = 'ada'"))
    assert [act["author"] for act in run("audit", "-o", "json").objects] == ["ben"]
    assert [act["author"] for act in run("audit", "--since", "41d", "-o", "json").objects] == ["ben", "ada"]


def test_what_the_configuration_exempts_is_an_act_too(run: Run) -> None:
    run("listings", REPZONE_OWN_NETWORKS="192.0.2.0/24")
    (act,) = run("audit", "-o", "json", REPZONE_OWN_NETWORKS="192.0.2.0/24").objects
    assert (act["author"], act["verb"], act["details"]["added"]) == ("own_networks", "configure", ["192.0.2.0/24"])


def test_details_are_written_as_other_commands_write_them(run: Run) -> None:
    run("ban", "192.0.2.1", "--reason", "floods us", "--for", "4h")
    until = run("listings", "-o", "json").objects[0]["expires"].replace("T", " ").replace(":00Z", "").replace("Z", "")
    run("unban", "192.0.2.1", "--false-positive")
    run("listings", REPZONE_OWN_NETWORKS="192.0.2.0/28,192.0.2.32/28")
    shown = run("audit").out
    assert "listings: manual 1; false positive\n" in shown
    assert f"until {until} UTC " in shown
    assert "added: 192.0.2.0/28, 192.0.2.32/28\n" in shown


def test_no_address_is_broken_however_narrow_the_terminal(run: Run) -> None:
    addresses = ["203.0.113.201", "2001:db8:1234:5678::/64", "2001:db8:ffff:1234:5678:9abc:def0:1234"]
    for address in addresses:
        run("allow", "add", address, "--comment", f"asked for {address}, which is theirs")
    for columns in ("30", "60", "70"):
        shown = run("audit", COLUMNS=columns).out
        assert [address for address in addresses if shown.count(address) < 2] == [], shown
