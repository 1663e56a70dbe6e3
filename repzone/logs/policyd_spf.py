"""A line of the Python policyd-spf in, what it says of the client out (spf-engine's policyd_spf.py).

    prepend Received-SPF: Fail (TEXT) identity=mailfrom; client-ip=CLIENT; helo=NAME; envelope-from=FROM; receiver=TO
    prepend Authentication-Results: HOST; spf=fail (TEXT) … (client-ip=CLIENT; helo=NAME; …
    550 5.7.23 Message rejected due to: SPF fail - not authorized. Please see …

A failure that is only noted in a header shows here alone, and is an offence. What policyd-spf refuses smtpd logs too,
with the client that it knows itself and in the session that it is part of, and no field would tell that the two lines
are one: so a refusal counts there and not here. postfix-policyd-spf-perl (`Policy action=…`) never lets a failure
through, for which its lines are not read at all.

TEXT may be the sender's own (`exp=` of RFC 7208 §6.2), and HELO and envelope are: the client is `client-ip=` only
where the line has one.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "policyd-spf"

_FAIL = re.compile(
    r"(?>(?:(?>(?P<queue>[0-9A-Za-z]{5,32})?): )?)(?:prepend|Header field not prepended:) "
    r"(?:Received-SPF: Fail |Authentication-Results: [^\s;]++; spf=fail )",
    re.IGNORECASE,
)
_CLIENT = re.compile(rf"client-ip=(?P<client>{ADDRESS});")


def parse(header: Header) -> Fact | None:
    """Give the failure that was let through, None for any other result."""
    text = header.message
    match = _FAIL.match(text)
    if match is None or text.lower().count("client-ip=") != 1:
        return None
    client = _CLIENT.search(text, match.end())
    if client is None:
        return None
    queue = f"{header.host} {match['queue']}" if match["queue"] else ""
    return Fact(
        Kind.OFFENCE,
        client["client"],
        COMPONENT,
        header.at,
        "spf_fail",
        header.repeat,
        queue=queue,
        detail="SPF fail, let through",
    )
