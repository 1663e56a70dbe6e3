"""A line of Postfix cleanup in, what it says of the client out (cleanup_milter.c, cleanup_message.c).

A milter's refusal has the client at its fixed place, and so has its hold, of which only OpenDMARC's result tells why.
What a milter has discarded it may have taken over: MailScanner's does so with every message. Who judges it tells so.

A refusal by header_checks or body_checks writes the header's text first: the client is the ` from NAME[ADDRESS];
from=<` behind it, and when the text or the envelope holds a second one, only smtpd's `QUEUEID: client=` can tell.
"""

from __future__ import annotations

import re

from repzone.logs import postfix_queue, postfix_reply
from repzone.logs.fact import Fact, Kind
from repzone.logs.postfix_smtpd import NAME_ADDRESS, is_login, queue_key
from repzone.logs.syslog import Header

COMPONENT = "postfix/cleanup"

_MILTER = re.compile(
    rf"(?P<queue>[0-9A-Za-z]{{5,32}}): (?P<action>milter-(?:reject|hold)): (?P<stage>[A-Z-]++) from {NAME_ADDRESS}"
    r"(?P<rest>: .*+)",
    re.DOTALL,
)
_CONTENT = re.compile(
    r"(?P<queue>[0-9A-Za-z]{5,32}): (?P<action>(?:milter-(?:header|body)-)?(?:reject|discard)): "
    r"(?P<part>header|body|content|mime-header|nested-header|mime-error) (?P<rest>.*+)",
    re.DOTALL,
)
_ORIGIN = re.compile(r" from (?=[^\s;]++; from=<)")
_CLIENT = re.compile(rf"{NAME_ADDRESS};")


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing."""
    if ": message-id=" in header.message[:45]:
        return postfix_queue.parse_message_id(header)
    match = _MILTER.fullmatch(header.message)
    if match is not None:
        return _milter(header, match)
    match = _CONTENT.fullmatch(header.message)
    return _content(header, match) if match is not None else None


def _milter(header: Header, match: re.Match[str]) -> Fact | None:
    if is_login(match["rest"]):
        return None
    if match["action"] == "milter-hold":
        return _hold(header, match)
    reply = postfix_reply.parse(match["rest"][2:])
    reason = postfix_reply.milter_reason(reply)
    if reason is None and not reply.server_written:
        return None
    sender, recipient = postfix_reply.envelope(match["rest"])
    return Fact(
        Kind.OFFENCE,
        match["client"],
        COMPONENT,
        header.at,
        reason or "",
        header.repeat,
        queue=queue_key(header, match["queue"]),
        stage=match["stage"],
        reply=reply.server_written,
        detail=f"{match['action']} {match['stage']}: {reply.detail}",
        verdict=True,
        sender=sender,
        recipient=recipient,
    )


def _hold(header: Header, match: re.Match[str]) -> Fact | None:
    if match["stage"] != "END-OF-MESSAGE":
        return None  # OpenDMARC has not seen the message yet
    return Fact(
        Kind.HELD,
        match["client"],
        COMPONENT,
        header.at,
        queue=queue_key(header, match["queue"]),
        detail="milter-hold END-OF-MESSAGE",
        verdict=True,
    )


def _content(header: Header, match: re.Match[str]) -> Fact | None:
    origins = list(_ORIGIN.finditer(match["rest"]))
    if not origins:
        return None
    client = _CLIENT.match(match["rest"], origins[0].end()) if len(origins) == 1 else None
    if len(origins) == 1 and client is None:
        return None  # `local`, or unknown[unknown]
    return Fact(
        Kind.OFFENCE,
        client["client"] if client is not None else "",  # join asks the queue id
        COMPONENT,
        header.at,
        "content_rejected",
        header.repeat,
        queue=queue_key(header, match["queue"]),
        stage="END-OF-MESSAGE",
        detail=f"{match['action']} {match['part']}",
        verdict=True,
    )
