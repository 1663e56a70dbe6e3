"""A line of Cyrus' imapd, pop3d, timsieved, lmtpd, nntpd, httpd in, what it says of the client out.

    badlogin: NAME [CLIENT] plaintext USER SASL(-13): authentication failure: checkpass failed
    badlogin: NAME [CLIENT] DIGEST-MD5 (USER) [SASL(-13): authentication failure: …]
    badlogin: NAME[CLIENT] PLAIN authentication failure

The client comes first; NAME is a host name that the resolver checked. All that the client sent is behind it.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "cyrus"

_LINE = re.compile(
    rf"(?P<what>badlogin|login): (?>(?:[^\s\[\]]{{1,255}} ?)?)\[(?P<client>{ADDRESS})\](?: (?P<rest>[^\s\[].*+)|\s*\Z)",
    re.DOTALL,
)
_CODE = re.compile(r"SASL\((-?\d{1,3})\)")
# sasl.h: out of memory, generic failure, try again, unavailable: no judgement of the login. No mechanism is -4.
_FAULTS = {"-1", "-2", "-8", "-24"}


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it is no login or names no client."""
    match = _LINE.match(header.message)
    if match is None:
        return None
    client, rest = match["client"], match["rest"] or ""
    if match["what"] == "login":
        return Fact(Kind.CONNECT, client, COMPONENT, header.at, traffic=True)
    codes = _CODE.findall(rest)
    if len(codes) == 1 and codes[0] in _FAULTS:  # with two, one of them may be the login's name
        return None
    reason = "auth_failed"
    if codes == ["-4"]:
        reason = "auth_mechanism_invalid"
    elif codes == ["-20"] or "SASL(-13): user not found" in rest or rest.endswith(" invalid user"):
        reason = "auth_unknown_user"
    return Fact(
        Kind.OFFENCE,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        session=f"{header.host} {header.program}[{header.pid}]" if header.pid else "",
        stage="AUTH",
        detail=f"badlogin: {reason.removeprefix('auth_').replace('_', ' ')}",
    )
