"""A line of sendmail in, what it says of the client out (srvrsmtp.c, parseaddr.c, headers.c, err.c; 8.8 to 8.18).

    QUEUEID: ruleset=check_rcpt, arg1=<…>, relay=NAME [ADDRESS] (may be forged), reject=CODE DSN <…>... TEXT
    QUEUEID: from=<…>, size=…, class=…, nrcpts=…, msgid=<…>, proto=…, daemon=…, relay=NAME [ADDRESS]
    QUEUEID: NAME [ADDRESS]: possible SMTP attack: command=AUTH, count=…
    QUEUEID: AUTH failure (MECHANISM): … (CODE) …, user=…, relay=NAME [ADDRESS]
    QUEUEID: Milter: to=<…>, reject=TEXT
    QUEUEID: milter=NAME, quarantine=TEXT
    QUEUEID: <…>... User unknown

The client is what sendmail writes at the begin or the end of a line, or behind `arg1=` and `relay=`. `arg1=` and TEXT
may hold a forged one: an address in `arg1=` is balanced (`prescan` refuses any other), so that it is certain where it
ends; where another argument ends is not, and then the queue id tells whose it is, as it does for lines without a
client. A process number names a session only together with the client, since it comes again.
"""

from __future__ import annotations

import re

from repzone.logs import refusal
from repzone.logs.fact import ADDRESS, Fact, Kind, clean
from repzone.logs.syslog import Header

COMPONENT = "sendmail"

_PEER = (  # before NAME, or before the bracket without one, may be an answer of RFC 1413: `IDENT:user@`
    r"(?:[^\s\[\],]{1,255}+ |[^\s\[\],@]{0,255}+@)?"
    rf"\[(?P<client>{ADDRESS})\](?: \(may be forged\))?"
)
_QUEUE = re.compile(r"(?:(?P<queue>[0-9A-Za-z]{7,8}\d{5,8}|[A-Za-z]{2,3}\d{5}|NOQUEUE): )?(?P<body>.*+)", re.DOTALL)
_END = re.compile(rf"(?:, relay=|\) from ){_PEER}(?: \([a-z ]*+)?\s*")  # sendmail cuts NAME [ADDRESS] at 100 octets

# What is certain from its begin: pattern, reason, detail; `@` stands for NAME [ADDRESS].
_PLAIN = tuple(
    (re.compile(pattern.replace("@", _PEER), re.DOTALL), reason, detail)
    for pattern, reason, detail in (
        (rf"rejecting commands from (?:\S{{0,255}}+ )?\[(?P<client>{ADDRESS})\] due to pre-greeting ", "pregreet",
         "talked before the greeting"),
        (rf"rejecting .{{1,40}} from \S*+ \[(?P<client>{ADDRESS})\] due to traffic before ", "improper_pipelining",
         "did not wait for the response"),
        (rf"tcpwrappers \([^\s,]*+, (?P<client>{ADDRESS})\) rejection", "client_denied", "tcpwrappers rejection"),
        (rf"POSSIBLE ATTACK from \[(?P<client>{ADDRESS})\]: newline in string", "protocol_error",
         "newline in a string"),
        (r'"(?:wiz|debug|showq)" command from @', "unknown_command", "command of old holes"),
        (r"@: probable open proxy: command=", "non_smtp_command", "HTTP instead of SMTP"),
        (r"@: SMTP violation, input too long", "protocol_error", "command too long"),
        (r"@: Possible SMTP RCPT flood", "too_many_errors", "too many bad recipients"),
        (r"@: (?i:VRFY|EXPN)\b.* \[rejected\]\s*\Z", "vrfy_expn", "VRFY or EXPN rejected"),
        (r"@: (?i:ETRN)\b.* \[rejected\]\s*\Z", "command_rejected", "ETRN rejected"),
        (r"lost input channel from @ to \S++ after (?!data\b)", "dropped_connection", "lost input channel"),
    )
)  # fmt: skip
# The same, for lines that only say again what the session's other lines told, if they did.
_ECHO = re.compile(rf"(?P<old>Null connection from )?{_PEER}(?(old)\s*\Z| did not issue MAIL/EXPN/VRFY/ETRN )")
_ATTACK = re.compile(
    rf"{_PEER}: possible SMTP attack: command=(?P<command>[A-Z/]{{1,40}}+), count=(?P<count>\d{{1,5}})\s*"
)
# What is certain from its end, because `relay=` or `from` closes the line.
_ENDING = tuple(
    (re.compile(pattern, re.DOTALL), reason, detail)
    for pattern, reason, detail in (
        (r"STARTTLS=server, error: accept failed=", "tls_failed", "TLS handshake failed"),
        (r"unauthorized PIPELINING, ", "improper_pipelining", "unauthorized pipelining"),
        (r"invalid domain name \(", "helo_rejected", "invalid domain name in HELO"),
    )
)
# What names no client; the queue id does, in a line behind it.
_NAMELESS = tuple(
    (re.compile(pattern), reason, detail)
    for pattern, reason, detail in (
        (r"timeout waiting for input from \S++ during server ", "timeout", "timeout waiting for input"),
        (r"message size \(\d++\) exceeds maximum ", "data_rejected", "message too large"),
        (r"header(?: overflow|s too large \(\d++ max\)) from \S++ during message collect", "data_rejected",
         "headers too large"),
    )
)  # fmt: skip
_TIMEOUT = re.compile(rf"timeout waiting for input from \[(?P<client>{ADDRESS})\] during server ")

_AUTH = re.compile(r"AUTH failure \((?P<mechanism>[\w-]{1,40})\): [^()]*+(?<= )\((?P<code>-\d{1,3})\)")
_BY_SASL = {"-20": "auth_unknown_user", "-4": "auth_mechanism_invalid"}
_SASL_FAULTS = {"-1", "-2", "-3", "-8", "-12", "-24"}  # sasl.h: generic, memory, buffer, try again, not initialised
_LOGIN = re.compile(rf"AUTH=server, relay={_PEER}, authid=")
_CONNECT = re.compile(rf"connect from {_PEER}\s*")

_RULESET = re.compile(r"ruleset=(?P<name>\w++), arg1=")
_PLACE = re.compile(rf", relay={_PEER}, (?P<action>reject=|discard\s*\Z|quarantine=)")
_ADDRESSES = {"check_rcpt", "check_mail"}
# What a client may hold together in an address; a backslash may stand for itself in a log, or for what it replaced.
_QUOTED = r'"[^"\\]*+"|\([^()\\]*+\)'
_ARGUMENT = re.compile(rf'<(?>(?:[^<>"\\()]++|{_QUOTED})*)>(?>(?:, arg2=[\w.:-]*+)?)')
_ANSWER = re.compile(r", arg2=127\.\d{1,3}\.\d{1,3}\.\d{1,3}\Z")
_OUTBOUND = {"tls_server", "tls_rcpt", "try_tls", "authinfo", "queuegroup", "trust_auth"}
_BY_RULESET = {
    "check_relay": "client_denied",
    "check_mail": "sender_rejected",
    "check_rcpt": "recipient_rejected",
    "check_compat": "recipient_rejected",
    "check_data": "data_rejected",
    "check_helo": "helo_rejected",
    "check_vrfy": "vrfy_expn",
    "check_expn": "vrfy_expn",
    "check_etrn": "command_rejected",
    "tls_client": "tls_failed",
}
_REPLY = re.compile(r"(?P<code>[45]\d\d)[ -](?:(?P<dsn>[45]\.\d{1,3}\.\d{1,3}) )?(?P<text>.*+)", re.DOTALL)
_LISTED = re.compile(rf"Rejected: {ADDRESS} listed at (?P<zone>\S++)\s*\Z")
_FOREIGN = re.compile(r'[<>"@]|sender|recipient|helo\b|domain', re.IGNORECASE)  # there a client's words may begin

_MILTER_CONNECT = re.compile(
    rf"Milter: connect: host=[^\s,]*+, addr=(?P<client>{ADDRESS}), (?:(?:reject|shutdown|temp failing commands)="
    r"(?P<text>.*+)|rejecting commands\s*\Z)",
    re.DOTALL,
)
_MILTER = re.compile(r"Milter: (?P<what>(?:cmd=)?[a-z]{1,10})\b(?P<rest>.*+)", re.DOTALL)

_QUARANTINE = re.compile(r"milter=[^\s,]++, quarantine=quarantined by DMARC policy for ")  # OpenDMARC's own words

_SIZE = re.compile(
    r", size=\d++, class=-?\d++, nrcpts=(?P<recipients>\d++)(?:, msgid=<?(?P<mid>[^<>\s,]{1,1000})>?(?=,|\Z))?"
)
_TO = re.compile(
    r"to=<(?P<to>[^<>\s,]++)>, (?:ctladdr=<(?P<first>[^<>\s,]++)>[^,]*+, )?delay=\S++ .*, dsn=2\.", re.DOTALL
)


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing."""
    split = _QUEUE.fullmatch(header.message)
    if split is None:
        return None
    queue = "" if split["queue"] in (None, "NOQUEUE") else f"{header.host} {split['queue']}"
    body = split["body"]
    if body.startswith(("from=", "to=", "done; delay=")):
        return _message(header, queue, body)
    if body.startswith("ruleset="):
        return _ruleset(header, queue, body)
    if body.startswith("Milter: "):
        return _milter(header, queue, body)
    if body.startswith("milter="):
        return _quarantine(header, queue, body)
    if body.startswith("AUTH"):
        return _auth(header, queue, body)
    return _other(header, queue, body)


def _fact(
    header: Header,
    queue: str,
    client: str,
    reason: str = "",
    detail: str = "",
    *,
    kind: Kind = Kind.OFFENCE,
    count: int = 1,
    stage: str = "",
    reply: str = "",
    echo: bool = False,
    verdict: bool = False,
) -> Fact:
    """Build the fact; a line that names no client waits for the one of its queue id that does."""
    session = f"{header.host} {header.program}[{header.pid}]" if client and header.pid else ""
    return Fact(
        kind,
        client,
        COMPONENT,
        header.at,
        reason,
        count * header.repeat,
        session=session,
        queue=queue,
        stage=stage,
        reply=reply,
        detail=detail,
        verdict=verdict,
        later=not client,
        traffic=kind is Kind.CONNECT,
        echo=echo,
    )


def _other(header: Header, queue: str, body: str) -> Fact | None:
    for pattern, reason, detail in _PLAIN:
        match = pattern.match(body)
        if match is not None:
            return _fact(header, queue, match["client"], reason, detail)
    match = _ECHO.match(body)
    if match is not None:
        return _fact(header, queue, match["client"], "no_mail_transaction", "no mail transaction", echo=True)
    match = _ATTACK.fullmatch(body)
    if match is not None:
        return _attack(header, queue, match)
    for pattern, reason, detail in _ENDING:
        if pattern.match(body):
            stage = "STARTTLS" if reason == "tls_failed" else ""
            return _fact(header, queue, _client_at_end(body), reason, detail, stage=stage)
    for pattern, reason, detail in _NAMELESS:
        if pattern.match(body):
            match = _TIMEOUT.match(body)
            return _fact(header, queue, match["client"] if match else "", reason, detail)
    match = _CONNECT.fullmatch(body)
    if match is not None:
        return _fact(header, "", match["client"], kind=Kind.CONNECT)
    return _unknown_recipient(header, queue, body)


def _client_at_end(body: str) -> str:
    """Give the client that closes the line, "" when it is cut off."""
    start = max(body.rfind(", relay="), body.rfind(") from "))
    match = _END.fullmatch(body, start) if start > 0 else None
    return match["client"] if match is not None else ""


def _attack(header: Header, queue: str, match: re.Match[str]) -> Fact:
    """Read that a command came too often; each failed AUTH and rejected VRFY may have been told before."""
    command, count = match["command"], int(match["count"])
    detail = f"possible SMTP attack: {count} {command}"
    if command == "AUTH":
        return _fact(header, queue, match["client"], "auth_failed", detail, count=count, stage="AUTH", echo=True)
    if command in ("VRFY", "EXPN"):
        return _fact(header, queue, match["client"], "vrfy_expn", detail, count=count, echo=True)
    return _fact(header, queue, match["client"], "command_limit", detail)


def _unknown_recipient(header: Header, queue: str, body: str) -> Fact | None:
    _, found, text = body.rpartition("... ")
    if not found or not queue or refusal.parse(text, "5") != "unknown_recipient":
        return None
    return _fact(header, queue, "", "unknown_recipient", "recipient refused: unknown")


def _auth(header: Header, queue: str, body: str) -> Fact | None:
    match = _LOGIN.match(body)
    if match is not None:
        return _fact(header, "", match["client"], kind=Kind.LOGIN)
    if body.startswith("AUTH decode64 error ["):
        return _fact(header, queue, _client_at_end(body), "auth_failed", "AUTH not in base64", stage="AUTH")
    match = _AUTH.match(body)
    if match is None:
        return None
    if match["code"] in _SASL_FAULTS:
        return _fact(header, queue, _client_at_end(body), kind=Kind.FAULT, stage="AUTH")
    reason = _BY_SASL.get(match["code"], "auth_failed")
    detail = f"AUTH {match['mechanism'].upper()} failed"
    return _fact(header, queue, _client_at_end(body), reason, detail, stage="AUTH")


def _ruleset(header: Header, queue: str, body: str) -> Fact | None:
    head = _RULESET.match(body)
    if head is None or head["name"] in _OUTBOUND:
        return None
    name, (place, certain) = head["name"], _find_place(head)
    if place is None or place["action"] == "quarantine=":
        return None
    client = place["client"] if certain else ""
    otherwise = _BY_RULESET.get(name, "content_rejected")
    if place["action"] != "reject=":
        return _fact(header, queue, client, otherwise, f"{name}: discarded")
    reply = _REPLY.match(body, place.end())
    if reply is None:
        return None
    argument = body[head.end() : place.start()]
    text, known = _split(reply["text"], argument)
    written = _written(text) if certain and known else ""
    reason = refusal.parse(text, "5" if name == "tls_client" else reply["code"])
    if not reason and not client.startswith("127.") and _ANSWER.search(argument):
        reason = "dnsbl_listed"  # what a list answered, handed to check_relay
    if reason == "":
        reason = otherwise
    if reason is None and not written:
        return None
    detail = clean(" ".join(part for part in (f"{name}:", reply["code"], reply["dsn"], written) if part))
    return _fact(header, queue, client, reason or "", detail, reply=written)


def _find_place(head: re.Match[str]) -> tuple[re.Match[str] | None, bool]:
    """Give where `relay=` names the client, and whether that is certain: because there is one only, or because it
    stands right behind an address that brackets and quotes hold together, and all others are in that address.
    """
    body = head.string
    if body.count(", relay=") > 1 and head["name"] in _ADDRESSES:
        argument = _ARGUMENT.match(body, head.end())
        place = _PLACE.match(body, argument.end()) if argument is not None else None
        if place is not None and argument is not None:
            reply = body[place.end() :].replace(f"{argument[0]}... ", "", 1)
            if ", relay=" not in reply:
                return place, True
    places = list(_PLACE.finditer(body, head.end()))
    return (places[-1] if places else None), body.count(", relay=") == 1


def _split(text: str, argument: str) -> tuple[str, bool]:
    """Give what the ruleset said, behind the address that it is said of, and whether it is certain where it begins."""
    if text.startswith(f"{argument}... "):
        return text[len(argument) + 4 :], True
    return text.rpartition("... ")[2], "... " not in text


def _written(text: str) -> str:
    """Give the part of a ruleset's or milter's text that only we can have written; a list's answer as others say it."""
    listed = _LISTED.match(text)
    if listed is not None:
        return f"blocked using {listed['zone']}"
    foreign = _FOREIGN.search(text)
    return text[: foreign.start()] if foreign is not None else text


def _message(header: Header, queue: str, body: str) -> Fact | None:
    """Read what tells of a message: whose it is, that it reached a recipient, that it is gone."""
    if body.startswith("done; "):
        return Fact(Kind.REMOVED, "", COMPONENT, header.at, queue=queue)
    if body.startswith("to="):
        match = _TO.match(body)
        recipient = (match["first"] or match["to"]) if match is not None else ""
        return Fact(Kind.DELIVERED, "", COMPONENT, header.at, queue=queue, recipient=recipient) if match else None
    client = _client_at_end(body)
    size = body.rfind(", size=")
    match = _SIZE.match(body, size) if size > 0 else None
    if not client or match is None or not queue:
        return None
    fact = _fact(header, queue, client, kind=Kind.ACCEPTED if int(match["recipients"]) else Kind.QUEUED)
    fact.mid = match["mid"] or ""
    fact.sender = body[len("from=") : size].removeprefix("<").removesuffix(">")
    return fact


def _milter(header: Header, queue: str, body: str) -> Fact | None:
    """Read what a milter refused. Greylisting is told by the greylister itself, and with the client."""
    match, discarded = _MILTER_CONNECT.match(body), False
    if match is not None:
        client, what, text = match["client"], "connect", match["text"] or "550 "
    else:
        match = _MILTER.match(body)
        if match is None or not queue:
            return None
        client, what = "", match["what"].removeprefix("cmd=")
        _, rejected, text = match["rest"].rpartition(", reject=")
        if not rejected:
            discarded = match["rest"].rstrip().endswith(", discard")
            if not discarded:
                return None
            text = "550 "
    reply = _REPLY.match(text)
    if reply is None:
        return None
    reason = refusal.parse(reply["text"], reply["code"])
    written = _written(reply["text"])
    if reason == "greylisted" or (reason is None and not written):
        return None
    reason = "milter_rejected" if reason == "" else reason or ""
    detail = f"milter discarded {what}" if discarded else f"milter refused {what}: {reply['code']}"
    return _fact(header, queue, client, reason, detail, reply=written, verdict=what == "data")


def _quarantine(header: Header, queue: str, body: str) -> Fact | None:
    """Read that OpenDMARC had a message quarantined; what another milter puts aside may be anything."""
    if not queue or _QUARANTINE.match(body) is None:
        return None
    return _fact(header, queue, "", "dmarc_fail", "quarantined by DMARC policy", verdict=True)
