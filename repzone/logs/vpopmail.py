"""A line of vpopmail's vchkpw in, what it says of the client out (vchkpw.c).

    vchkpw-pop3: password fail USER@DOMAIN:CLIENT
    vchkpw-smtp: password fail (pass: 'PASSWORD') USER@DOMAIN:CLIENT

The client ends the line; name and password stand before it. vpopmail knows IPv4 only, perhaps as `::ffff:192.0.2.1`.
"""

from __future__ import annotations

import re

from repzone.logs.fact import Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "vpopmail"

_CLIENT = re.compile(r":(?P<client>\d{1,3}(?:\.\d{1,3}){3})\s*\Z")
_LINE = re.compile(
    r"vchkpw(?:-[a-z0-9]{1,12})?: (?:(?P<login>\([\w-]++\) login success|system password login success)"
    r"|(?P<auth_unknown_user>vpopmail user not found|system user (?:shadow entry )?not found)"
    r"|(?P<auth_failed>(?:system )?password fail|null (?:user name|password) given|invalid user/domain characters)) "
)


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it is no login or names no client."""
    text = header.message
    match, place = _LINE.match(text), _CLIENT.match(text, text.rfind(":"))
    if match is None or place is None:
        return None
    if match["login"]:
        return Fact(Kind.CONNECT, place["client"], COMPONENT, header.at, traffic=True)
    reason = "auth_failed" if match["auth_failed"] else "auth_unknown_user"
    detail = match["auth_failed"] or match["auth_unknown_user"]
    return Fact(
        Kind.OFFENCE,
        place["client"],
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        stage="AUTH",
        detail=detail,
        server=header.host,
    )
