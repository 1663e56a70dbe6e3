"""`repzone explain`: what an operator is told who wants to know why."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from repzone.model import Client, Event, Exemption, Exemptions, Hit, Listing, State, Traffic
from repzone.policy.rules import INITIAL
from repzone.store.acts import add_act
from repzone.store.changes import add_changes
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.exemptions import load_exemptions
from repzone.store.policies import load_rulebook
from repzone.store.positions import open_source
from repzone.store.traffic import add_traffic
from repzone.zone.texts import format_instant
from tests.cli.conftest import Run
from tests.cli.hostile import WORDS, is_harmless
from tests.store.samples import DAY, HOUR, add_exemptions, add_listings, add_policy, add_spared, execute

NOW = int(time.time())  # noqa: TID251 - these tests play the operator's world
CLIENT = Client.from_text("192.0.2.7")


def store(engine: Engine, *events: Event) -> None:
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", "/var/log/mail.log")
        exemptions = Exemptions(load_exemptions(connection))
        add_events(connection, source, events, load_rulebook(connection), exemptions, NOW)


def offences(number: int, ago: int = 600, client: Client = CLIENT) -> list[Event]:
    return [
        Event(NOW - ago + n, client, "unknown_recipient", 1, "postfix/smtpd", "no such user") for n in range(number)
    ]


@pytest.fixture
def ready(engine: Engine, tmp_path: Path) -> Engine:
    """This test's database with the policy that `repzone init` writes, which is also the configured one."""
    (tmp_path / "policy.toml").write_text(INITIAL)
    (tmp_path / "repzone.toml").write_text('policy_file = "policy.toml"\n')
    add_policy(engine, now=NOW - 100 * DAY)
    return engine


def told(run: Run, address: str = "192.0.2.7", *words: str, **variables: str) -> str:
    done = run("explain", address, *words, **variables)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_an_address_that_never_did_anything_is_told_how_far_it_may_go(run: Run, ready: Engine) -> None:
    text = told(run, "198.51.100.9")
    assert text.startswith("198.51.100.9 is not listed.\n")
    assert "  errors  0 of 10 points in the last hour; 10 more list it for 2 h, the 1st time.\n" in text
    assert "  spam    0 of 3 points in the last 6 h; 3 more list it for 3 h, the 1st time.\n" in text
    assert "  virus   0 of 1 point in the last hour; 1 more lists it for 24 h, the 1st time.\n" in text
    assert "It was never listed.\n" in text
    assert "No offence of it is known.\n" in text
    assert "Clean mail of the last day: 0 connections, 0 accepted messages.\n" in text


def test_points_are_told_against_the_threshold_with_what_they_come_from(run: Run, ready: Engine) -> None:
    store(ready, *offences(5), Event(NOW - 60, CLIENT, "relay_denied"))
    add_listings(ready, Listing(CLIENT, "errors", 1, NOW - DAY, NOW - 22 * HOUR, "expired", {"timeout": 10}), points=11)
    text = told(run)
    assert (
        "7 of 10 points in the last hour (unknown_recipient 5, relay_denied 1); 3 more list it for 4 h, the 2nd" in text
    )
    assert "1 earlier listing remembered, the last until " in text
    assert "11 points within 1 h, 10 list it (policy 1): timeout 10\n" in text
    assert "unknown_recipient x 5  postfix/smtpd: no such user\n" in text


def test_a_listing_is_told_with_what_became_of_it(run: Run, ready: Engine) -> None:
    store(ready, *offences(12))
    assert "not decided yet: 10 points list it from" in told(run)
    run("calculate")
    with ready.begin() as connection:
        add_hits(connection, [Hit(NOW, CLIENT), Hit(NOW, CLIENT)], load_rulebook(connection))
    text = told(run)
    assert text.startswith("192.0.2.7 is listed for errors, the 1st time, until")
    assert re.search(
        r"  errors  listed; what comes now counts for nothing until .* UTC; "
        r"from then on 10 points in 1 h list it for 4 h, the 2nd time; ",
        text,
    )
    assert "errors, the 1st time, for 2 h until" in text
    reasons = "unknown_recipient 12, with what came while it lasted; 2 mails refused\n"
    assert f"10 points within 1 h, 10 list it (policy 1): {reasons}" in text
    assert "unknown_recipient x 2 (during a listing: counts for nothing)" in text
    assert "unknown_recipient x 8 (" not in text
    execute(ready, "UPDATE listing SET state = 'released', expires = to_timestamp(:now)", {"now": NOW})
    with ready.begin() as connection:
        act = add_act(connection, "alice", "unban", "192.0.2.7", "they called", NOW)
        add_changes(connection, [1], NOW, act)
    text = told(run)
    assert text.startswith("192.0.2.7 is not listed.\n")
    assert re.search(r"  errors  0 of 10 points since its last listing ended, .* UTC; 10 more list it for 4 h", text)
    assert "unban by alice: they called (released)\n" in text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("held", "held, so not published until `repzone held release`; what comes now counts for nothing until "),
        ("shadow", "listed in shadow, so not published; what comes now counts for nothing until "),
    ],
)
def test_what_is_not_published_is_told_as_that(run: Run, ready: Engine, state: State, said: str) -> None:
    add_listings(ready, Listing(CLIENT, "errors", 1, NOW - 60, NOW + HOUR, state, {"timeout": 10}), points=10)
    text = told(run)
    assert text.startswith("192.0.2.7 is not listed.\n")
    assert f"  errors  {said}" in text
    assert "10 points within 1 h, 10 list it (policy 1): timeout 10\n" in text


def test_a_held_listing_that_nobody_decided_on_in_time_is_told_as_ended(run: Run, ready: Engine) -> None:
    add_listings(ready, Listing(CLIENT, "errors", 1, NOW - HOUR, NOW - 60, "held", {"timeout": 10}), points=10)
    text = told(run)
    assert "UTC: held, and has ended\n" in text
    assert "0 of 10 points since its last listing ended, " in text


def test_what_clean_mail_did_is_told_with_the_numbers(run: Run, ready: Engine) -> None:
    with ready.begin() as connection:
        traffic = [Traffic(NOW - 3 * HOUR, CLIENT, 5, 401)]
        add_traffic(connection, traffic, load_rulebook(connection), Exemptions())
    add_spared(ready, "192.0.2.7", "spam", NOW - 40 * HOUR, NOW - 39 * HOUR)
    text = told(run)
    assert "21 more (so many because of its clean mail) list it for 3 h" in text
    assert "spam: 4 points, but 600 messages accepted against 5 offences (policy 1)\n" in text
    assert "Clean mail of the last day: 5 connections, 401 accepted messages.\n" in text


def test_exemptions_are_told_those_that_applied_too(run: Run, ready: Engine) -> None:
    network = Client.from_text("192.0.2.0/24")
    add_exemptions(
        ready,
        Exemption(network, NOW - DAY, NOW - HOUR, "for a day", "bob"),
        Exemption(CLIENT, NOW - 60, None, "a friend", "alice"),
        Exemption(Client.from_text("192.0.2.8"), NOW - 60, None, "a neighbour", "alice"),
    )
    text = told(run)
    assert text.startswith("192.0.2.7 is never listed: exempt as 192.0.2.7 (a friend).\nNothing that it does counts.\n")
    assert re.search(r"  192\.0\.2\.0/24  since .* until .* by bob: for a day\n", text)
    assert "neighbour" not in text


def test_an_ipv6_address_is_told_what_is_listed_and_who_shares_it(run: Run, ready: Engine) -> None:
    one, two = Client.from_text("2001:db8:1:2::1"), Client.from_text("2001:db8:1:2::2")
    store(ready, *offences(3, client=one), *offences(2, client=two))
    text = told(run, "2001:db8:1:2::1")
    assert "What is listed is 2001:db8:1:2::/64.\n  2001:db8:1:2::1  3 offences, the last " in text
    assert "  2001:db8:1:2::2  2 offences, the last " in text
    assert "5 of 10 points" in text


@pytest.mark.parametrize(("number", "said"), [(11, "and 1 more address\n"), (12, "and 2 more addresses\n")])
def test_of_many_addresses_of_a_network_the_rest_is_counted(run: Run, ready: Engine, number: int, said: str) -> None:
    store(
        ready, *(event for n in range(number) for event in offences(1, client=Client.from_text(f"2001:db8:1:2::{n}")))
    )
    assert said in told(run, "2001:db8:1:2::1")


def test_one_point_that_lists_is_told_in_the_singular(run: Run, ready: Engine) -> None:
    store(ready, Event(NOW - 60, CLIENT, "virus_found"))
    assert "not decided yet: 1 point lists it from " in told(run)
    run("calculate")
    assert "1 point within 1 h, 1 lists it (policy 1): virus_found 1\n" in told(run)


def test_what_came_in_while_it_was_exempt_is_told_to_count_for_nothing(run: Run, ready: Engine) -> None:
    one, two = Client.from_text("2001:db8:1:2::1"), Client.from_text("2001:db8:1:2::2")
    add_exemptions(ready, Exemption(one, NOW - DAY), Exemption(CLIENT, NOW - DAY, NOW - 1))
    store(ready, *offences(3, client=one), *offences(2, 300, client=two))
    text = told(run, "2001:db8:1:2::2")
    assert "2 of 10 points" in text
    assert "2001:db8:1:2::1  unknown_recipient x 3 (exempt: counts for nothing)" in text
    assert "x 2 (" not in text
    store(ready, *offences(4))
    assert "unknown_recipient x 4 (exempt: counts for nothing)" in told(run)


def test_a_listing_by_hand_of_a_wider_network_is_told_to_its_addresses(run: Run, ready: Engine) -> None:
    network = Client.from_text("192.0.2.0/24")
    add_listings(ready, Listing(network, "manual", 1, NOW - HOUR, NOW + HOUR, "active", {}, "[bold]by hand"))
    text = told(run)
    assert text.startswith("192.0.2.7 is listed as part of 192.0.2.0/24 for manual, until ")
    assert "manual, as part of 192.0.2.0/24, for 2 h until" in text
    assert "      [bold]by hand\n" in text
    assert "for manual, until" in told(run, "192.0.2.0/24")


def test_test_entries_and_what_is_no_address_are_said_to_be_that(run: Run, ready: Engine) -> None:
    assert told(run, "127.0.0.2") == "127.0.0.2 is a test entry: always listed, to show that the zone answers.\n"
    assert told(run, "10.0.0.1").startswith("10.0.0.1 is never listed: reserved address space.\n")
    wrong = run("explain", "192.0.2.300")
    assert (wrong.code, wrong.out) == (2, "")


def test_programs_get_one_object_with_everything(run: Run, ready: Engine) -> None:
    store(ready, *offences(7))
    number = add_listings(ready, Listing(CLIENT, "spam", 1, NOW - 60, NOW + HOUR, "active", {"spamtrap": 3}), points=3)
    with ready.begin() as connection:
        add_changes(connection, number, NOW - 60)
    (client,) = run("explain", "192.0.2.7", "-o", "json").objects
    assert (client["client"], client["key"], client["listed"], client["exempt"]) == (
        "192.0.2.7",
        "192.0.2.7",
        True,
        None,
    )
    errors, spam, _, _ = client["standing"]
    assert (errors["points"], errors["threshold"], errors["more"], errors["length"]) == (7, 10, 3, 7200)
    assert (errors["counts_from"], errors["undecided"], errors["reasons"]) == (None, [], {"unknown_recipient": 7})
    assert (spam["counts_from"], spam["offence"]) == (client["listings"][0]["expires"], 2)
    assert (spam["holding"], spam["counts_since"], errors["holding"]) == ("active", None, None)
    (history,) = client["history"]
    assert (history["points"], history["threshold"], history["window"], history["policy"]) == (3, 3, 6 * HOUR, 1)
    assert [turn["state"] for turn in history["changes"]] == ["active"]
    assert client["reasons"]["unknown_recipient"]["count"] == 7
    assert len(client["events"]) == 7
    assert client["events"][-1]["detail"] == "no such user"


def test_nothing_that_strangers_write_is_obeyed(run: Run, ready: Engine) -> None:
    store(ready, *(Event(NOW - 60 + n, CLIENT, "virus_found", 1, "clamd", WORDS) for n in range(2)))
    run("calculate")
    for words in ((), ("-o", "json")):
        assert is_harmless(told(run, "192.0.2.7", *words))
    add_exemptions(ready, Exemption(CLIENT, NOW - 5, None, WORDS, WORDS))
    assert is_harmless(told(run))
    for words in ((), ("-o", "json")):
        assert is_harmless(run("check", "192.0.2.7", *words).out)


def test_a_network_that_is_not_listed_as_a_whole_names_the_way_to_those_inside(run: Run, ready: Engine) -> None:
    store(ready, *offences(10))
    run("calculate")
    assert "Inside it" not in told(run, "192.0.3.0/24")
    text = told(run, "192.0.2.0/24")
    assert "It was never listed as a whole.\n" in text
    assert "offence" not in text
    assert "Inside it: 1 listing; see `repzone listings --all --network 192.0.2.0/24`." in text
    assert run("explain", "192.0.2.0/24", "-o", "json").objects[0]["inside"] == 1


def test_what_a_clock_wrote_that_is_ahead_is_told_with_the_instant_from_which_it_counts(
    run: Run, ready: Engine
) -> None:
    store(ready, *offences(3, -5 * HOUR), *offences(2))
    text = told(run)
    assert "2 of 10 points in the last hour" in text
    assert f"unknown_recipient x 3 (ahead: counts from {format_instant(NOW + 5 * HOUR)})  postfix" in text
    assert "unknown_recipient x 2  postfix" in text


def test_what_was_read_too_late_is_told_to_count_for_nothing(run: Run, ready: Engine) -> None:
    store(ready, *offences(12))
    run("calculate")
    store(ready, *offences(3, HOUR))
    assert "unknown_recipient x 3 (read after a later listing was decided: counts for nothing)" in told(
        run, "192.0.2.7", "--limit", "20"
    )


def test_where_a_terminal_is_narrow_no_reason_is_broken(run: Run, ready: Engine) -> None:
    store(ready, *offences(3))
    text = told(run, COLUMNS="60")
    assert re.search(r"\n  unknown_recipient +3  2\d{3}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC *\n", text)
