"""A line of postgrey in, what it says of the client out (postgrey's `mylog_action`).

    QUEUEID: action=greylist, reason=new, client_name=NAME, client_address=ADDRESS, sender=FROM, recipient=TO
    action=greylist, reason=early-retry (240s missing), …
    action=pass, reason=triplet found, delay=492, …
    action=pass, reason=client whitelist, …     also: recipient whitelist, client AWL

The client is `client_address=` in this order: all before it is postgrey's and Postfix' own. An empty sender is left
out. smtpd tells the refusal again, with the same envelope, by which `join` takes both for one.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "postgrey"

_LINE = re.compile(
    r"(?>(?:(?P<queue>[0-9A-Za-z]{5,32}): )?)action=(?P<action>greylist|pass), "
    r"reason=(?P<reason>[\w-]++(?>(?: [\w-]++)*)(?>(?: \(\d++s missing\))?))(?>(?:, delay=\d++)?)"
    rf"(?>(?:, client_name=[^\s,=]*+)?), client_address=(?P<client>{ADDRESS}(?>(?:/\d{{1,3}})?))(?P<envelope>, .*+)",
    re.DOTALL,
)
_ENVELOPE = re.compile(r"(?>(?:, sender=(?P<sender>[^\s,]++))?), recipient=(?P<recipient>[^\s,]++)\s*+")


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it is no decision."""
    match = _LINE.fullmatch(header.message)
    if match is None:
        return None
    envelope = _ENVELOPE.fullmatch(match["envelope"])
    early = match["reason"].startswith("early-retry")
    return Fact(
        Kind.OFFENCE if match["action"] == "greylist" else Kind.PASSED,
        match["client"],
        COMPONENT,
        header.at,
        "greylist_early_retry" if early else "greylisted",
        header.repeat,
        queue=f"{header.host} {match['queue']}" if match["queue"] else "",
        sender=(envelope["sender"] or "") if envelope is not None else None,
        recipient=envelope["recipient"] if envelope is not None else None,
        detail=f"{match['action']}: {match['reason']}",
    )
