"""A line of Postfix smtpd in, what it says of the client out (smtpd.c, smtpd_check.c, smtpd_sasl_glue.c).

The client is the `NAME[ADDRESS]` that smtpd writes at its fixed place. NAME is a host name that Postfix checked, so it
holds no bracket and no blank; all that the client sent (commands, login names, HELO, envelope) comes behind it.
"""

from __future__ import annotations

import re

from repzone.logs import postfix_reply
from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "postfix/smtpd"
NAME_ADDRESS = rf"[^\s\[\]]{{1,255}}\[(?P<client>{ADDRESS})\](?>(?::(?:\d{{1,5}}|unknown))?)"

_SESSION = re.compile(
    rf"(?P<what>connect|disconnect) from {NAME_ADDRESS}(?P<rest>(?>(?: [\w-]++=\d++(?>(?:/\d++)?))*))\s*"
)
_OTHER = re.compile(
    r"(?>(?:(?!reject: )(?P<queue>[0-9A-Za-z]{5,32}): )?)(?:"
    r"(?P<refusal>reject|milter-reject|discard|milter-discard): (?P<stage>[A-Z-]++) from "
    r"|(?P<break>lost connection|timeout|too many errors|improper command pipelining|bare <LF> received)"
    r" after (?P<after>[A-Z-]++)(?>(?: content)?)(?>(?: \(\d++ bytes\))?) from "
    r"|(?P<queued>client=)|(?P<tls>SSL_accept error from |abort: TLS from )"
    r"|(?P<etrn>(?:reject:|bad) ETRN .{1,100}\.\.\. from )"
    rf"){NAME_ADDRESS}(?P<rest>.*+)",
    re.DOTALL,
)
_UNOWNED = re.compile(r"([0-9A-Za-z]{5,32}): client=")  # of `unknown[unknown]`
_WARNING = re.compile(
    r"warning: (?P<lead>non-SMTP command from |Illegal address syntax from "
    r"|(?:\w++: )?malformed BDAT command syntax from "
    r"|(?:Connection|New TLS session|Message delivery request|Recipient address|AUTH command) (?:rate|concurrency)"
    rf" limit exceeded: \d++ from |){NAME_ADDRESS}(?P<rest>.*+)",
    re.DOTALL,
)
_RDNS = re.compile(
    rf"warning: (?:hostname \S++ does not resolve to address (?P<client>{ADDRESS}?)(?:: (?P<why>.*+))?"
    rf"|(?>(?:smtpd_peer_init: )?)(?P<older>{ADDRESS}?): "
    r"(?:hostname \S++ verification failed: (?P<why_older>.*+)|address not listed for hostname .*+))"
)
_UNSURE = re.compile(r"try again|temporary failure", re.IGNORECASE)
_SASL = re.compile(r": SASL (?P<mechanism>[\w-]{1,20}) authentication (?P<how>failed|aborted)(?P<why>.*+)", re.DOTALL)
_FAULT = re.compile(
    r": (?:connection lost to|can(?:'t|not) connect|could not connect|generic failure|temporary|internal error)",
    re.IGNORECASE,
)
_INVALID = re.compile(r": (?:invalid authentication mechanism|no mechanism available)", re.IGNORECASE)
_COUNTER = re.compile(r" (auth|unknown)=(\d{1,9})(?>(?:/(\d{1,9}))?)")
# Postfix replaces blanks and brackets in HELO, so that this end can only be its own; a line cut by syslog has no end.
_LOGGED_IN = re.compile(r" proto=\w++(?>(?: helo=<[^<>\s]*+>)?) sasl_username=<[^<>]*+>\s*\Z")
_CUT = 1000

# Services that users of ours log in at, by the names that Postfix' own master.cf gives and by port.
_FOR_USERS = re.compile(r"/(?:submissions?|smtps|msa|587|465)/")
_BREAKS = {
    "lost connection": "dropped_connection",
    "timeout": "timeout",
    "too many errors": "too_many_errors",
    "improper command pipelining": "improper_pipelining",
    "bare <LF> received": "bare_newline",
}
_IN_DATA = {"DATA", "BDAT", "END-OF-MESSAGE"}


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing or names no client."""
    text = header.message
    if text.startswith(("connect ", "disconnect ")):
        return _session(header)
    if text.startswith("warning: "):
        return _warning(header) or _rdns(header)
    match = _OTHER.fullmatch(text)
    if match is None:
        unowned = _UNOWNED.match(text)
        queue = queue_key(header, unowned[1]) if unowned is not None else ""
        return Fact(Kind.UNOWNED, "", COMPONENT, header.at, queue=queue) if queue else None
    if match["refusal"]:
        return _refusal(header, match)
    if match["break"]:
        return _break(header, match)
    if match["queued"]:
        return _queued(header, match)
    if match["tls"]:
        return _offence(header, match, "tls_failed", "TLS handshake failed", stage="STARTTLS")
    return None if match["rest"] else _offence(header, match, "command_rejected", "ETRN refused", stage="ETRN")


def queue_key(header: Header, queue: str | None) -> str:
    """Name a message on its server; "" for `NOQUEUE`."""
    return "" if queue is None or queue == "NOQUEUE" else f"{header.host} {queue}"


def is_login(rest: str) -> bool:
    """Tell whether smtpd itself ended the line with the name of the user that had logged in."""
    return "sasl_username=<" in rest and len(rest) < _CUT and _LOGGED_IN.search(rest) is not None


def _key(header: Header) -> str:
    return f"{header.host} {header.program}[{header.pid}]" if header.pid else ""


def _offence(
    header: Header,
    match: re.Match[str],
    reason: str,
    detail: str,
    *,
    stage: str = "",
    kind: Kind = Kind.OFFENCE,
    users: bool = False,
) -> Fact:
    return Fact(
        kind,
        match["client"],
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        session=_key(header),
        stage=stage,
        detail=detail,
        users=users,
    )


def _session(header: Header) -> Fact | None:
    match = _SESSION.fullmatch(header.message)
    if match is None:
        return None
    if match["what"] == "connect":
        return Fact(Kind.CONNECT, match["client"], COMPONENT, header.at, session=_key(header), traffic=True)
    login, failed = False, {"auth": 0, "unknown": 0}
    for name, good, total in _COUNTER.findall(match["rest"]):
        failed[name] = max(0, int(total) - int(good)) if total else 0
        login = login or (name == "auth" and int(good) > 0)
    return Fact(
        Kind.DISCONNECT,
        match["client"],
        COMPONENT,
        header.at,
        session=_key(header),
        login=login,
        failed=(failed["auth"], failed["unknown"]) if match["rest"] else None,
    )


def _queued(header: Header, match: re.Match[str]) -> Fact | None:
    queue = queue_key(header, match["queue"])
    login = match["rest"].startswith(", sasl_method=")
    return Fact(Kind.QUEUED, match["client"], COMPONENT, header.at, session=_key(header), queue=queue, login=login)


def _break(header: Header, match: re.Match[str]) -> Fact | None:
    reason, stage = _BREAKS[match["break"]], match["after"]
    rest = match["rest"].strip()
    if rest and not rest.startswith(":"):
        return None
    if reason in ("dropped_connection", "timeout") and stage in _IN_DATA:
        return None  # a network trouble as often as not
    users = _FOR_USERS.search(header.program) is not None
    return _offence(header, match, reason, f"{match['break']} after {stage}", stage=stage, users=users)


def _refusal(header: Header, match: re.Match[str]) -> Fact | None:
    if not match["rest"].startswith(": "):
        return None
    stage, action = match["stage"], match["refusal"]
    if is_login(match["rest"]):
        return _offence(header, match, "", "", stage=stage, kind=Kind.LOGIN)
    reply = postfix_reply.parse(match["rest"][2:])
    if action == "reject":
        reason = postfix_reply.reason(reply, stage)
    elif action == "discard":
        reason = "content_rejected"
    else:
        reason = postfix_reply.milter_reason(reply)
    if reason is None and not reply.server_written:
        return None
    sender, recipient = postfix_reply.envelope(match["rest"]) if reason == "greylisted" else (None, None)
    return Fact(
        Kind.OFFENCE,
        match["client"],
        COMPONENT,
        header.at,
        reason or "",
        header.repeat,
        session=_key(header),
        queue=queue_key(header, match["queue"]),
        stage=stage,
        reply=reply.server_written,
        detail=f"{action} {stage}: {reply.detail}",
        verdict=action.startswith("milter-") and stage in _IN_DATA,
        sender=sender,
        recipient=recipient,
    )


def _warning(header: Header) -> Fact | None:
    match = _WARNING.match(header.message)
    if match is None:
        return None
    lead, rest = match["lead"], match["rest"]
    if lead.startswith("non-SMTP"):
        return _offence(header, match, "non_smtp_command", "non-SMTP command")
    if lead.startswith("Illegal"):
        return _offence(header, match, "bad_address_syntax", "illegal address syntax")
    if "malformed" in lead:
        return _offence(header, match, "protocol_error", "malformed BDAT command", stage="BDAT")
    if lead:
        reason = "connection_limit" if "concurrency" in lead else "rate_limit"
        stage = "AUTH" if lead.startswith("AUTH") else ""
        return _offence(header, match, reason, lead.removesuffix(" from "), stage=stage)
    if rest.startswith(" sent ") and " instead of SMTP command" in rest[:60]:
        return _offence(header, match, "non_smtp_command", "message text instead of an SMTP command")
    if rest.startswith(": request longer than "):
        return _offence(header, match, "protocol_error", "request too long")
    return _sasl(header, match, rest) if rest.startswith(": SASL ") else None


def _sasl(header: Header, match: re.Match[str], rest: str) -> Fact | None:
    """Read a failed login; what stands behind `failed` is a challenge, a cause or the login name, never shown."""
    sasl = _SASL.match(rest)
    if sasl is None:
        if " authentication failed" not in rest:
            return None
        return _offence(header, match, "auth_mechanism_invalid", "SASL mechanism not known", stage="AUTH")
    fault = _FAULT.match(sasl["why"]) is not None
    if fault and rest.count(" authentication failed") == 1:  # else the mechanism's name, or the login's, may forge it
        return _offence(header, match, "", "", stage="AUTH", kind=Kind.FAULT)
    reason = "auth_mechanism_invalid" if fault or _INVALID.match(sasl["why"]) else "auth_failed"
    detail = f"SASL {sasl['mechanism'].upper()} authentication {sasl['how']}"
    return _offence(header, match, reason, detail, stage="AUTH")


def _rdns(header: Header) -> Fact | None:
    match = _RDNS.fullmatch(header.message)
    if match is None or _UNSURE.search(match["why"] or match["why_older"] or ""):
        return None  # nothing was found out of the name
    client = match["client"] or match["older"]
    detail = "host name does not resolve to the address"
    return Fact(Kind.OFFENCE, client, COMPONENT, header.at, "rdns_mismatch", header.repeat, detail=detail)
