"""A verdict of clamav-milter or clamsmtpd in, what it says of the message out (clamfi.c; clamsmtp's smtppass.c).

    Message QUEUEID from <FROM> to <TO> with subject '…' message-id '…' date '…' infected by NAME     clamav-milter
    ID: accepted connection from: ADDRESS                                                            clamsmtpd
    ID: from=FROM, to=TO, status=VIRUS:NAME

clamav-milter names no client: the queue id does, and only `LogInfected Full` writes it. clamsmtpd names the host that
handed the message in, which is a client only where it stands before the mail server as a proxy; behind the server
that is the server itself, and then nothing tells whose message it was. Nor does it for clamd's `…: NAME FOUND`.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind, parse_client
from repzone.logs.syslog import Header
from repzone.model import Exemptions

COMPONENT = "clamav-milter"
COMPONENT_PROXY = "clamsmtpd"

_INFECTED = re.compile(r"Message (?P<queue>[0-9A-Za-z-]{5,32}+) from <.* infected by [^\s<>']++\s*", re.DOTALL)
_PROXY = re.compile(
    rf"(?P<session>[0-9A-F]{{6,8}}): (?:accepted connection from: (?P<client>{ADDRESS})"
    r"|from=.*, status=(?P<virus>VIRUS)(?>(?::\S++)?))\s*",
    re.DOTALL,
)
_RESERVED = Exemptions()


def parse(header: Header) -> Fact | None:
    """Give clamav-milter's verdict on a message, None for any other line of it."""
    match = _INFECTED.fullmatch(header.message)
    if match is None:
        return None
    return Fact(
        Kind.OFFENCE,
        "",
        COMPONENT,
        header.at,
        "virus_found",
        header.repeat,
        queue=f"{header.host} {match['queue']}",
        detail="infected",
        verdict=True,
        later=True,
    )


def parse_proxy(header: Header) -> Fact | None:
    """Give what clamsmtpd says of a client of its own: that it connected, or sent a virus."""
    match = _PROXY.fullmatch(header.message)
    if match is None:
        return None
    session = f"{header.host} {COMPONENT_PROXY} {match['session']}"
    if match["virus"]:
        return Fact(
            Kind.OFFENCE,
            "",
            COMPONENT_PROXY,
            header.at,
            "virus_found",
            header.repeat,
            session=session,
            detail="infected",
        )
    # Its numbers begin anew with each start: what our own server hands in must end the session of that name.
    address = parse_client(match["client"])
    ours = address is not None and _RESERVED.find(address, header.at) is not None
    kind = Kind.DISCONNECT if ours else Kind.CONNECT
    return Fact(kind, match["client"], COMPONENT_PROXY, header.at, session=session)
