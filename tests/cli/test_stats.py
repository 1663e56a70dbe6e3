"""`repzone stats`: what happened, for people in bars and for programs in numbers."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from repzone.model import Client, Event, Exemptions, Hit, Listing, Traffic
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.policies import load_rulebook
from repzone.store.positions import open_source
from repzone.store.traffic import add_traffic
from tests.cli.conftest import Run, runner
from tests.cli.hostile import WORDS, is_harmless
from tests.store.samples import DAY, HOUR, add_listings, add_policy, add_spared

NOW = int(time.time())  # noqa: TID251 - these tests play the operator's world
C = Client.from_text


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database in which something of everything happened, today and nine days ago."""
    add_policy(engine)
    events = [Event(NOW, C(f"192.0.2.{n}"), "timeout", 600, "postfix/smtpd", "x") for n in (1, 2)]
    events += [Event(NOW, C("2001:db8:1:2::1"), "spamtrap", 3), Event(NOW - 9 * DAY, C("192.0.2.1"), "virus_found")]
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        rulebook = load_rulebook(connection)
        add_events(connection, open_source(connection, "mx", "/log"), events, rulebook, Exemptions(), NOW)
        add_hits(connection, [Hit(NOW, C("192.0.2.1"))] * 2, rulebook)
        add_traffic(connection, [Traffic(NOW, C("192.0.2.9"), 5, 4)], rulebook, Exemptions())
    add_listings(
        engine,
        *(Listing(C("192.0.2.1"), "errors", n, NOW - n, NOW - n + 1, "expired") for n in (1, 2)),
        Listing(C("192.0.2.2"), "errors", 1, NOW - 5, NOW, "reversed"),
    )
    add_spared(engine, "192.0.2.3", "spam", NOW - HOUR, NOW)
    return engine


def test_programs_get_every_sum_in_one_object(run: Run, filled: Engine) -> None:
    (found,) = run("stats", "-o", "json").objects
    assert sum(day["offences"]["errors"] for day in found["days"]) == 1200
    assert sum(day["listings"]["errors"] for day in found["days"]) == 2
    assert [(day["hits"], day["connections"], day["messages"]) for day in found["days"]][-1] == (2, 5, 4)
    assert found["reasons"] == {"timeout": 1200, "spamtrap": 3}
    assert (found["sources"], found["components"]) == ({"mx:/log": 1203}, {"postfix/smtpd": 1200})
    assert found["networks"] == [
        {"network": "192.0.2.0/24", "offences": 1200, "addresses": 2},
        {"network": "2001:db8:1::/48", "offences": 3, "addresses": 1},
    ]
    assert found["offenders"] == [{"client": "192.0.2.1", "listings": 2, "offence": 2, "hits": 2}]
    assert (found["spared"], found["undone"]) == ({"spam": 1}, {"reversed": 1})


def test_the_time_that_is_summed_can_be_chosen(run: Run, filled: Engine) -> None:
    (found,) = run("stats", "--since", "10d", "-o", "json").objects
    assert found["reasons"]["virus_found"] == 1
    (found,) = run("stats", "--since", "2100-01-01", "-o", "json").objects
    assert (found["days"], found["reasons"], found["since"]) == ([], {}, "2100-01-01T00:00:00Z")
    assert run("stats", "--since", "soon").code == 2


def test_people_see_the_sums_and_bars_that_compare_them(run: Run, filled: Engine) -> None:
    out = run("stats").out
    first, spared, undone, *lines = out.splitlines()
    assert first.endswith(": 1,203 offences, 2 listings, 2 mails refused because their client was listed.")
    assert (spared, undone) == ("1 client spared for clean mail (spam 1).", "1 reversed listing.")
    bars = {line.split()[0]: line.count("\N{FULL BLOCK}") for line in lines if line.strip()}
    assert (bars["timeout"], bars["spamtrap"], bars["192.0.2.0/24"], bars["2001:db8:1::/48"]) == (30, 1, 30, 1)
    assert [line.split()[:4] for line in lines if line.startswith("192.0.2.1 ")] == [["192.0.2.1", "2", "2nd", "2"]]
    limited = run("stats", "--limit", "1").out
    assert "1 more " in limited
    assert "spamtrap" not in limited


def test_bars_become_shorter_where_there_is_less_room_and_are_not_broken(run: Run, filled: Engine) -> None:
    lines = [line for line in run("stats", COLUMNS="40").out.splitlines() if line.strip()]
    bars = {line.split()[0]: line.count("\N{FULL BLOCK}") for line in lines}
    assert (bars["timeout"], bars["spamtrap"]) == (20, 1)
    assert max(bar for name, bar in bars.items() if re.match(r"\d{4}-", name)) == 12  # whose row is wider than that
    assert not any(line.startswith((" ", "\N{FULL BLOCK}")) for line in lines)


def test_where_nothing_happened_that_is_all_that_is_said(run: Run) -> None:
    out = run("stats").out
    assert out.splitlines()[0].endswith("0 offences, 0 listings, 0 mails refused because their client was listed.")
    assert len(out.splitlines()) == 1


def test_no_name_of_a_log_or_component_is_obeyed(run: Run, filled: Engine) -> None:
    with filled.begin() as connection:
        source = open_source(connection, "mx", WORDS)
        event = Event(NOW, C("192.0.2.1"), "vrfy_expn", 1, WORDS, "x")
        add_events(connection, source, [event], load_rulebook(connection), Exemptions(), NOW)
    for words in ((), ("-o", "json")):
        assert is_harmless(run("stats", *words).out)


@pytest.mark.usefixtures("filled")
def test_an_output_of_another_encoding_gets_bars_that_it_can_show(tmp_path: Path, migrated_url: str) -> None:
    run = runner(tmp_path, {"REPZONE_DATABASE_URL": migrated_url})
    assert "timeout      1,200  ##############################" in run("stats", PYTHONIOENCODING="ascii").out
