"""When a policy that is loaded comes in force."""

from __future__ import annotations

from repzone.model import Client, Event, Exemptions
from repzone.policy.rules import Rulebook
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events
from repzone.store.locks import hold_rules
from repzone.store.policies import load_policy, load_rulebook
from repzone.store.positions import open_source
from tests.store.acts import join, start, wait_for_lock

NOW = 1_790_000_000
YEARS = 10 * 365 * 86_400


def load(engine: Engine, threshold: int, now: int) -> Rulebook:
    with engine.begin() as connection:
        return load_policy(connection, f"[categories.errors]\nthreshold = {threshold}", "policy.toml", now)


def starts(rulebook: Rulebook) -> list[int]:
    return [version.effective_from - NOW for version in rulebook.versions]


def test_it_is_in_force_at_once_and_behind_what_was_read_of_a_log_whose_clock_is_ahead(engine: Engine) -> None:
    load(engine, 1, NOW)
    assert starts(load(engine, 2, NOW + 60)) == [0, 60]
    events = [Event(NOW + ahead, Client.from_text("192.0.2.7"), "timeout", 1) for ahead in (100, 300, 9000)]
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", "/var/log/mail.log")
        add_events(connection, source, events, load_rulebook(connection), Exemptions(()), NOW + 60)
    assert starts(load(engine, 3, NOW + 61)) == [0, 60, 301]
    assert starts(load(engine, 3, NOW + 62)) == [0, 60, 301]
    assert starts(load(engine, 4, NOW + 63)) == [0, 60, 301, 301]


def test_it_waits_for_who_stores_by_the_one_before_and_comes_in_force_behind_that(engine: Engine) -> None:
    load(engine, 1, NOW)
    event = Event(NOW + 60, Client.from_text("192.0.2.7"), "timeout", 1)
    add_days(engine, [event.at])
    with engine.begin() as connection:
        hold_rules(connection)
        rulebook = load_rulebook(connection)
        threads = start(lambda: load(engine, 2, NOW + 60))
        wait_for_lock(engine, threads[0])
        source = open_source(connection, "mx", "/var/log/mail.log")
        add_events(connection, source, [event], rulebook, Exemptions(()), NOW + 60)
    join(threads)
    assert starts(load(engine, 2, NOW + 61)) == [0, 61]


def test_what_was_loaded_under_a_clock_that_was_years_ahead_keeps_no_later_one_back(engine: Engine) -> None:
    load(engine, 1, NOW)
    load(engine, 2, NOW + YEARS)
    for threshold, later in ((3, 60), (2, 120)):
        rulebook = load(engine, threshold, NOW + later)
        assert rulebook.at(NOW + later).policy.rules("errors").threshold == threshold
