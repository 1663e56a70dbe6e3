"""`zone`: which zones there are, and that a paused one answers its test entries only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_serve import answers, serving, until

BLOCK = 'apex = "bl.example.net"\nnameservers = ["ns.example.net"]\ncategories = ["errors", "manual"]\nttl = "10m"\n'
ALLOW = 'apex = "wl.example.net"\nkind = "allow"\nnameservers = ["ns.example.net"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose configuration has a block zone and an allow zone."""
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text(BLOCK)
    (tmp_path / "zones" / "wl.toml").write_text(ALLOW)
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    return tmp_path


def test_a_paused_zone_answers_its_test_entries_until_it_is_resumed(run: Run, migrated_url: str, folder: Path) -> None:
    run("ban", "192.0.2.7", "--reason", "x")
    run("allow", "add", "192.0.2.8", "--comment", "x")
    with serving(folder, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.64",))
        assert run("zone", "pause", "bl.example.net").code == 0
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("NXDOMAIN",))
        assert answers(address, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
        assert answers(address, "64.0.0.127.bl.example.net") == ("127.0.0.64",)
        assert answers(address, "1.0.0.127.bl.example.net") == ("NXDOMAIN",)
        assert answers(address, "8.2.0.192.wl.example.net") == ("127.0.0.2",)
        run("zone", "pause")
        until(lambda: answers(address, "8.2.0.192.wl.example.net") == ("NXDOMAIN",))
        run("zone", "resume")
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.64",))
        until(lambda: answers(address, "8.2.0.192.wl.example.net") == ("127.0.0.2",))


def test_zones_are_listed_with_their_categories_their_serial_and_since_when_they_are_paused(
    run: Run, folder: Path
) -> None:
    paused = run("zone", "pause", "BL.example.net.", "--reason", "too many", "-o", "json").objects
    assert paused == [{"apex": "bl.example.net", "paused": True, "changed": True}]
    block, allow = run("zone", "list", "-o", "json").objects
    assert (block["apex"], block["kind"], block["categories"]) == ("bl.example.net", "block", ["errors", "manual"])
    assert (allow["apex"], allow["kind"], allow["categories"]) == ("wl.example.net", "allow", [])
    assert (block["paused"].endswith("Z"), allow["paused"], block["serial"]) == (True, None, 1)
    assert "bl.example.net answers only its test entries already." in run("zone", "pause", "bl.example.net").out
    again = run("zone", "pause", "bl.example.net", "--because", "still too many").out
    assert again == "bl.example.net answers only its test entries already: still too many.\n"
    assert "bl.example.net" in run("zone", "list").out
    acts = run("audit", "-o", "json").objects
    assert [(act["verb"], act["subject"], act["reason"]) for act in acts] == [
        ("zone pause", "bl.example.net", "still too many"),
        ("zone pause", "bl.example.net", "too many"),
    ]
    assert run("zone", "list", "-o", "json").objects[0]["serial"] == 1


def test_a_narrow_terminal_cuts_no_apex_and_no_date_short(run: Run, folder: Path) -> None:
    run("zone", "pause", "bl.example.net")
    lines = run("zone", "list", COLUMNS="30").out.splitlines()
    assert any(line.startswith("bl.example.net ") and " UTC " in line for line in lines)
    assert "nameservers  " in run("zone", "show", "bl.example.net", COLUMNS="20").out


def test_a_zone_is_shown_with_its_file_and_its_defaults(run: Run, folder: Path) -> None:
    (shown,) = run("zone", "show", "bl.example.net", "-o", "json").objects
    assert (shown["ttl"], shown["negative_ttl"], shown["contact"]) == ("10m", "1m", "hostmaster@bl.example.net")
    assert shown["codes"] == {"errors": 4, "manual": 64}
    assert shown["nameservers"] == ["ns.example.net"]
    assert "Too many errors from your IP" in shown["text"]["errors"]
    assert "127.0.0.0/8" in run("zone", "show", "bl.example.net").out


def test_a_zone_that_is_gone_from_the_configuration_can_still_be_resumed(run: Run, folder: Path) -> None:
    run("zone", "pause")
    (folder / "zones" / "wl.toml").unlink()
    assert "wl.example.net is paused, and not in the configuration." in run("zone", "list").out
    done = run("zone", "pause", "wl.example.net")
    assert (done.code, done.err) == (
        1,
        "repzone: there is no zone 'wl.example.net'; there are: bl.example.net\n",
    )
    assert {one["apex"] for one in run("zone", "resume", "-o", "json").objects if one["changed"]} == {
        "bl.example.net",
        "wl.example.net",
    }
