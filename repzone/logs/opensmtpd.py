"""A line of OpenSMTPD in, what it says of the client out (smtp_session.c, 5.3 to 7).

    SESSION smtp connected address=ADDRESS host=NAME              `event=connected` up to 6.3
    SESSION smtp failed-command command="COMMAND" result="REPLY"  `address=ADDRESS host=NAME` before `command=` in 6.0
    SESSION smtp authentication user=USER result=ok               `address=` behind `user=` in 6.0
    SESSION smtp message msgid=MSGID size=… nrcpt=… proto=…
    SESSION smtp disconnected reason=…
    smtp-in: New session SESSION from host NAME [ADDRESS]         5.3

ADDRESS stands before all that the client sent; a line without it is its session's. COMMAND is the client's, and may
hold a quote. The lines of `mta` tell of mail that we send.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "opensmtpd"

_EVENT = re.compile(
    r"(?P<session>[0-9a-f]{16}) smtp (?:event=)?(?P<event>[a-z-]++)(?: user=(?P<user>\S*+))?"
    rf"(?: address=(?:(?P<client>\[?{ADDRESS}\]?)|\S++) host=\S++)?(?P<rest>.*+)",
    re.DOTALL,
)
_SESSION = r"session (?P<session>[0-9a-f]{16})"
_OLD = tuple(
    (event, re.compile(f"smtp-in: {pattern}", re.DOTALL))
    for event, pattern in (
        ("connected", rf"New {_SESSION} from host \S++ (?:\[local\]|(?P<client>\[\[?{ADDRESS}\]?\]))(?P<rest>)"),
        ("failed-command", rf"Failed command on {_SESSION}: (?P<rest>.*+)"),
        ("bad-input", rf"Bad input on {_SESSION}: (?P<rest>.*+)"),
        ("message", rf"Accepted (?P<rest>message [0-9a-f]{{8}}) on {_SESSION}: "),
        ("login", rf"Accepted authentication for user \S*+ on {_SESSION}(?P<rest>)"),
        ("refused", rf"Authentication failed for user \S*+ on {_SESSION}(?P<rest>)"),
        ("disconnected", rf"(?P<rest>Received disconnect) from {_SESSION}"),
        ("disconnected", rf"(?:Disconnecting|Ending) {_SESSION}: (?P<rest>.*+)"),
    )
)
_MESSAGE = re.compile(r" ?(?:msgid=|message )(?P<queue>[0-9a-f]{8})\b")
_FAILED = re.compile(r' ?(?:command=)?"(?P<command>.*)"(?: result="| => )(?P<reply>[45]\d\d.*+)', re.DOTALL)
_BETWEEN = re.compile(r'" (?:result="|=> )')
_REPLY = re.compile(r"(?P<code>[45]\d\d)[ -](?:[45]\.\d{1,3}\.\d{1,3}:? )?(?P<text>.*+)", re.DOTALL)
_VERB = re.compile(r"[A-Za-z]{1,8}|\.")
_FOREIGN = re.compile(r'[@<"]')

_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"command unrecognized|not supported yet", "unknown_command"),
        (r"pipelining not supported", "improper_pipelining"),
        (r"line too long|already identified|not allowed at this point|requires domain name|no recipient specified"
         r"|parameters (?:given|allowed)|does not accept arguments|unsupported option|option too large"
         r"|channel already secured", "protocol_error"),
        (r"must issue|command not supported", "command_rejected"),
        (r"invalid domain name|hello rejected", "helo_rejected"),
        (r"address syntax error", "bad_address_syntax"),
        (r"message too big|exceeds maximum|loop detected|not RFC 2822 compliant", "data_rejected"),
        (r"\bgr[ae]y-?list", "greylisted"),
        (r"virus|malware|infected|clamav", "virus_found"),
        (r"\b(?:dns|r)bl\b|dnslist|(?:black|block|deny)-?list|blocked using|\blisted (?:in|at|on|by)\b|spamhaus|spamcop"
         r"|reputation", "dnsbl_listed"),
        (r"\bdmarc\b", "dmarc_fail"),
        (r"\bspf\b", "spf_fail"),
        (r"rate-?limit|rate limit|too many|too much|too fast", "rate_limit"),
        (r"spam", "spam_rejected"),
        (r"fcr-?dns|does not match", "rdns_mismatch"),
        (r"\brdns\b|reverse dns|\bPTR\b", "rdns_missing"),
        (r"relay(?:ing)? (?:access )?(?:denied|not permitted|prohibited)", "relay_denied"),
        (r"invalid recipient|unknown (?:user|recipient)|user unknown|no such user", "unknown_recipient"),
    )
)  # fmt: skip
_OURS = re.compile(r"temporary (?:error|failure)|internal (?:server )?error|expansion problem|try again", re.IGNORECASE)
_BY_VERB = {
    "": "client_denied",
    "HELO": "helo_rejected",
    "EHLO": "helo_rejected",
    "MAIL": "sender_rejected",
    "RCPT": "recipient_rejected",
    "DATA": "content_rejected",
    ".": "content_rejected",
    "VRFY": "vrfy_expn",
    "EXPN": "vrfy_expn",
}


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing."""
    match = _EVENT.match(header.message)
    if match is not None:
        return _read(header, match, _LOGINS.get(match["rest"].strip(), "") if match["user"] else match["event"])
    if header.message.startswith("smtp-in: "):
        for event, pattern in _OLD:
            match = pattern.match(header.message)
            if match is not None:
                return _read(header, match, event)
    return None


_LOGINS = {"result=ok": "login", "result=permfail": "refused"}


def _read(header: Header, match: re.Match[str], event: str) -> Fact | None:
    if event == "connected":
        return _fact(header, match, Kind.CONNECT, traffic=True) if match.groupdict().get("client") else None
    if event == "login":
        return _fact(header, match, Kind.LOGIN)
    if event == "refused":
        return _fact(header, match, Kind.OFFENCE, "auth_failed", "AUTH failed", stage="AUTH")
    if event == "message":
        message = _MESSAGE.match(match["rest"])
        return _fact(header, match, Kind.ACCEPTED, queue=message["queue"]) if message is not None else None
    if event == "bad-input":
        return _bad_input(header, match)
    if event == "failed-command":
        return _failed(header, match)
    return _closed(header, match) if event in ("disconnected", "closed") else None


def _fact(
    header: Header,
    match: re.Match[str],
    kind: Kind,
    reason: str = "",
    detail: str = "",
    *,
    stage: str = "",
    queue: str = "",
    reply: str = "",
    traffic: bool = False,
    echo: bool = False,
) -> Fact:
    client = (match.groupdict().get("client") or "").replace("[", "").replace("]", "")
    return Fact(
        kind,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        session=f"{header.host} smtpd {match['session']}",
        queue=f"{header.host} {queue}" if queue else "",
        stage=stage,
        reply=reply,
        detail=detail,
        traffic=traffic,
        echo=echo,
    )


def _closed(header: Header, match: re.Match[str]) -> Fact | None:
    """Read the end of a session: what broke it is no other offence when it had offended already."""
    rest = match["rest"]
    if "timeout" in rest:
        return _fact(header, match, Kind.OFFENCE, "timeout", "session timeout", echo=True)
    if "cert" in rest.lower():
        return _fact(header, match, Kind.OFFENCE, "tls_failed", "no valid client certificate", echo=True)
    if "io-error" in rest or "IO error" in rest:
        tls = "SSL" in rest or "TLS" in rest or "handshake" in rest
        reason, detail = ("tls_failed", "TLS error") if tls else ("dropped_connection", "connection broken")
        return _fact(header, match, Kind.OFFENCE, reason, detail, echo=True)
    if "not moving forward" in rest or "too many failed RCPT" in rest:
        return _fact(header, match, Kind.OFFENCE, "too_many_errors", "too many errors")
    if "disconnect" in rest:
        return _fact(header, match, Kind.OFFENCE, "dropped_connection", "client disconnected", echo=True)
    return None


def _bad_input(header: Header, match: re.Match[str]) -> Fact:
    pipelining = "Pipelining" in match["rest"]
    reason, detail = ("improper_pipelining", "pipelining") if pipelining else ("protocol_error", "line too long")
    return _fact(header, match, Kind.OFFENCE, reason, detail)


def _failed(header: Header, match: re.Match[str]) -> Fact | None:
    failed = _FAILED.fullmatch(match["rest"].rstrip())
    reply = _REPLY.match(failed["reply"].removesuffix('"')) if failed is not None else None
    if failed is None or reply is None:
        return None
    word = _VERB.match(failed["command"])
    verb = word[0].upper() if word is not None else ""
    # Only where the command holds no reply of its own is it certain where ours begins.
    certain = len(_BETWEEN.findall(match["rest"])) == 1 and _FOREIGN.search(reply["text"]) is None
    written = reply["text"] if certain else ""
    if verb == "AUTH":
        return _auth(header, match, reply)
    reason = _reason(verb, reply["code"], reply["text"])
    if reason is None and not written:
        return None
    detail = f"{verb or 'connection'} refused: {reply['code']}"
    return _fact(header, match, Kind.OFFENCE, reason or "", detail, reply=written)


def _auth(header: Header, match: re.Match[str], reply: re.Match[str]) -> Fact | None:
    code, text = reply["code"], reply["text"]
    if code[0] == "4":
        return None
    if "Already authenticated" in text:
        return _fact(header, match, Kind.LOGIN)
    if code == "535":  # told before, by `authentication`
        return _fact(header, match, Kind.OFFENCE, "auth_failed", "AUTH failed", stage="AUTH", echo=True)
    if code == "504":
        return _fact(header, match, Kind.OFFENCE, "auth_mechanism_invalid", "AUTH mechanism not known", stage="AUTH")
    reason, detail = ("auth_not_offered", "AUTH not offered") if code == "503" else ("auth_failed", "AUTH malformed")
    return _fact(header, match, Kind.OFFENCE, reason, detail, stage="AUTH")


def _reason(verb: str, code: str, text: str) -> str | None:
    told = next((name for pattern, name in _TEXTS if pattern.search(text)), None)
    if told in ("greylisted", "dnsbl_listed", "rate_limit"):
        return told
    if code[0] == "4" or _OURS.search(text):
        return None
    if verb in ("VRFY", "EXPN"):
        return "vrfy_expn"
    return told or _BY_VERB.get(verb, "command_rejected")
