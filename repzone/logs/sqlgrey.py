"""A line of SQLgrey in, what it says of the client out (sqlgrey's `smtpd_access_policy`).

    grey: new: NETWORK(ADDRESS), FROM -> TO                 before 1.6: `NETWORK, …`, where ADDRESS may stand for it
    grey: early reconnect: NETWORK(ADDRESS), FROM -> TO
    grey: reconnect ok: NETWORK(ADDRESS), FROM -> TO (DELAY)
    whitelist: FROM, ADDRESS(NAME) -> TO
    spam: NETWORK: FROM -> TO at TIME                       who never came again

The client is the address in parentheses. In a whitelist line the sender stands before it, so that one with a comma
or blank in it is not read. `spam:` names a network at best, and `throttling:` is refused by smtpd with a text of its
own: neither gives anything here. smtpd tells the other refusals again, with the same envelope, by which `join`
takes both for one.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "sqlgrey"

_GREY = re.compile(
    r"grey: (?P<what>new|early reconnect|reconnect ok): "
    rf"(?:[0-9A-Fa-f:.]{{1,45}}+\((?P<client>{ADDRESS})\)|(?P<older>{ADDRESS})), (?P<envelope>.*+)",
    re.DOTALL,
)
_ENVELOPE = re.compile(r"(?P<sender>[^\s,]++) -> (?P<recipient>[^\s,]++)(?>(?: \([^()<>]{0,60}+\))?)\s*+")
_WHITELIST = re.compile(
    rf"whitelist: (?P<sender>[^\s,]++), (?P<client>{ADDRESS})\([^\s()]*+\) -> (?P<recipient>[^\s,]++)\s*+"
)
_REASONS = {"new": "greylisted", "early reconnect": "greylist_early_retry", "reconnect ok": ""}
_NOBODY = "-undef-@-undef-"  # how it writes the sender of a bounce


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it names none."""
    match = _WHITELIST.fullmatch(header.message)
    if match is not None:
        return _fact(header, match["client"], "", "whitelist", match)
    match = _GREY.fullmatch(header.message)
    if match is None:
        return None
    client = match["client"] or match["older"]
    envelope = _ENVELOPE.fullmatch(match["envelope"])
    return _fact(header, client, _REASONS[match["what"]], match["what"], envelope)


def _fact(header: Header, client: str, reason: str, what: str, envelope: re.Match[str] | None) -> Fact:
    sender = envelope["sender"] if envelope is not None else None
    return Fact(
        Kind.OFFENCE if reason else Kind.PASSED,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        sender="" if sender == _NOBODY else sender,
        recipient=envelope["recipient"] if envelope is not None else None,
        detail=what,
    )
