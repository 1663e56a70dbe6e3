"""Which program's lines are read by which parser."""

from __future__ import annotations

import pytest

from repzone.logs import (
    amavis,
    components,
    courier,
    cyrus,
    exim,
    imapd,
    opensmtpd,
    postfix_cleanup,
    postfix_postscreen,
    postfix_queue,
    postfix_smtpd,
    uwimap,
)


@pytest.mark.parametrize(
    ("program", "parse"),
    [
        ("postfix/smtpd", postfix_smtpd.parse),
        ("postfix/submission/smtpd", postfix_smtpd.parse),
        ("postfix/smtps/smtpd", postfix_smtpd.parse),
        ("postfix/25/smtpd", postfix_smtpd.parse),
        ("postfix-mx1/smtpd", postfix_smtpd.parse),
        ("postfix-mx1/smtp-25/smtpd", postfix_smtpd.parse),
        ("submission/smtpd", postfix_smtpd.parse),
        ("postfix/cleanup", postfix_cleanup.parse),
        ("postfix/postscreen", postfix_postscreen.parse),
        ("haproxy/postscreen", postfix_postscreen.parse),
        ("amavis", amavis.parse),
        ("amavisd-new", amavis.parse),
        ("/usr/sbin/amavisd", amavis.parse),
        ("postfix/qmgr", postfix_queue.parse),
        ("postfix/smtp", postfix_queue.parse_delivery),
        ("postfix/lmtp", postfix_queue.parse_delivery),
        ("cyrus/imaplocal", cyrus.parse),
        ("mx-2/imaps", cyrus.parse),
        ("postfix/relay/smtp", postfix_queue.parse_delivery),
        ("postfix/anvil", None),
        ("postfix/smtpdx", None),
        ("xpostfix/smtpd", None),
        ("smtpd", opensmtpd.parse),
        ("exim", exim.parse),
        ("exim4", exim.parse),
        ("amavis-mc", None),
        ("sshd", None),
    ],
)
def test_a_program_has_its_parser(program: str, parse: components.Parse | None) -> None:
    assert components.find(program) is parse


@pytest.mark.parametrize("program", ["imapd", "pop3d"])
@pytest.mark.parametrize(
    ("only", "parse"),
    [
        ("", imapd.parse),
        ("courier", courier.parse),
        ("cyrus", cyrus.parse),
        ("uwimap", uwimap.parse),
        ("dovecot", None),
        ("postfix", None),
    ],
)
def test_a_program_of_a_name_that_several_components_have_is_read_as_the_one_that_is_named(
    program: str, only: str, parse: components.Parse | None
) -> None:
    assert components.find(program, only) is parse


def test_each_component_that_can_be_named_reads_some_program() -> None:
    assert {"courier", "cyrus", "uwimap", "postfix", "policyd-spf"} < set(components.NAMES)
    assert "imapd" not in components.NAMES
