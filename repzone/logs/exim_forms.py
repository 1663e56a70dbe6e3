"""A line of Exim's that tells one thing of its client in, that out (smtp_in.c, daemon.c, receive.c, tls-*.c, host.c).

LEAD NAME (HELO) [ADDRESS]:PORT … TAIL                 `… authenticator failed for`, `SMTP call from … dropped`
LEAD "COMMAND" H=NAME (HELO) [ADDRESS]:PORT … TAIL     `SMTP syntax error in`
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from repzone.logs.exim_client import END, FIELDS, Line, ends, find
from repzone.logs.fact import ADDRESS, Fact, Kind

_NO_NAME = re.compile(rf"no host name found for IP address (?P<client>{ADDRESS})\s*")


@dataclass(frozen=True, slots=True)
class Form:
    """Where the client is, what must follow it, and what it did.

    With a `separator` the client's own text stands between it and `lead`: then `tail` reaches to the end of the line,
    but for a form that holds `alone`, where the line may have one separator only.
    """

    lead: re.Pattern[str]
    tail: re.Pattern[str]
    reason: str
    detail: str
    separator: str = ""
    stage: str = ""
    kind: Kind = Kind.OFFENCE
    echo: bool = False
    alone: bool = False


def _form(
    lead: str,
    tail: str,
    reason: str,
    detail: str,
    separator: str = "",
    *,
    stage: str = "",
    kind: Kind = Kind.OFFENCE,
    echo: bool = False,
    alone: bool = False,
) -> Form:
    end = END if separator and not alone else ""
    pattern = re.compile(f"{FIELDS}(?:{tail}){end}", re.DOTALL)
    return Form(re.compile(lead), pattern, reason, detail, separator, stage, kind, echo, alone)


_COMMAND = r'SMTP (?:syntax|protocol) error in "'
_CONNECTION = r"SMTP connection (?:Ci=\S{1,20}+ )?from "
_EARLY = r"SMTP protocol (?:violation: )?synchronization error \((?:next )?input sent "
_TOO_BIG = r": message too big: (?:size|read)>?=?>?\d++ max=\d++"
_BAD_ADDRESS = (
    r" (?:empty address|(?:domain )?missing or malformed(?: local part)?|malformed domain literal"
    r"|domain literals not allowed|domain missing in source-routed address|angle-brackets nested too deep"
    r"|invalid UTF-8 byte sequence|unmatched doublequote in local part|colon expected after route list|no local part"
    r"""|'>' missing at end of address)(?: \(expected word or "<"\))?"""
)
_QUOTED_ADDRESS = ' (?:malformed address: |"@" or "." expected after "|address is ridiculously long: )'
_NO_MECHANISM = (
    " (?:[A-Za-z0-9_-]*+ authentication mechanism not supported|invalid character in authentication mechanism name)"
)
_MISUSED = (
    r" (?:(?:MAIL|RCPT) must have an address operand|sender (?:not yet|already) given|unexpected argument data"
    r"|[A-Z\d]{4,8} (?:command )?used when (?:CHUNKING )?not advertised|not permitted in mail transaction"
    r"|valid RCPT command must precede (?:DATA|BDAT)|argument must begin with #|(?:zero|missing) size for BDAT command"
    r"|only (?:RSET accepted now|BDAT permissible after non-LAST BDAT)|NULL? character\(s\) present \(shown as '\?'\)"
    r"|invalid data for (?:AUTH|BODY)|[A-Z]{3,8} can be specified once only|Invalid value for NOTIFY parameter"
    r"|Value for RET is invalid|ETRN is not permitted inside a transaction)"
)
_HANDSHAKE = (
    r" \((?:gnutls_handshake|SSL_accept|tls lib accept fn|(?:TLS )?handshake|certificate verification failed"
    r"|STARTTLS received after TLS started)\)"
)

_FORMS = (
    _form(
        r"\S{1,64}\s{1,4}authenticator failed for (?:H=)?",
        r": (?!435)\d{3} ",
        "auth_failed",
        "AUTH failed",
        stage="AUTH",
    ),
    _form(_COMMAND, " already authenticated", "", "", '" H=', kind=Kind.LOGIN),
    _form(
        _COMMAND, " AUTH command used when not advertised", "auth_not_offered", "AUTH not offered", '" H=', stage="AUTH"
    ),
    _form(_COMMAND, _NO_MECHANISM, "auth_mechanism_invalid", "AUTH mechanism not known", '" H=', stage="AUTH"),
    _form(_COMMAND, " unrecognized command", "unknown_command", "unrecognized command", '" H='),
    _form(_COMMAND, " SMTP synchronization error", "improper_pipelining", "synchronization error", '" H=', echo=True),
    _form(_COMMAND, _BAD_ADDRESS, "bad_address_syntax", "malformed address", '" H='),
    _form(_COMMAND, _QUOTED_ADDRESS, "bad_address_syntax", "malformed address", '" H=', alone=True),
    _form(_COMMAND, _MISUSED, "protocol_error", "SMTP protocol error", '" H='),
    _form(
        _EARLY + r"without waiting for greeting\): rejected connection from (?:H=)?",
        r' (?:next )?input="|\s*\Z',
        "pregreet",
        "input before the greeting",
    ),
    _form(
        _EARLY + r'too soon[^()]{0,60}\): rejected "',
        ' next input=".*+',
        "improper_pipelining",
        "input sent too soon",
        '" H=',
    ),
    _form(
        "SMTP call from ",
        " dropped: too many (?:nonmail commands|syntax or protocol errors|unrecognized commands)",
        "too_many_errors",
        "too many errors",
    ),
    _form(r"no MAIL in (?:TFO\*? )?SMTP connection from ", r" D=[\w.]++ A=\S", "", "", kind=Kind.LOGIN),
    _form(
        r"no MAIL in (?:TFO\*? )?SMTP connection from ",
        r" D=[\w.]++(?! A=)",
        "no_mail_transaction",
        "connection without MAIL",
        echo=True,
    ),
    _form(_CONNECTION, r" \(TCP/IP connection count = \d++\)", "", "", kind=Kind.CONNECT),
    _form(_CONNECTION, " closed by DROP in ACL", "dropped_by_acl", "dropped by an ACL", echo=True),
    _form(
        _CONNECTION,
        r" (?:TFO )?lost(?: \(error: [^()]*+\))?(?: D=|\s*\Z)",
        "dropped_connection",
        "connection lost",
    ),
    _form(
        r"unexpected disconnection while reading SMTP command from (?:TFO\*? )?",
        r"(?: \(error: [^()]*+\))?(?: D=|\s*\Z)",
        "dropped_connection",
        "unexpected disconnection",
    ),
    _form("SMTP command timeout on(?: TLS)? connection from ", r" D=|\s*\Z", "timeout", "command timeout"),
    _form(
        "TLS error on (?:SMTP )?connection from ", _HANDSHAKE, "tls_failed", "TLS handshake failed", stage="STARTTLS"
    ),
    _form(
        "rejected (?:EHLO|HELO) from ",
        r": syntactically invalid argument\(s\): ",
        "helo_rejected",
        "syntactically invalid HELO",
    ),
    _form('rejected "(?:EHLO|HELO) ', "", "helo_rejected", "HELO not verified", '" from '),
    _form("rejected MAIL from ", ": no HELO/EHLO given", "protocol_error", "MAIL before HELO"),
    _form("rejected MAIL command H=", ": too many messages in one connection", "rate_limit", "too many messages"),
    _form("rejected MAIL FROM:<", _TOO_BIG, "data_rejected", "message too big", "> H="),
    _form("rejected from <", _TOO_BIG, "data_rejected", "message too big", "> H="),
    _form("rejected from <", ': Too many "Received" headers', "data_rejected", "too many Received headers", ">H="),
    _form(
        "rejected from <",
        ": Non-CRLF-terminated header, under CHUNKING: message abandoned",
        "bare_newline",
        "header without CRLF",
        "> H=",
    ),
    _form("unqualified sender rejected: <", r"(?: \([^()\[\]]*+\))?", "sender_not_fqdn", "unqualified sender", "> H="),
    _form(
        "unqualified recipient rejected: <",
        r"(?: \([^()\[\]]*+\))?",
        "bad_address_syntax",
        "unqualified recipient",
        "> H=",
    ),
    _form(
        "too many recipients: (?:message rejected|excess temporarily rejected): sender=<",
        "",
        "rate_limit",
        "too many recipients",
        "> H=",
    ),
    _form("VRFY failed for ", "", "vrfy_expn", "VRFY failed", " H="),
    _form(
        "refused connection from ",
        r" \((?:host_reject_connection|tcp wrappers)\)",
        "client_denied",
        "connection refused",
    ),
    _form("connection from ", r" refused \(IP options\)", "client_denied", "connection with IP options refused"),
    _form(
        "Connection from ",
        " refused: too many connections from that IP address",
        "connection_limit",
        "too many connections",
    ),
    _form(
        "(?:ridiculously long message header|overlong message header line) received from ",
        r" \(more than \d++ characters\)",
        "data_rejected",
        "message header too long",
    ),
    _form(
        r"no IP address found for host \S++ \(during SMTP connection from ",
        r"\)\s*\Z",
        "rdns_mismatch",
        "no address for the host name",
    ),
)


def parse(line: Line) -> Fact | None:
    """Give what the line says of its client, None when it is of no form or names no client."""
    no_name = _NO_NAME.fullmatch(line.text)
    if no_name is not None:
        return line.fact(Kind.OFFENCE, no_name["client"], "rdns_missing", detail="no host name for the address")
    for form in _FORMS:
        lead = form.lead.match(line.text)
        if lead is not None:
            fact = _read(line, form, lead.end())
            if fact is not None:
                return fact
    return None


def _read(line: Line, form: Form, start: int) -> Fact | None:
    if form.separator and (line.cut or (form.alone and line.text.count(form.separator) != 1)):
        return None
    found = find(line, ends(line, form.separator, start) if form.separator else (start,), form.tail)
    if found is None or (form.kind is Kind.LOGIN and " U=" in line.text):
        return None
    return line.fact(
        form.kind,
        found[0],
        form.reason,
        detail=form.detail,
        stage=form.stage,
        echo=form.echo,
        traffic=form.kind is Kind.CONNECT,
    )
