"""An exemption of a network with many listings inside: lifted in steps, each as if all had been lifted at once."""

from __future__ import annotations

import pytest

from repzone.jobs import exempt
from repzone.model import Client, Listing
from repzone.store.acts import load_acts
from repzone.store.engine import Engine
from repzone.store.exemptions import Exempted
from tests.store.acts import C, act, check_served, served, standing
from tests.store.samples import NOW, add_listings, add_policy

NETWORKS = {C("192.0.2.0/24"): "partners", C("192.0.2.0/28"): "some of them"}
INSIDE = tuple((Client(4, 0xC0000200 + n, 32), "errors") for n in range(7))


@pytest.fixture
def ready(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A database with seven listings in the networks and one outside, and steps of two."""
    monkeypatch.setattr(exempt, "STEP", 2)
    add_policy(engine)
    clients = [client for client, _ in INSIDE] + [C("192.0.3.1")]
    add_listings(engine, *(Listing(client, "errors", 1, NOW - 60, NOW + 60) for client in clients))
    return engine


def begin(engine: Engine, now: int = NOW) -> Exempted:
    with engine.begin() as connection:
        return exempt.begin(connection, NETWORKS, None, act(now, "allow add"))


def lifted_by_acts(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [one.details["lifted"] for one in load_acts(connection)]


def test_steps_lift_as_one_would_and_are_counted_in_the_one_act(ready: Engine) -> None:
    feed = served(ready)
    done = begin(ready)
    assert (len(done.lifted), len(done.left)) == (2, 2)
    check_served(ready, feed)
    seen: list[tuple[int, int]] = []
    assert exempt.go_on(ready, done, NOW, lambda *numbers: seen.append(numbers)) == INSIDE
    check_served(ready, feed)
    assert seen == [(2, 7), (4, 7), (6, 7)]
    assert lifted_by_acts(ready) == [7]
    ended = {name for name, (state, _, end) in standing(ready).items() if (state, end) == ("reversed", 0)}
    assert ended == {f"{client} {category}" for client, category in INSIDE}


def test_nobody_inside_is_served_as_listed_from_the_first_step_on(ready: Engine) -> None:
    feed = served(ready)
    begin(ready)
    check_served(ready, feed)
    assert not any(feed.table.lookup(client, NOW).listings for client, _ in INSIDE)
    assert feed.table.lookup(C("192.0.3.1"), NOW).listings


def test_what_a_killed_command_left_is_lifted_when_it_is_run_again(ready: Engine) -> None:
    begin(ready)
    again = begin(ready, NOW + 5)
    assert (again.new, again.same, len(again.lifted)) == (0, 2, 2)
    assert exempt.go_on(ready, again, NOW + 5, lambda *numbers: None) == INSIDE[2:]
    assert lifted_by_acts(ready) == [5, 2]
    assert begin(ready, NOW + 6) == Exempted(0, 0, 2, ())
    assert len(lifted_by_acts(ready)) == 2


def configure(engine: Engine, *networks: str, now: int = NOW) -> None:
    exempt.configure(engine, [C(network) for network in networks], now)


def test_own_networks_are_lifted_in_steps_too_and_counted_in_the_one_act(ready: Engine) -> None:
    feed = served(ready)
    configure(ready, "192.0.2.0/24")
    check_served(ready, feed)
    assert {name for name, (state, *_) in standing(ready).items() if state == "reversed"} == {
        f"{client} {category}" for client, category in INSIDE
    }
    with ready.connect() as connection:
        (act,) = load_acts(connection)
    assert act.details == {"added": ["192.0.2.0/24"], "ended": [], "lifted": 7}
    configure(ready, "192.0.2.0/24", now=NOW + 1)
    assert lifted_by_acts(ready) == [7]


def test_what_a_killed_command_left_of_own_networks_is_lifted_by_the_next(
    ready: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exempt, "lift", kill)
        with pytest.raises(KeyboardInterrupt):
            configure(ready, "192.0.2.0/24")
    assert lifted_by_acts(ready) == [2]
    configure(ready, "192.0.2.0/24", now=NOW + 5)
    assert lifted_by_acts(ready) == [7]
    configure(ready, "192.0.2.0/24", now=NOW + 6)
    assert lifted_by_acts(ready) == [7]


def test_what_is_no_own_network_any_more_is_not_lifted_on(ready: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(exempt, "go_on", lambda *_: None)
        patch.setattr(exempt, "forget_in_act", lambda *_: None)
        configure(ready, "192.0.2.0/24")
    configure(ready)
    configure(ready, now=NOW + 5)
    assert sum(state == "reversed" for state, *_ in standing(ready).values()) == 2
