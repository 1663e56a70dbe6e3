"""`repzone listings`: what is printed for people and for programs, and what is no filter."""

from __future__ import annotations

import time

import pytest

from repzone.cli.listings import PAGE
from repzone.model import Client, Exemption, Listing, State
from repzone.store.engine import Engine
from tests.cli.conftest import Run
from tests.cli.hostile import WORDS, is_harmless
from tests.store.samples import DAY, HOUR, add_exemptions, add_listings, execute

NOW = int(time.time())  # noqa: TID251 - these tests play the operator's world
C = Client.from_text


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Three listings in force, one held, one that has ended."""
    add_listings(
        engine,
        Listing(C("192.0.2.1"), "errors", 3, NOW - HOUR, NOW + HOUR, "active", {"timeout": 9, "vrfy_expn": 1200}),
        Listing(C("192.0.2.2"), "spam", 1, NOW - 2 * HOUR, NOW + 2 * HOUR, "active", {"spamtrap": 3}),
        Listing(C("2001:db8:1:2::/64"), "auth", 2, NOW - 60, NOW + 3 * HOUR),
        Listing(C("192.0.2.4"), "auth", 1, NOW - 60, NOW + HOUR, "held"),
        Listing(C("192.0.2.5"), "auth", 1, NOW - DAY, NOW - HOUR, "active"),
    )
    return engine


def clients(run: Run, *words: str) -> list[str]:
    done = run("listings", "-o", "json", *words)
    assert (done.code, done.err) == (0, "")
    return [one["client"] for one in done.objects]


def test_every_filter_can_be_given_and_all_of_them_hold(run: Run, filled: Engine) -> None:
    assert clients(run) == ["2001:db8:1:2::/64", "192.0.2.2", "192.0.2.1"]
    assert clients(run, "--network", "192.0.2.0/24", "--sort", "offence") == ["192.0.2.1", "192.0.2.2"]
    assert clients(run, "--network", "192.0.2.0/24", "--reason", "spamtrap") == ["192.0.2.2"]
    assert clients(run, "--state", "held") == ["192.0.2.4"]
    assert clients(run, "--state", "expired") == ["192.0.2.5"]
    assert clients(run, "--since", "30m") == ["2001:db8:1:2::/64"]
    assert clients(run, "--since", "90m", "--category", "errors") == ["192.0.2.1"]
    assert clients(run, "--all", "--limit", "2") == ["2001:db8:1:2::/64", "192.0.2.2"]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (110, ["client", "category", "offence", "until", "left", "state", "reasons"]),
        (80, ["client", "category", "until", "state", "reasons"]),
        (60, ["client", "category", "until", "state"]),
    ],
)
@pytest.mark.parametrize("words", [("listings",), ("held", "list")], ids=" ".join)
def test_the_table_fits_a_terminal_and_breaks_no_word(
    run: Run, engine: Engine, words: tuple[str, ...], columns: int, names: list[str]
) -> None:
    reasons = {"recipient_rejected": 4, "auth_not_offered": 12}
    state: State = "active" if words == ("listings",) else "held"
    began = NOW - NOW % 60 - 7  # at no whole minute, so that each instant has its seconds
    add_listings(engine, Listing(C("2001:db8:1:2::/64"), "errors", 3, began, began + 11 * HOUR, state, reasons))
    shown = run(*words, COLUMNS=str(columns)).out
    assert shown.splitlines()[0].split() == [name for name in names if state == "active" or name != "state"]
    assert max(map(len, shown.splitlines())) <= columns
    assert ("recipient_rejected" in shown) == ("reasons" in names)


def test_people_see_a_table_and_how_many_there_are(run: Run, filled: Engine) -> None:
    lines = run("listings", "--network", "192.0.2.0/24", "--sort", "client").out.splitlines()
    assert lines[0].split() == ["client", "category", "offence", "began", "until", "left", "state", "reasons"]
    assert lines[1].startswith("192.0.2.1  errors ")
    assert lines[1].rstrip().endswith("active  vrfy_expn 1,200, timeout 9")
    assert lines[-1] == "2 listings now."
    assert run("listings", "--state", "held", COLUMNS="60").out.split()[:4] == ["client", "category", "until", "state"]
    assert run("listings", "--all").out.splitlines()[-1] == "5 listings."
    assert run("listings", "--limit", "1").out.splitlines()[-1] == (
        "The first 1 of 3 listings now; --limit shows more, -o json all."
    )
    assert run("listings", "--category", "virus").out == "Nobody is listed now.\n"
    assert run("listings", "--state", "dropped").out == "There is no such listing.\n"


def test_people_get_a_page_and_programs_everything(run: Run, engine: Engine) -> None:
    execute(
        engine,
        "INSERT INTO listing (key, category, offence, began, expires, state, created) SELECT '198.18.0.0'::inet + n, "
        "'auth', 1, now(), now() + interval '1 h', 'active', now() FROM generate_series(1, :count) n",
        {"count": PAGE + 5},
    )
    lines = run("listings").out.splitlines()
    assert (len(lines), lines[-1].split(";")[0]) == (PAGE + 2, "The first 1,000 of 1,005 listings now")
    assert len(clients(run)) == PAGE + 5


def test_who_is_exempt_is_not_listed_now(run: Run, filled: Engine) -> None:
    add_exemptions(filled, Exemption(C("192.0.2.0/30"), NOW - 5))
    assert clients(run) == ["2001:db8:1:2::/64"]
    assert run("check", "192.0.2.1", "-o", "json").objects[0]["listed"] is False
    assert "1 active listing (auth 1)." in run("status").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--category", "spams"), "Invalid value for --category: there is no 'spams'; write spam"),
        (
            ("--state", "x"),
            "there is no 'x'; write active or expired or released or reversed or held or dropped or shadow",
        ),
        (("--reason", "auth_fail"), "write auth_failed"),
        (("--network", "192.0.2.1/24"), "'192.0.2.1/24' has bits behind its prefix length"),
        (("--since", "tomorrow"), "'tomorrow': write for example 30d, 4h, 2026-11-24 or 2026-11-24T08:00Z"),
        (("--limit", "0"), "Input should be greater than or equal to 1"),
        (("--sort", "age"), "'age' is not one of 'until', 'began', 'client', 'offence'"),
    ],
)
def test_what_is_no_filter_is_a_usage_error_that_says_what_to_write(
    run_bare: Run, words: tuple[str, str], said: str
) -> None:
    done = run_bare("listings", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_nothing_in_the_words_of_a_listing_by_hand_is_obeyed(run: Run, engine: Engine) -> None:
    add_listings(engine, Listing(C("192.0.2.1"), "manual", 1, NOW, NOW + HOUR, "active", {}, WORDS))
    assert is_harmless(run("listings").out)
    assert is_harmless(run("check", "192.0.2.1").out)
