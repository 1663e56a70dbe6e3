"""A line of UW IMAP's imapd and ipop3d in, what it says of the client out (imapd.c, ipop3d.c, c-client's env_unix.c).

    Login failed user=U auth=U host=NAME [CLIENT]
    AUTHENTICATE CRAM-MD5 failure host=NAME [CLIENT]

`host=` ends the line; the names that the client chose stand before it. What is cut at 80 octets has no address.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "uwimap"

_HOST = re.compile(rf" host=(?>(?:[^\s\[\]]{{1,80}} )?)\[(?P<client>{ADDRESS})\](?>(?: mech=[\w-]++)?)\s*\Z")
_INIT = re.compile(rf"(?:imap|pop[23])s? (?:SSL )?service init from (?P<client>{ADDRESS})\s*\Z")
_LOGGED_IN = ("Login user=", "Authenticated user=", "Auth user=", "APOP user=", "Preauthenticated user=")
_OFFENCES = (
    # The first line of an attempt counts; AUTHENTICATE may tell again what the database under it has told.
    (re.compile(r"Login (?:failed|excessive login failures|disabled|SYSTEM BREAK-IN ATTEMPT) user="), "auth_failed"),
    (re.compile(r"Failed .{1,80} override of user="), "auth_failed"),
    (re.compile(r"AUTHENTICATE (?P<again>\S{1,80}) failure host="), "auth_failed"),
    (re.compile(r"AUTHENTICATE (?P<again>\S{1,80}) invalid host="), "auth_mechanism_invalid"),
    (re.compile(r"(?P<again>Excessive authentication failures|Authentication failure) host="), "auth_failed"),
    (re.compile(r"Unable to accept SSL connection, host="), "tls_failed"),
    (re.compile(r"(?P<again>Autologout|[^=]{1,80} while reading line) user=\?\?\? host="), "no_auth_attempt"),
)
_DETAILS = {
    "auth_failed": "login failed",
    "auth_mechanism_invalid": "mechanism not offered",
    "tls_failed": "TLS handshake failed",
    "no_auth_attempt": "connection broken without a login",
}


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing or names no client."""
    text = header.message
    session = f"{header.host} {header.program}[{header.pid}]" if header.pid else ""
    init = _INIT.match(text)
    if init is not None:
        return Fact(Kind.CONNECT, init["client"], COMPONENT, header.at, session=session, traffic=True)
    place = _HOST.match(text, text.rfind(" host="))
    if place is None:
        return None
    if text.startswith(_LOGGED_IN):
        return Fact(Kind.LOGIN, place["client"], COMPONENT, header.at, session=session)
    for form, reason in _OFFENCES:
        match = form.match(text)
        if match is not None:
            return Fact(
                Kind.OFFENCE,
                place["client"],
                COMPONENT,
                header.at,
                reason,
                header.repeat,
                session=session,
                stage="AUTH" if reason.startswith("auth_") else "",
                detail=_DETAILS[reason],
                echo=match.groupdict().get("again") is not None,
            )
    return None
