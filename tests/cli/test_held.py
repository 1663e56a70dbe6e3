"""`held`: what the brake holds is shown, released or dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_commands import ago


@pytest.fixture
def held(run_process: Run, run: Run, tmp_path: Path) -> Run:
    """Runs commands where one listing is active and three are held, the last begun first: .3, .2 and .1."""
    (tmp_path / "policy.toml").write_text("brake_listings = 1\n")
    (tmp_path / "repzone.toml").write_text('policy_file = "policy.toml"\n')
    lines = [f'{{"at": "{ago(9 - n)}", "client": "192.0.2.{n}", "reason": "virus_found"}}\n' for n in range(4)]
    run_process("ingest", "-", "--format", "jsonl", text="".join(lines))
    return run


def test_what_is_held_is_listed_and_not_in_the_zone(held: Run) -> None:
    listed = held("held", "list", "-o", "json").objects
    assert [(one["client"], one["state"]) for one in listed] == [(f"192.0.2.{n}", "held") for n in (3, 2, 1)]
    assert "3 listings held." in held("held", "list").out
    assert held("held", "list", "--category", "spam").out == "Nothing is held.\n"
    assert [one["client"] for one in held("listings", "-o", "json").objects] == ["192.0.2.0"]


def test_all_are_only_shown_until_yes(held: Run) -> None:
    shown = held("held", "release", "--all").out
    assert shown == (
        "Would release 3 listings (virus 3).\nClients: 192.0.2.3, 192.0.2.2, 192.0.2.1.\n"
        "Nothing is changed yet: --yes does it.\n"
    )
    assert held("held", "drop", "--all", "--category", "spam", "--yes").out == "Nothing is held.\n"
    assert len(held("held", "list", "-o", "json").objects) == 3
    done = held("held", "release", "--all", "--because", "a real wave", "--yes").out
    assert done.startswith("Released 3 listings (virus 3): a real wave.\n")
    assert len(held("listings", "-o", "json").objects) == 4
    (act,) = held("audit", "-o", "json").objects
    assert (act["verb"], act["subject"], act["details"]["published"]) == ("held release", "all", {"virus": 3})


def test_addresses_are_decided_at_once_and_one_that_has_nothing_held_is_named(held: Run) -> None:
    done = held("held", "drop", "192.0.2.1", "192.0.2.9", "--because", "our newsletter")
    assert done.code == 1
    assert "192.0.2.9 has no listing that is held." in done.out
    assert "Dropped 1 listing (virus 1): our newsletter." in done.out
    states = {one["client"]: one["state"] for one in held("listings", "--all", "-o", "json").objects}
    assert states["192.0.2.1"] == "dropped"
    (done_json,) = held("held", "release", "192.0.2.2", "-o", "json").objects
    assert [one["client"] for one in done_json["listings"]] == ["192.0.2.2"]
    assert held("held", "release").code == held("held", "release", "192.0.2.3", "--all").code == 2
