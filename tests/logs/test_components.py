"""Which program's lines are read by which parser."""

from __future__ import annotations

import pytest

from repzone.logs import (
    amavis,
    components,
    exim,
    opensmtpd,
    postfix_cleanup,
    postfix_postscreen,
    postfix_queue,
    postfix_smtpd,
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
