"""What OpenSMTPD logs of a session, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Hit
from tests.logs.samples import REFERENCE, check_line, load_samples, new_reader, read_all, read_whole
from tests.logs.test_injection import LINE, VICTIM

SESSION = "0011223344556677"
CONNECTED = (
    f"{SESSION} smtp connected address=192.0.2.7 host=far.example",
    f"{SESSION} smtp event=connected address=192.0.2.7 host=far.example",
    f"smtp-in: New session {SESSION} from host far.example [192.0.2.7]",
)


def _log(message: str) -> str:
    return f"2026-11-23T10:00:00.5+01:00 mx1 smtpd[9]: {message.replace('SESSION', SESSION)}"


@pytest.mark.parametrize(("wanted", "message"), load_samples("opensmtpd.txt"))
def test_a_line_is_its_session_s(wanted: str, message: str) -> None:
    found = read_all(new_reader(), [_log(CONNECTED[0]), _log(message)])
    assert found == ([] if wanted == "-" else [f"2 {wanted}"])


@pytest.mark.parametrize("connected", CONNECTED)
def test_every_version_names_the_client_when_it_connects(connected: str) -> None:
    lines = [_log(connected), _log('SESSION smtp failed-command command="X" result="500 5.5.1 Command unrecognized"')]
    assert read_whole(new_reader(), lines) == ["1 traffic 192.0.2.7 1/0", "2 unknown_command 192.0.2.7"]


def test_an_ipv6_address_stands_in_brackets() -> None:
    lines = [
        _log("SESSION smtp connected address=[2001:db8::7] host=<unknown>"),
        _log("SESSION smtp authentication user=boss result=permfail"),
    ]
    assert read_all(new_reader(), lines) == ["2 auth_failed 2001:db8::7"]


@pytest.mark.parametrize("connected", ["SESSION smtp connected address=local host=mx1", "Started"])
def test_a_session_without_an_address_gives_nothing(connected: str) -> None:
    lines = [_log(connected), _log('SESSION smtp failed-command command="X" result="500 5.5.1 Command unrecognized"')]
    assert read_all(new_reader(), lines) == []


def test_one_failed_login_in_three_lines_is_one() -> None:
    lines = [
        CONNECTED[0],
        "SESSION smtp authentication user=boss result=permfail",
        'SESSION smtp failed-command command="AUTH LOGIN (password)" result="535 Authentication failed"',
        "SESSION smtp disconnected reason=disconnect",
    ]
    assert read_all(new_reader(), [_log(line) for line in lines]) == ["2 auth_failed 192.0.2.7"]


def test_a_user_of_ours_is_not_an_offender() -> None:
    lines = [
        CONNECTED[0],
        "SESSION smtp authentication user=boss result=ok",
        'SESSION smtp failed-command command="RCPT TO:<x@here.example>" result="550 Invalid recipient"',
        "SESSION smtp message msgid=4296f490 size=811 nrcpt=1 proto=ESMTP",
        "SESSION smtp disconnected reason=disconnect",
    ]
    assert read_all(new_reader(), [_log(line) for line in lines]) == []


def test_a_message_is_clean_traffic_however_many_lines_tell_it() -> None:
    old = "SESSION smtp event=message address=192.0.2.7 host=far.example msgid=4296f491 from=<> to=<x@c.example>"
    lines = [CONNECTED[0], "SESSION smtp message msgid=4296f490 size=811 nrcpt=1 proto=ESMTP", old, old]
    assert read_whole(new_reader(), [_log(line) for line in lines]) == [
        "1 traffic 192.0.2.7 1/0",
        "2 traffic 192.0.2.7 0/1",
        "3 traffic 192.0.2.7 0/1",
    ]


def test_a_line_of_another_program_is_not_looked_at() -> None:
    check_line("-", "2026-11-23T10:00:00.5+01:00 mx1 smtpctl[9]: smtp-in: New session")


TEMPLATES = (
    'SESSION smtp failed-command command="{}" result="550 no"',
    'SESSION smtp failed-command command="{}" result="550 Invalid recipient: <{}>"',
    'SESSION smtp failed-command command="AUTH {}" result="504 5.7.4 AUTH method "{}" not supported"',
    'SESSION smtp event=failed-command address=192.0.2.7 host=far.example command="{}" result="550 no"',
    "SESSION smtp authentication user={} result=permfail",
    "SESSION smtp event=authentication user={} address=192.0.2.7 host=far.example result=permfail",
    "SESSION smtp envelope evpid=4296f4900011aabb from=<{}> to=<{}>",
    'smtp-in: Failed command on session SESSION: "{}" => 550 no',
    "smtp-in: Accepted message 4296f490 on session SESSION: from=<{}>, to=<{}>, size=811, ndest=1, proto=ESMTP",
    "smtp-in: Authentication failed for user {} on session SESSION",
    "SESSION smtp connected address=192.0.2.7 host={}",
)
PIECES = (
    f" address={VICTIM} host=x",
    f"{SESSION} smtp connected address={VICTIM} host=x",
    '" result="550 see https://postmaster.example.net/?ip=192.0.2.7',
    '" => 550 see https://postmaster.example.net/?ip=192.0.2.7',
    "550 blocked using bl.example.net",
    f"on session 1111111111111111 from host x [{VICTIM}]",
    " result=ok",
)
TEXT = LINE | st.lists(st.sampled_from(PIECES), max_size=4).map("".join)


@pytest.mark.parametrize("template", TEMPLATES)
@given(texts=st.lists(TEXT, min_size=2, max_size=2))
def test_no_text_of_the_client_names_another_or_makes_a_hit(template: str, texts: list[str]) -> None:
    reader = new_reader()
    line = template.replace("{}", texts[0], 1).replace("{}", texts[1], 1)
    for message in (CONNECTED[0], line):
        for outcome in reader.read(_log(message).encode("utf-8", "replace"), 1, REFERENCE):
            assert outcome.client.to_text() == "192.0.2.7"
            assert not isinstance(outcome, Hit)
