"""A line of MailScanner in, what it says of a message out (Message.pm, SweepViruses.pm, SweepOther.pm; 4 and 5).

    Message ID from ADDRESS (FROM) to DOMAINS is spam, SpamAssassin (…)
    Message ID from ADDRESS has no (or invalid) watermark or sender address, deleted
    Infected message ID came from ADDRESS
    Filename Checks: RULE (ID NAME)
    Found phishing fraud from URL claiming to be TEXT in ID

ADDRESS stands before all that the sender chose. ID is the mail server's queue id, with Postfix' a digest behind it;
it names the client of the lines that do not. All of them judge one message, which counts once.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "mailscanner"

_ID = r"(?P<queue>[0-9A-Za-z-]{5,32}+)(?:\.[0-9A-F]{5,6})?"
_FORMS = tuple(
    (re.compile(pattern, re.DOTALL), reason, detail)
    for pattern, reason, detail in (
        (rf"Message {_ID} from (?P<client>{ADDRESS}) \(.* is (?i:spam)(?=[\s,(]|\Z)", "spam_detected", "is spam"),
        (rf"Message {_ID} from (?P<client>{ADDRESS}) has no \(or invalid\) watermark or sender address,"
         r" (?:deleted|marked as)", "spam_detected", "no valid watermark"),
        (rf"Infected message {_ID} came from (?P<client>{ADDRESS})\s*\Z", "virus_found", "infected"),
        (rf"File(?:name|type) Checks: (?!Allowing |Forwarding )[^()]*+\({_ID} ", "banned_attachment",
         "file refused"),
        (rf"Found (?:ip-based )?phishing fraud from .* in {_ID}\s*\Z", "spam_tagged", "phishing"),
    )
)  # fmt: skip


def parse(header: Header) -> Fact | None:
    """Give what the line says of a message, None when it does not blame it."""
    for pattern, reason, detail in _FORMS:
        match = pattern.match(header.message)
        if match is not None:
            return Fact(
                Kind.OFFENCE,
                match.groupdict().get("client") or "",
                COMPONENT,
                header.at,
                reason,
                header.repeat,
                queue=f"{header.host} {match['queue']}",
                detail=detail,
                verdict=True,
            )
    return None
