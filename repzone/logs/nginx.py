"""A line of nginx' mail proxy in, what it says of the client out (ngx_mail_handler.c, ngx_mail_auth_http_module.c).

    *6631 client login failed: "WHY" while in http auth state, client: CLIENT, server: US:25, login: "LOGIN"

What the client sent stands before its address (a command) and behind it (the login): a line in which two places read
as the client's gives nothing. WHY is the answer of the operator's own authentication server.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "nginx"

_LEAD = re.compile(r"(?>(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w++\] \d++#\d++: )?)\*(?P<number>\d{1,20}) ")
_CLIENT = re.compile(
    rf", client: (?P<client>{ADDRESS})(?>(?: using starttls)?),"
    r" server: (?:[\d.*]++|\[[\da-f:]++\]):(?P<port>\d{1,5}+)"
)
_CONNECT = re.compile(rf"client \[?(?P<client>{ADDRESS})\]?:\d{{1,5}} connected to \S++\s*\Z")
_MAIL_PORTS = {"25", "110", "143", "465", "587", "993", "995", "2525", "4190"}
_LOGIN_FAILED = re.compile(r'client login failed: "(?P<why>[^"]*+)" while in http auth state\b')
_OUR_FAULT = re.compile(r"temporar|try again|internal|unavailable|time(?:d )?out", re.IGNORECASE)
_OFFENCES = (
    (re.compile(r"client sent invalid (?:base64 encoding|login|password|\S{1,20} hash) in AUTH "), "auth_failed"),
    (re.compile(r"client sent too long command "), "protocol_error"),
    (re.compile(r"client was rejected before greeting: "), "pregreet"),
    (re.compile(r"client was rejected: "), "command_rejected"),
    (
        re.compile(
            r"client timed out \(.{1,60}?\) while (?:in auth state|in starttls state|sending client greeting line)\b"
        ),
        "timeout",
    ),
)
_DETAILS = {
    "auth_failed": "client sent an invalid login",
    "protocol_error": "client sent a too long command",
    "pregreet": "client spoke before the greeting",
    "command_rejected": "command refused without a login",
    "timeout": "client timed out",
    "tls_failed": "TLS handshake failed",
}


def parse(header: Header) -> Fact | None:
    """Give what the line says of a mail client, None when it is not of the mail proxy or names no client."""
    lead = _LEAD.match(header.message)
    if lead is None:
        return None
    text, session = header.message[lead.end() :], f"{header.host} {header.program}[{header.pid}] {lead['number']}"
    connect = _CONNECT.match(text)
    if connect is not None:
        return Fact(Kind.CONNECT, connect["client"], COMPONENT, header.at, session=session, traffic=True)
    places = list(_CLIENT.finditer(text))
    if len(places) != 1:
        return None
    client = places[0]["client"]
    if text.startswith("client logged in, "):
        return Fact(Kind.LOGIN, client, COMPONENT, header.at, session=session)
    reason, detail = _offence(text, places[0])
    if not reason:
        return None
    return Fact(
        Kind.OFFENCE,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        session=session,
        stage="AUTH" if reason.startswith("auth_") else "",
        detail=detail,
    )


def _offence(text: str, place: re.Match[str]) -> tuple[str, str]:
    """Give reason and detail, "" for no offence; TLS errors are the mail proxy's by the port alone."""
    login = _LOGIN_FAILED.match(text)
    if login is not None:
        if "rate-limit" in login["why"]:  # Mailu's, which calls it temporary
            return "auth_policy_refused", "too many logins"
        if _OUR_FAULT.search(login["why"]):
            return "", ""
        if "not supported" in login["why"]:
            return "auth_not_offered", "AUTH not offered here"
        return "auth_failed", "client login failed"
    if (
        text.startswith(("SSL_do_handshake() failed ", "peer closed connection in SSL handshake "))
        and place["port"] in _MAIL_PORTS
    ):
        return ("tls_failed", _DETAILS["tls_failed"]) if " while SSL handshaking" in text[: place.start()] else ("", "")
    for form, reason in _OFFENCES:
        if form.match(text):
            return reason, _DETAILS[reason]
    return "", ""
