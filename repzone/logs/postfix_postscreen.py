"""A line of Postfix postscreen in, what it says of the client out (postscreen.c, postscreen_smtpd.c, _early.c).

The client is the `[ADDRESS]:PORT` that postscreen writes right behind its keyword, before all that the client sent;
it names the session too, since one postscreen process serves all clients.
"""

from __future__ import annotations

import re

from repzone.logs import postfix_reply
from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "postfix/postscreen"

_LINE = re.compile(
    r"(?P<lead>CONNECT from |DISCONNECT |PASS (?:NEW|OLD) "
    r"|PREGREET \d++ after [\d.]++ from |HANGUP after [\d.]++ from |DNSBL rank \d++ for |(?:BLACK|DENY)LISTED "
    r"|COMMAND (?:TIME|COUNT|LENGTH) LIMIT from |COMMAND PIPELINING from |NON-SMTP COMMAND from |BARE NEWLINE from "
    r"|(?:DATA|BDAT) without valid RCPT from |NOQUEUE: reject: (?P<stage>CONNECT|RCPT) from )"
    rf"(?P<session>\[(?P<client>{ADDRESS})\](?>(?::\d{{1,5}})?))(?P<rest>.*+)",
    re.DOTALL,
)
_REASONS = {
    "PREGREET": "pregreet",
    "HANGUP": "dropped_connection",
    "DNSBL": "dnsbl_listed",
    "BLACKLISTED": "client_denied",
    "DENYLISTED": "client_denied",
    "COMMAND TIME": "command_limit",
    "COMMAND COUNT": "command_limit",
    "COMMAND LENGTH": "command_limit",
    "COMMAND PIPELINING": "improper_pipelining",
    "NON-SMTP": "non_smtp_command",
    "BARE": "bare_newline",
    "DATA": "protocol_error",
    "BDAT": "protocol_error",
}
_AFTER = re.compile(r" after ([A-Z-]{1,20})\b")


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing."""
    match = _LINE.fullmatch(header.message)
    if match is None:
        return None
    if match["stage"]:
        return _refusal(header, match)
    words = match["lead"].split()
    if words[0] == "CONNECT":
        return _fact(header, match, Kind.CONNECT)
    if words[0] in ("DISCONNECT", "PASS"):
        return _fact(header, match, Kind.DISCONNECT)
    reason = _REASONS[" ".join(words[:2]) if words[0] == "COMMAND" else words[0]]
    after = _AFTER.match(match["rest"])
    detail = match["lead"].strip().removesuffix(" from").removesuffix(" for")
    if after is not None:
        detail += f" after {after[1]}"
    return _fact(header, match, Kind.OFFENCE, reason, detail)


def _fact(
    header: Header,
    match: re.Match[str],
    kind: Kind,
    reason: str = "",
    detail: str = "",
    reply: str = "",
    echo: bool = False,
) -> Fact:
    return Fact(
        kind,
        match["client"],
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        session=f"{header.host} {header.program} {match['session']}",
        reply=reply,
        detail=detail,
        echo=echo,
    )


def _refusal(header: Header, match: re.Match[str]) -> Fact | None:
    """Read `NOQUEUE: reject:`, which tells a test's result once more when the client came as far as RCPT."""
    text, stage = match["rest"].removeprefix(": "), match["stage"]
    if stage == "CONNECT":
        if not text.startswith("too many connections"):
            return None  # all server ports busy
        return _fact(header, match, Kind.OFFENCE, "connection_limit", "reject CONNECT: too many connections")
    reply = postfix_reply.parse(text)
    reason = postfix_reply.reason(reply, stage)
    if reason is None or (reply.temporary and reason != "dnsbl_listed"):
        reason = ""
    echo = False
    if reason not in ("", "dnsbl_listed"):
        echo, reason = True, "protocol_error" if reply.dsn[1:3] == ".5" else "client_denied"
    if not reason and not reply.server_written:
        return None
    detail = f"reject RCPT: {reply.detail}"
    return _fact(header, match, Kind.OFFENCE, reason, detail, reply.server_written, echo)
