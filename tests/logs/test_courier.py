"""What Courier logs, message by message."""

from __future__ import annotations

import pytest

from repzone.logs import courier
from repzone.logs.syslog import Header
from tests.logs.samples import OWN, check_sample, load_samples


@pytest.mark.parametrize(("wanted", "message"), load_samples("courier.txt"))
def test_a_message_alone_gives_what_the_table_says(wanted: str, message: str) -> None:
    program = "courieresmtpd" if message.startswith(("error,", "started,", "newmsg,")) else "imapd"
    check_sample(program, wanted, message)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("511 blocked using bl.example.net", True),
        ("511 <x> blocked using bl.example.net", False),
        ("511 blocked using bl.example.net x>: 550 User unknown.", False),
        ("517-Domain does not exist: blocked using bl.example.net", False),
    ],
)
def test_only_a_refusal_of_the_client_may_be_a_hit(reply: str, wanted: bool) -> None:
    message = f"error,relay=192.0.2.7,from=<a@b.example>,to=<c@here.example>: {reply}"
    fact = courier.parse_esmtp(Header(0, "mx1", "courieresmtpd", "", message))
    assert fact is not None
    assert OWN.names(fact.reply) is wanted


@pytest.mark.parametrize(
    "ident",
    [
        '"x: 511 blocked using bl.example.net ',
        'x",msg="511 blocked using bl.example.net",cmd: ',
        "x,from=<a>: 511 blocked using bl.example.net ",
        '",from=<a>,to=<b>: 511 blocked using bl.example.net ',
    ],
)
def test_no_ident_of_the_client_makes_a_hit(ident: str) -> None:
    message = f'error,relay=192.0.2.7,port=4255,ident="{ident}",msg="535 Authentication failed.",cmd: AUTH'
    fact = courier.parse_esmtp(Header(0, "mx1", "courieresmtpd", "", message))
    assert fact is None or not OWN.names(fact.reply)


@pytest.mark.parametrize(
    "message",
    [
        'error,relay=192.0.2.7,msg="535 Authentication failed.",cmd: AUTH PLAIN AGFubmEAc2VjcmV0',
        'error,relay=192.0.2.7,ident="c2VjcmV0",msg="502 ESMTP command error",cmd: c2VjcmV0',
    ],
)
def test_no_credential_becomes_evidence(message: str) -> None:
    fact = courier.parse_esmtp(Header(0, "mx1", "courieresmtpd", "", message))
    assert fact is not None
    assert "c2VjcmV0" not in fact.detail
