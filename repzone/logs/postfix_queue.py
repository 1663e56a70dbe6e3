"""A line of the Postfix queue in, what it says of a message out (cleanup.c, qmgr_active.c, log_adhoc.c).

Nothing here is an offence: the lines tell whose Message-ID it is, that a message was taken, delivered, and is gone.

    QUEUEID: uid=… from=<…>                                  pickup
    QUEUEID: message-id=<…>                                  cleanup
    QUEUEID: from=<…>, size=…, nrcpt=… (queue active)        qmgr
    QUEUEID: to=<…>, orig_to=<…>, relay=…, status=… (…)      smtp, lmtp, local, virtual, pipe
    QUEUEID: removed                                         qmgr
"""

from __future__ import annotations

import re

from repzone.logs.fact import Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "postfix/qmgr"

_ACCEPTED = re.compile(r"([0-9A-Za-z]{5,32}): from=<(.*)>, size=\d++, nrcpt=\d++ \(queue active\)\s*", re.DOTALL)
_REMOVED = re.compile(r"([0-9A-Za-z]{5,32}): removed\s*")
_MESSAGE_ID = re.compile(r"([0-9A-Za-z]{5,32}): message-id=(.*+)", re.DOTALL)
_HANDED_IN = re.compile(r"([0-9A-Za-z]{5,32}): uid=\d++ from=<.*", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*+\)")
_MID = re.compile(r"[^<>]*+<([^<>\s]++)>|\s*+(\S++)")
_TRIED = re.compile(r"([0-9A-Za-z]{5,32}): to=<([^<>\s]*+)>, (?>(?:orig_to=<([^<>\s]*+)>, )?)relay=")


def parse_message_id(header: Header) -> Fact | None:
    """Read cleanup's `message-id=`, the header as it came: a filter strips its comments, so that is done here too.

    Otherwise a Message-ID that is known to be somebody else's could be hidden from us, and not from the filter.
    """
    match = _MESSAGE_ID.fullmatch(header.message)
    if match is None:
        return None
    mid = _MID.match(_COMMENT.sub(" ", match[2]))
    if mid is None:
        return None
    queue = f"{header.host} {match[1]}"
    return Fact(Kind.NAMED, "", COMPONENT, header.at, queue=queue, mid=mid[1] or mid[2])


def parse_pickup(header: Header) -> Fact | None:
    """Read pickup's line: a message was handed in on this machine."""
    match = _HANDED_IN.fullmatch(header.message)
    if match is None:
        return None
    return Fact(Kind.UNOWNED, "", COMPONENT, header.at, queue=f"{header.host} {match[1]}")


def parse(header: Header) -> Fact | None:
    """Read a line of qmgr: a message is in the queue, or has left it."""
    text = header.message
    if text.endswith(": removed"):
        match = _REMOVED.fullmatch(text)
        kind, sender = Kind.REMOVED, ""
    else:
        match = _ACCEPTED.fullmatch(text)
        kind, sender = Kind.ACCEPTED, match[2] if match is not None else ""
    if match is None:
        return None
    return Fact(kind, "", COMPONENT, header.at, queue=f"{header.host} {match[1]}", sender=sender)


def parse_delivery(header: Header) -> Fact | None:
    """Read what became of a delivery, of whatever kind: the client's part in it was done when we took the message.

    The recipient is the one that the client named, before aliases.
    """
    match = _TRIED.match(header.message)
    if match is None:
        return None
    recipient = match[3] or match[2]
    return Fact(Kind.DELIVERED, "", COMPONENT, header.at, queue=f"{header.host} {match[1]}", recipient=recipient)
