"""A line of Courier's IMAP, POP3, webmail and ESMTP servers in, what it says of the client out.

    LOGIN FAILED, user=U, ip=[CLIENT], port=[P]
    error,relay=CLIENT,port=P,ident=I,from=<F>,to=<T>: 550 User unknown.
    error,relay=CLIENT,msg="535 Authentication failed.",cmd: AUTH PLAIN …

For a login the client ends the line, in ESMTP it comes first. What stands behind `cmd:` may be a password. In
`from=<F>,to=<T>` Courier itself takes out brackets and colons. A quoted ident is as the client sent it: no reply
behind one proves a refusal of ours (imaplogin.c, pop3login.c, courieresmtpd.c, tcpd.c).
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "courier"

_LEVEL = re.compile(r"(?:INFO|ERR|WARN|ALERT|DEBUG): ")
_CLIENT = re.compile(rf"ip=\[(?P<client>{ADDRESS})\](?>(?:, port=\[?\d{{1,5}}\]?)?)\s*\Z")
_LIMIT = re.compile(rf"Maximum connection limit reached for (?P<client>{ADDRESS})\s*\Z")
_ERROR = re.compile(rf"error,relay=(?P<client>{ADDRESS})(?>(?:,port=\d{{1,5}})?)(?=[,:])(?P<rest>.*+)", re.DOTALL)
_MSG = re.compile(r'(?>(?:,ident="[^"]*+")?),msg="(?P<reply>[^"]*+)",cmd: ')
_SUBMIT = re.compile(
    r"(?>(?:,ident=(?!\")[^,:]*+)?),from=<[^<>:]*+>(?>(?:,to=(?P<to><[^<>:]*+>))?): (?P<reply>.*+)", re.DOTALL
)
_STARTED = re.compile(rf"started,ip=\[(?P<client>{ADDRESS})\](?>(?:,port=\[?\d{{1,5}}\]?)?)\s*\Z")
_REASONS = (
    (re.compile(r"535 Authentication (?:failed|rejected)"), "auth_failed"),
    (re.compile(r"535 Authentication required"), "relay_denied"),
    (re.compile(r"5\d\d[ -]User(?: <.{0,200}>)? unknown"), "unknown_recipient"),
    (re.compile(r"5\d\d[ -]Relaying denied"), "relay_denied"),
    (re.compile(r"5\d\d[ -](?:Domain does not exist|Invalid domain)"), "sender_domain_not_found"),
    (re.compile(r"502 Polite people"), "command_rejected"),
    (re.compile(r"502 ESMTP command error"), "unknown_command"),
    (re.compile(r"50\d EXPN syntax error|252 (?:EXPN|VRFY) disabled"), "vrfy_expn"),
    (re.compile(r"55\d[ -]Syntax error"), "bad_address_syntax"),
    (re.compile(r"55\d[ -](?:Mail rejected|Message rejected)"), "content_rejected"),
    (re.compile(r"511[ -]"), "client_denied"),
    (re.compile(r"517[ -].{0,40}\bSPF\b"), "spf_fail"),
    (re.compile(r"517[ -].{0,40}\b(?:HELO|EHLO)\b"), "helo_rejected"),
    (re.compile(r"5[23]\d[ -](?:Message length|SIZE=)"), "data_rejected"),
)


def parse(header: Header) -> Fact | None:
    """Give what a line of the IMAP, POP3 or webmail server says of its client; None when it says nothing."""
    text = _without_level(header.message)
    if text.startswith("LOGIN FAILED, "):
        place = _CLIENT.match(text, text.rfind("ip=["))
        return _offence(header, place["client"], "auth_failed", "login failed", "AUTH") if place is not None else None
    if text.startswith("Connection, "):
        place = _CLIENT.match(text, len("Connection, "))
        return Fact(Kind.CONNECT, place["client"], COMPONENT, header.at, traffic=True) if place is not None else None
    return _limit(header, text)


def parse_esmtp(header: Header) -> Fact | None:
    """Give what a line of courieresmtpd says of its client; None when it says nothing."""
    text = _without_level(header.message)
    started = _STARTED.match(text)
    if started is not None:
        return Fact(Kind.CONNECT, started["client"], COMPONENT, header.at, traffic=True)
    error = _ERROR.match(text)
    if error is None:
        return _limit(header, text)
    msg = _MSG.match(error["rest"])
    if msg is not None:
        return _refusal(header, error["client"], msg["reply"], "command_rejected")
    submit = _SUBMIT.fullmatch(error["rest"])
    if submit is None:
        return None
    fallback = "recipient_rejected" if submit["to"] else "sender_rejected"
    fact = _refusal(header, error["client"], submit["reply"], fallback)
    # An envelope that holds a forged end leaves its own end in the reply.
    if fact is not None and fact.reason == "client_denied" and ">" not in submit["reply"]:
        fact.reply = submit["reply"]
    return fact


def _without_level(text: str) -> str:
    level = _LEVEL.match(text)
    return text[level.end() :] if level is not None else text


def _limit(header: Header, text: str) -> Fact | None:
    limit = _LIMIT.match(text)
    return _offence(header, limit["client"], "connection_limit", "too many connections") if limit is not None else None


def _refusal(header: Header, client: str, reply: str, fallback: str) -> Fact | None:
    """Read Courier's reply; one that begins with 4 is a trouble of ours or a delay."""
    reason = next((reason for form, reason in _REASONS if form.match(reply)), fallback)
    if not reply.startswith("5") and reason == fallback:
        return None
    return _offence(header, client, reason, f"refused: {reply[:3]}", "AUTH" if reason == "auth_failed" else "")


def _offence(header: Header, client: str, reason: str, detail: str, stage: str = "") -> Fact:
    return Fact(
        Kind.OFFENCE,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        stage=stage,
        detail=detail,
        server=header.host,
    )
