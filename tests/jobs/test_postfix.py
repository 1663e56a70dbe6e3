"""How Postfix uses a zone, by what main.cf and master.cf say, and what the commands that mend it make of that."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from repzone.jobs import postfix
from repzone.jobs.doctor import Finding
from repzone.zone.definition import CODES

CASES = tomllib.loads((Path(__file__).parents[1] / "data" / "doctor" / "postfix.toml").read_text())["case"]


def examine(values: Mapping[str, str], *keys: str) -> list[Finding]:
    return list(postfix.examine_postfix(values, "bl.example.net", CODES, keys))


def made(one: Finding) -> tuple[str, str]:
    """Give the setting that a command changes, and its new value."""
    name, _, value = shlex.split(one.mend)[2].partition(" = ")
    return name, value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_postfix_is_right_where_it_refuses_all_that_are_listed_but_its_own(case: dict[str, Any]) -> None:
    found = examine(case["values"])
    assert [one.level for one in found] == case["levels"]
    assert all(bool(one.mend) == (one.level != "right") for one in found)
    first = next((one for one in found if one.level != "right"), None)
    assert case.get("said", "") in (first.what if first else "")
    if "mended" in case:
        assert first is not None
        assert made(first)[1] == case["mended"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_mends_postfix_makes_it_right_and_keeps_all_that_was_there(case: dict[str, Any]) -> None:
    values = dict(case["values"])
    for _ in range(3):  # who asks in two lists has two to mend
        for one in examine(values):
            if one.mend:
                name, value = made(one)
                words = [word for word in postfix._split(value) if word not in postfix.ASKS]
                assert len(set(words)) == len(words)
                assert others(values.get(name, "")) <= others(value)
                values[name] = value
    assert {one.level for one in examine(values)} == {"right"}


def others(value: str) -> set[str]:
    """Give the words that are none of the zone's."""
    own = ("bl.example.net", "warn_if_reject", "reject_rbl", "ignore")
    return {word for word in postfix._split(value.lower()) if not word.startswith(own)}


@pytest.mark.parametrize("end", ["permit", "reject_unauth_destination"])
def test_the_question_is_put_before_what_is_final(end: str) -> None:
    values = {"smtpd_recipient_restrictions": f"permit_mynetworks, check_policy_service inet:127.0.0.1:10023, {end}"}
    (one,) = examine(values)
    asks = "reject_rbl_client bl.example.net=127.0.0.[4;8;16;32;64]"
    wanted = f"{asks} {end}" if end == "permit" else f"{end} {asks}"
    assert f"permit_mynetworks check_policy_service inet:127.0.0.1:10023 {wanted}'" in one.mend


def test_a_zone_is_asked_for_its_own_codes() -> None:
    values = {"smtpd_client_restrictions": "permit_mynetworks, reject_rbl_client bl.example.net=127.0.0.4"}
    (one,) = postfix.examine_postfix(values, "bl.example.net", {"spam": 9})
    assert made(one)[1] == "permit_mynetworks reject_rbl_client bl.example.net=127.0.0.9"


def test_a_reply_is_found_by_the_whole_of_what_the_restriction_says() -> None:
    asked = "BL.example.net=127.0.0.[4..64]"
    values = {
        "smtpd_client_restrictions": f"permit_mynetworks, reject_rbl_client {asked}",
        "rbl_reply_maps": "proxy:hash:/etc/postfix/replies texthash:/etc/more",
    }
    for keys in ((), (asked.lower(),), ("sbl.example.net",), (asked.lower(), "bl.example.net")):
        assert [one.level for one in examine(values, *keys)] == ["right"]
    _, one = examine(values, "bl.example.net", "sbl.example.net")
    assert (one.level, f"has a reply for bl.example.net, and the restriction says {asked}" in one.what) == (
        "warning",
        True,
    )
    assert one.mend == (
        f"write {asked} as its key in hash:/etc/postfix/replies or texthash:/etc/more, "
        "then: postmap hash:/etc/postfix/replies && postfix reload"
    )


@pytest.mark.parametrize(
    ("service", "levels"),
    [
        ({"submission/inet/smtpd_sasl_auth_enable": "yes"}, ["wrong"]),
        ({"submission/inet/smtpd_sasl_auth_enable": "no"}, ["right"]),
        (
            {
                "submission/inet/smtpd_sasl_auth_enable": "yes",
                "submission/inet/smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
            },
            ["right"],
        ),
        (
            {
                "submission/inet/smtpd_sasl_auth_enable": "yes",
                "submission/inet/smtpd_client_restrictions": "",
                "smtps/inet/smtpd_recipient_restrictions": "",
            },
            ["wrong"],
        ),
    ],
    ids=["which asks too", "where nobody logs in", "with a list of its own", "with another list of its own"],
)
def test_users_who_log_in_at_a_service_are_permitted_before_it_asks(service: dict[str, str], levels: list[str]) -> None:
    values = {"smtpd_recipient_restrictions": "permit_mynetworks, reject_rbl_client bl.example.net", **service}
    found = examine(values)
    assert [one.level for one in found] == levels
    assert all("permit_mynetworks permit_sasl_authenticated reject_rbl_client" in one.mend for one in found if one.mend)


POSTCONF = """#!/bin/sh
case "$*" in
"-x -P") echo "submission/inet/smtpd_sasl_auth_enable = yes"; exit {status};;
"-x -F "*) echo "smtp/inet/command = smtpd -o a=b"; exit {status};;
*) echo "smtpd_sasl_auth_enable = no"; echo "smtpd_client_restrictions = ";;
esac
"""


@pytest.mark.parametrize("status", [0, 1])
def test_what_master_cf_says_is_asked_for_where_postconf_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    program = tmp_path / "postconf"
    program.write_text(POSTCONF.format(status=status))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    main = {"smtpd_sasl_auth_enable": "no", "smtpd_client_restrictions": ""}
    master = {"submission/inet/smtpd_sasl_auth_enable": "yes", "smtp/inet/command": "smtpd -o a=b"}
    assert postfix.load_postfix() == {**main, **({} if status else master)}
