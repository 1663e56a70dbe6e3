"""Connections to mailbox servers are clean traffic of their clients."""

from __future__ import annotations

import pytest

from tests.logs.samples import new_reader, put_header, read_whole


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("dovecot", "imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.7, lip=203.0.113.1, mpid=7, session=<s>"),
        ("imapd", "Connection, ip=[::ffff:192.0.2.7]"),
        ("pop3d-ssl", "INFO: Connection, ip=[::ffff:192.0.2.7], port=[4255]"),
        ("courieresmtpd", "started,ip=[::ffff:192.0.2.7]"),
        ("cyrus/imaps[7]", "login: h.example [192.0.2.7] anna plaintext+TLS User logged in"),
        ("imapd[7]", "imap service init from 192.0.2.7"),
        ("ipop3d[7]", "pop3s SSL service init from 192.0.2.7"),
        ("vpopmail[7]", "vchkpw-pop3: (PLAIN) login success anna@here.example:192.0.2.7"),
        ("nginx", "*6631 client 192.0.2.7:4255 connected to 0.0.0.0:143"),
    ],
)
def test_a_connection_is_counted(program: str, message: str) -> None:
    assert read_whole(new_reader(), [put_header(program, message)]) == ["1 traffic 192.0.2.7 1/0"]
