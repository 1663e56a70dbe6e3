"""A line of milter-greylist in, what it says of the client out (milter-greylist.c, autowhite.c, acl.c).

    QUEUEID: addr NAME[ADDRESS] from <FROM> to <TO> delayed for 00:29:59 (ACL 5)
    QUEUEID: addr ADDRESS from <FROM> rcpt <TO>: autowhitelisted for another 24:00:00
    QUEUEID: skipping greylist because …, (from=<FROM>, rcpt=<TO>, addr=NAME[ADDRESS]) ACL 5

The client is the bracket right behind `addr `, or the one that ends the line. NAME comes from the DNS: it is read
only without blanks and brackets, or as the address in brackets that servers give instead of it. `blacklisted` gives
nothing here, since the server tells that refusal; it tells a delay too, with the same envelope, by which `join`
takes both for one.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "milter-greylist"

_QUEUE = r"(?:(?P<queue>[0-9A-Za-z]{5,32})|\([\w ]++\)): "
_NAME = r"(?:\[[^\s\[\]]*+\]|[^\s\[\]]*+)"
_DELAYED = re.compile(
    rf"{_QUEUE}addr {_NAME}\[(?P<client>{ADDRESS})\] from (?P<envelope>.*) "
    r"delayed(?>(?: after DATA phase)?) for [\d:]++(?>(?: \(ACL [^()]*+\))?)\s*",
    re.DOTALL,
)
_PASSED = re.compile(
    rf"{_QUEUE}addr (?P<client>{ADDRESS}) from (?P<envelope>.*): autowhitelisted for "
    r"(?>(?:(?:another|more) )?)[\d:]++\s*",
    re.DOTALL,
)
_SKIPPED = re.compile(rf"{_QUEUE}skipping greylist because .*", re.DOTALL)
_WHOM = re.compile(
    r"(?P<envelope>[^\s,]++, rcpt=[^\s,]++), "
    rf"addr=(?:{_NAME}\[(?P<client>{ADDRESS})\]|(?P<older>{ADDRESS}))\)(?>(?: ACL [\w-]++)?)\s*"
)
_ENVELOPE = re.compile(r"<?(?P<sender>[^<>\s]*+)>?(?: to | rcpt |, rcpt=)<?(?P<recipient>[^<>\s]++)>?")


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it neither delays nor lets through."""
    text = header.message
    match = _DELAYED.fullmatch(text)
    if match is not None:
        return _fact(header, match, Kind.OFFENCE, match["client"], match["envelope"])
    match = _PASSED.fullmatch(text)
    if match is not None:
        return _fact(header, match, Kind.PASSED, match["client"], match["envelope"])
    match = _SKIPPED.fullmatch(text)
    whom = _WHOM.fullmatch(text.rpartition("(from=")[2]) if match is not None else None
    if match is None or whom is None:
        return None
    return _fact(header, match, Kind.PASSED, whom["client"] or whom["older"], whom["envelope"])


def _fact(header: Header, match: re.Match[str], kind: Kind, client: str, told: str) -> Fact:
    envelope = _ENVELOPE.fullmatch(told)
    return Fact(
        kind,
        client,
        COMPONENT,
        header.at,
        "greylisted" if kind is Kind.OFFENCE else "",
        header.repeat,
        queue=f"{header.host} {match['queue']}" if match["queue"] else "",
        sender=envelope["sender"] if envelope is not None else None,
        recipient=envelope["recipient"] if envelope is not None else None,
        detail="delayed",
    )
