"""`ban` and `unban` as an operator runs them: what they say, and what they refuse."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_commands import offences


def lasts(listing: dict[str, str]) -> int:
    """Give the seconds from begin to end of a listing in JSON."""
    began, expires = (datetime.fromisoformat(listing[key]) for key in ("began", "expires"))
    return int((expires - began).total_seconds())


def test_a_ban_is_listed_at_once_and_ended_by_unban(run: Run) -> None:
    (banned,) = run("ban", "192.0.2.1", "--reason", "floods us", "--for", "4h", "-o", "json").objects
    assert (banned["client"], banned["category"], banned["comment"]) == ("192.0.2.1", "manual", "floods us")
    assert lasts(banned) == 4 * 3600
    assert "is listed for manual, until" in run("check", "192.0.2.1").out
    again = run("ban", "192.0.2.1", "--because", "floods us still").out.splitlines()
    assert again[0].startswith("192.0.2.1 is banned until ")
    assert again[0].endswith(" (24 h): floods us still.")
    assert again[1].endswith(": floods us.")
    done = run("unban", "192.0.2.1")
    assert (done.code, done.out.startswith("192.0.2.1 is no longer listed for manual, as it was until ")) == (0, True)
    done = run("unban", "192.0.2.1")
    assert (done.code, done.out) == (0, "192.0.2.1 is not listed.\n")


def test_an_ipv6_address_is_banned_and_unbanned_as_its_network(run: Run) -> None:
    said = run("ban", "2001:db8:1:2::9", "--reason", "scans").out
    assert said.startswith("2001:db8:1:2::9 is banned as its network 2001:db8:1:2::/64 until ")
    (done,) = run("unban", "2001:db8:1:2::77", "-o", "json").objects
    assert [one["client"] for one in done["ended"]] == ["2001:db8:1:2::/64"]
    assert done["ended"][0]["state"] == "released"


def test_a_false_positive_that_has_ended_is_taken_back_as_the_command_says(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(offences("192.0.2.1", 12, minutes=300) + offences("192.0.2.2", 12, minutes=290))
    run("ingest", "a.log")
    assert run("unban", "192.0.2.1").out == "192.0.2.1 is not listed.\n"
    told = run("unban", "192.0.2.1", "--false-positive").out
    (words,) = re.findall("`repzone (unban .*)` takes that back", told)
    shown = run(*words.split())
    assert "Would take back 1 listing that had ended." in shown.out
    assert "Clients, the last first: 192.0.2.1." in shown.out
    assert run(*words.split(), "--yes", "--because", "a partner").code == 0
    assert {one["client"]: one["state"] for one in run("listings", "--all", "-o", "json").objects} == {
        **{"192.0.2.1": "reversed", "192.0.2.2": "expired"},
    }
    (act,) = run("audit", "-o", "json").objects
    assert act["subject"].startswith("192.0.2.1, listings since ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["198.51.100.0/24"], 1, "198.51.100.0/24 is 256 addresses: --yes bans them all"),
        (["2001:db8::/32"], 1, "2001:db8::/32 is 4,294,967,296 networks of /64: --yes bans them all"),
        (["198.0.0.0/15", "--yes"], 2, "198.0.0.0/15 is too wide"),
        (["2001:d00::/31", "--yes"], 2, "2001:d00::/31 is too wide"),
        (["192.0.2.1", "--for", "366d"], 2, "'366d' is not between 1s and 365d"),
        (["192.0.2.1", "--for", "0s"], 2, "'0s' is not between 1s and 365d"),
        (["192.0.2.1", "--for", "soon"], 2, "'soon' is no duration"),
        (["192.0.2.1/24"], 2, "'192.0.2.1/24' has bits behind its prefix length"),
        (["10.0.0.1"], 1, "10.0.0.0/8 is reserved address space, never listed"),
        (["203.0.113.7"], 1, "203.0.113.0/24 is exempt (own_networks of the configuration)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_banned_is_refused_with_the_way_out(run: Run, words: list[str], code: int, said: str) -> None:
    done = run("ban", *words, "--reason", "x", REPZONE_OWN_NETWORKS="203.0.113.0/24")
    assert done.code == code, done.err
    assert said in done.err


def test_a_whole_network_is_banned_with_yes_and_an_address_in_it_is_not_unbanned_alone(run: Run) -> None:
    run("allow", "add", "198.51.100.8", "--comment", "our backup")
    assert "Still exempt inside it: 198.51.100.8." in run("ban", "198.51.100.0/24", "--reason", "x", "--yes").out
    done = run("unban", "198.51.100.9")
    assert done.code == 1
    assert "198.51.100.9 is not listed itself, but listed as part of 198.51.100.0/24 for manual until " in done.out
    assert "`repzone allow add 198.51.100.9 --comment WHY` makes a hole in it." in done.out
    assert run("unban", "198.51.0.0/16").out.startswith("198.51.0.0/16 is not listed.\nInside it there is 1 listing.")
    assert run("unban", "198.51.100.0/24").code == 0


def test_many_are_only_shown_until_yes_and_then_ended_as_one_act(run_process: Run, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(offences("192.0.2.7", 12) + offences("192.0.2.9", 12, minutes=600))
    (tmp_path / "b.log").write_text(offences("192.0.2.8", 12))
    run_process("ingest", "a.log", "b.log")
    choice = ["unban", "--since", "1d", "--reason", "unknown_recipient", "--source", str(tmp_path / "a.log")]
    shown = run(*choice, "--false-positive").out.splitlines()
    assert shown[:2] == ["Would end 1 listing (errors 1).", "Would take back 1 listing that had ended."]
    assert shown[-1] == "Nothing is changed yet: --yes does it."
    (plan,) = run(*choice, "-o", "json").objects
    assert plan == {"dry_run": True, "listings": {"errors": 1}, "held": 0, "ended": 0, "clients": ["192.0.2.7"]}
    assert len(run("listings", "-o", "json").objects) == 2
    done = run(*choice, "--category", "errors", "--false-positive", "--because", "a faulty rule", "--yes").out
    assert done.startswith("Ended 1 listing (errors 1): a faulty rule.\nTaken back 1 listing that had ended.\n")
    states = {one["client"]: one["state"] for one in run("listings", "--all", "-o", "json").objects}
    assert states == {"192.0.2.7": "reversed", "192.0.2.8": "active", "192.0.2.9": "reversed"}
    (act,) = run("audit", "-o", "json").objects
    assert (act["verb"], act["reason"]) == ("unban", "a faulty rule")
    assert act["subject"].endswith(f", category errors, reason unknown_recipient, source {tmp_path / 'a.log'}")
    assert act["details"] == {"listings": {"errors": 2}, "false_positive": True}
    assert run(*choice).out == "No listing is like that.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "name an address, or with --since when the listings began"),
        (["192.0.2.1", "--reason", "our customer"], 2, "--because says why you do it"),
        (["--since", "1d", "--reason", "auth_faild"], 2, "there is no reason 'auth_faild'; write auth_failed"),
        (["--since", "1d", "--reason", "our customer"], 2, "--because says why you do it"),
        (["--since", "1d", "--source", "mail.log"], 1, "there is no source 'mail.log'; there are: none"),
        (["--since", "then"], 2, "'then': write for example 30d"),
        (["192.0.2.1", "--category", "spams"], 2, "'spams'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unban_that_cannot_be_meant_says_how_to_write_it(run: Run, words: list[str], code: int, said: str) -> None:
    done = run("unban", *words)
    assert done.code == code, done.err
    assert said in done.err
