"""`held`: what the brake holds is shown, released or dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.model import Client, Listing
from repzone.reasons import Category
from repzone.store.engine import Engine
from tests.cli.conftest import Run
from tests.cli.test_commands import ago
from tests.cli.test_explain import NOW
from tests.store.samples import add_listings, add_policy


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


def hold(engine: Engine, *listings: tuple[str, Category]) -> None:
    """Store listings that are held, the last one begun last."""
    add_policy(engine)
    began = enumerate(listings, NOW - 60)
    add_listings(engine, *(Listing(Client.from_text(key), of, 1, at, NOW + 3600, "held") for at, (key, of) in began))


def test_a_network_means_all_that_lie_in_it_and_they_are_only_shown_until_yes(run: Run, engine: Engine) -> None:
    hold(engine, *((f"192.0.2.{n}", "virus") for n in (1, 2, 3)))
    shown = run("held", "drop", "192.0.2.2/31", "192.0.2.1")
    assert (shown.code, shown.out) == (
        0,
        "Would drop 3 listings (virus 3).\nClients: 192.0.2.3, 192.0.2.2, 192.0.2.1.\n"
        "Nothing is changed yet: --yes does it.\n",
    )
    (shown_json,) = run("held", "drop", "192.0.2.2/31", "-o", "json").objects
    assert shown_json["dry_run"]
    assert len(run("held", "list", "-o", "json").objects) == 3
    done = run("held", "drop", "192.0.2.2/31", "198.51.100.0/24", "--because", "ours", "--yes")
    assert (done.code, "198.51.100.0/24 has no listing that is held." in done.out) == (1, True)
    assert "Dropped 2 listings (virus 2): ours.\nClients: 192.0.2.3, 192.0.2.2.\n" in done.out
    assert [one["client"] for one in run("held", "list", "-o", "json").objects] == ["192.0.2.1"]
    (act,) = run("audit", "-o", "json").objects
    assert (act["subject"], act["details"]["listings"]) == ("192.0.2.2/31, 198.51.100.0/24", {"virus": 2})


def test_one_client_is_decided_at_once_however_it_is_named(run: Run, engine: Engine) -> None:
    nets = [f"2001:db8:0:{n}::/64" for n in range(3)]
    hold(engine, ("192.0.2.1", "spam"), (nets[0], "spam"), (nets[0], "auth"), (nets[1], "spam"), (nets[2], "spam"))
    assert run("held", "release", "192.0.2.0/24").out.startswith("Released 1 listing (spam 1).\n")
    assert run("held", "drop", "2001:db8::25").out.startswith("Dropped 2 listings (auth 1, spam 1).\n")
    assert run("held", "drop", nets[1]).out.startswith("Dropped 1 listing (spam 1).\n")
    assert f"{nets[1]} has no listing that is held." in run("held", "drop", nets[1]).out
    assert [one["client"] for one in run("held", "list", "-o", "json").objects] == [nets[2]]
