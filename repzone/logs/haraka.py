r"""A line of Haraka in, what it says of the client out (logger.js, connection.js, plugins.js; 2 and 3).

    [NOTICE] [UUID] [core] connect ip=ADDRESS port=… local_ip=… local_port=…
    [NOTICE] [UUID.1] [core] recipient <…> code=DENY msg="…" sender="…"
    [INFO] [UUID] [core] hook=connect plugin=… function=… params="…" retval=DENY msg="…"
    [NOTICE] [UUID] [core] disconnect ip=ADDRESS rdns=… helo=… relay=N early=N … errors=0 txns=1 rcpts=1/0/0 … lr="…"

UUID names the session, UUID.1 its first message. Only `connect`, `HAProxy` and `disconnect` name the client, before all
that it sent; values with a blank or a quote in them are quoted, with `\` before each quote, so that the fields behind
an address are read from the line's end. `logfmt` and JSON lines hold the same and are first written as these are.

A refusal counts where `core` tells it, since a plugin's may have been overridden; `disconnect` adds what no line told.
"""

from __future__ import annotations

import json
import re

from repzone.logs import refusal
from repzone.logs.fact import ADDRESS, Fact, Kind, clean
from repzone.logs.syslog import Header, load_object

COMPONENT = "haraka"

_LINE = re.compile(
    r"(?:\d{4}-\d\d-\d\dT[\d:.]{8,15}Z )?\[[A-Z]{4,8}\] "
    r"\[(?P<session>[0-9A-Fa-f-]{36})(?P<message>\.\d{1,6})?\] \[(?P<origin>[\w./-]{1,64})\] "
    r"(?P<text>.*+)",
    re.DOTALL,
)
_QUOTED = r'"(?>(?:[^"\\]++|\\.)*)"'
_LOGFMT = re.compile(
    r"level=(?P<level>[A-Z]++) uuid=(?P<uuid>[0-9A-Fa-f.-]++) origin=(?P<origin>[\w./-]++) "
    rf'message=(?P<message>{_QUOTED}|[^\s"=]*+)(?P<rest>(?: .*+)?)',
    re.DOTALL,
)
_VALUE = rf'(?:{_QUOTED}|[^\s"=\\]*+)'

_CONNECT = re.compile(rf"connect ip=(?P<client>{ADDRESS}) port=")
_PROXY = re.compile(rf"HAProxy proto=\w++ src_ip=(?P<client>{ADDRESS}):\d{{1,5}} ")
_DISCONNECT = re.compile(
    rf"disconnect ip=(?P<client>{ADDRESS}) rdns=\S*+ helo=\S*+ relay=(?P<relay>[YN]) early=(?P<early>[YN]) "
    r"(?:\w++=[YN] )*errors=(?P<errors>\d{1,6}) txns=\d++ rcpts=\d++/\d++/(?P<recipients>\d{1,6}) msgs=\d++/\d++/"
    r"(?P<messages>\d{1,6}) bytes=\d++ lr=(?P<last>.*) time=[\d.]++\s*",
    re.DOTALL,
)
_ENVELOPE = re.compile(
    rf"(?P<what>sender|recipient) <(?P<address>.*)> code=(?P<code>[A-Z]++) msg=(?P<msg>{_VALUE})"
    rf"(?: sender=(?P<sender>{_VALUE}))?\s*",
    re.DOTALL,
)
_JUDGED = re.compile(
    rf"(?P<what>message|queue) (?:mid=(?P<mid>{_VALUE}) size=\d*+ rcpts=[\d/]++ delay=[\d.]*+ )?code=(?P<code>[A-Z]++)"
    rf"(?: msg=(?P<msg>{_VALUE}))?\s*",
    re.DOTALL,
)
_HOOK = re.compile(
    rf"hook=(?P<hook>\w++) plugin=(?P<plugin>[\w./-]++) function=\w++ params={_VALUE} retval=(?P<code>[A-Z]++)"
    rf" msg=(?P<msg>{_VALUE})\s*",
    re.DOTALL,
)
_HOOKS = {  # those that no line of `core` tells of
    "connect": "client_denied",
    "lookup_rdns": "rdns_missing",
    "helo": "helo_rejected",
    "ehlo": "helo_rejected",
    "data": "data_rejected",
    "unrecognized_command": "command_rejected",
    "vrfy": "vrfy_expn",
    "noop": "command_rejected",
}
_PLUGINS = {"early_talker": "pregreet", "dnsbl": "dnsbl_listed", "dns-list": "dnsbl_listed", "karma": "spam_rejected"}
_PLAIN = tuple(
    (re.compile(pattern), reason, detail)
    for pattern, reason, detail in (
        (r"Client sent bare line-feed\b", "bare_newline", "bare line feed in DATA"),
        (r"command pipelined after end of DATA - refused ", "improper_pipelining", "commands behind the end of DATA"),
        (r"Invalid (?:MAIL FROM|RCPT TO) address ", "bad_address_syntax", "invalid address"),
        (r"Incoming message exceeded max size of ", "data_rejected", "message too large"),
        (r"Possible DoS attempt - too many MIME parts", "data_rejected", "too many MIME parts"),
    )
)
_VERDICTS = tuple(
    (re.compile(origin), re.compile(pattern), reason)
    for origin, pattern, reason in (
        (r"(?:data\.)?spamassassin", r"status=Yes, ", "spam_tagged"),
        (r"(?:data\.)?rspamd", r"(?:.*, )?action: reject\b", "spam_rejected"),
        (r"(?:data\.)?rspamd", r"(?:.*, )?action: (?:add header|rewrite subject)\b", "spam_tagged"),
        (r"(?:data\.)?(?:clamd|avg|esets)", r"fail:", "virus_found"),
    )
)
_SCORES = re.compile(r"status=Yes, score=(?P<score>-?[\d.]{1,9}), required=-?[\d.]++, reject=(?P<reject>[\d.]{1,9}),")
_LISTED = re.compile(r"host \[[0-9A-Fa-f:.]++\] is (?:listed on|blacklisted by) (?P<zone>[\w.-]++)(?:, [\w.-]++)*")
_DENIED = re.compile(r"DENY(?P<soft>SOFT)?(?:DISCONNECT)?")
_LAST = re.compile(r"(?P<code>[45]\d\d) (?:\[[^\]]*+\] )?(?P<text>.*+)", re.DOTALL)
_FOREIGN = re.compile(r'[<>"@]|\b(?:helo|ehlo|spf)\b', re.IGNORECASE)  # there may be words of the client's in it
_BY_LAST = (
    (re.compile(r"Unrecogni[sz]ed command|command not implemented", re.IGNORECASE), "unknown_command"),
    (re.compile(r"Use |MAIL required|RCPT required|Syntax error|Command parsing"), "protocol_error"),
    (re.compile(r"Authentication required"), "command_rejected"),
)


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing."""
    match = _LINE.fullmatch(_plain(header.message))
    if match is None:
        return None
    if match["origin"] == "core":
        return _core(header, match)
    if "auth" in match["origin"]:
        return _auth(header, match)
    for origin, pattern, reason in _VERDICTS:
        if origin.fullmatch(match["origin"]) and pattern.match(match["text"]):
            scores = _SCORES.match(match["text"])
            refused = scores is not None and 0 < float(scores["reject"]) <= float(scores["score"])
            reason = "spam_rejected" if refused else reason
            return _fact(header, match, reason, f"{match['origin']}: {reason}", verdict=bool(match["message"]))
    return None


def _plain(message: str) -> str:
    """Write a line of another log format as the default one has it."""
    if message.startswith("level="):
        entry = _LOGFMT.fullmatch(message)
        if entry is not None:
            text = _unquote(entry["message"]) + entry["rest"]
            return f"[{entry['level']}] [{entry['uuid']}] [{entry['origin']}] {text}"
    elif message.startswith("{"):
        fields = load_object(message)
        if fields is not None:
            level, uuid, origin, text = (str(fields.pop(key, "")) for key in ("level", "uuid", "origin", "message"))
            words = (text, *(f"{key}={_quote(value)}" for key, value in fields.items()))
            return f"[{level}] [{uuid}] [{origin}] {' '.join(word for word in words if word)}"
    return message


def _quote(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    quoted = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{quoted}"' if not text or quoted != text or " " in text or "=" in text else text


def _unquote(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value


def _fact(
    header: Header,
    match: re.Match[str],
    reason: str = "",
    detail: str = "",
    *,
    kind: Kind = Kind.OFFENCE,
    client: str = "",
    count: int = 1,
    stage: str = "",
    reply: str = "",
    echo: bool = False,
    verdict: bool = False,
) -> Fact:
    return Fact(
        kind,
        client,
        COMPONENT,
        header.at,
        reason,
        count * header.repeat,
        session=f"{header.host} {match['session']}",
        queue=f"{header.host} {match['session']}{match['message']}" if match["message"] else "",
        stage=stage,
        reply=reply,
        detail=detail,
        traffic=kind is Kind.CONNECT,
        echo=echo,
        verdict=verdict,
    )


def _core(header: Header, match: re.Match[str]) -> Fact | None:
    text = match["text"]
    place = _CONNECT.match(text) or _PROXY.match(text)
    if place is not None:
        return _fact(header, match, kind=Kind.CONNECT, client=place["client"])
    for form, read in ((_DISCONNECT, _disconnect), (_ENVELOPE, _envelope), (_JUDGED, _judged), (_HOOK, _hook)):
        found = form.fullmatch(text)
        if found is not None:
            return read(header, match, found)
    for pattern, reason, detail in _PLAIN:
        if pattern.match(text):
            return _fact(header, match, reason, detail)
    if text.startswith("client connection timed out"):
        return _fact(header, match, "timeout", "connection timed out", echo=True)
    return None


def _auth(header: Header, match: re.Match[str]) -> Fact | None:
    """Read what a plugin tells of a login: each failed one makes it wait, longer each time."""
    if re.match(r"delaying (?:response )?for \d", match["text"]):
        return _fact(header, match, "auth_failed", "AUTH failed", stage="AUTH")
    if re.fullmatch(r'AUTH user=".*" host="[^"]*" success=true', match["text"], re.DOTALL):
        return _fact(header, match, kind=Kind.LOGIN)
    return None


def _read_refusal(text: str, code: str) -> tuple[str | None, str]:
    """Give the reason that a text tells, as `refusal.parse` does, and the text if only we can have written it."""
    listed = _LISTED.fullmatch(text)
    if listed is not None:
        return "dnsbl_listed", f"blocked using {listed['zone']}"
    return refusal.parse(text, code), "" if _FOREIGN.search(text) else text


def _offence(
    header: Header,
    match: re.Match[str],
    found: re.Match[str],
    otherwise: str,
    *,
    echo: bool = False,
    verdict: bool = False,
) -> Fact | None:
    denied = _DENIED.fullmatch(found["code"])
    if denied is None:
        return None
    reason, written = _read_refusal(_unquote(found["msg"] or ""), "450" if denied["soft"] else "550")
    if reason is None and not written:
        return None
    reason = otherwise if reason == "" else reason or ""
    detail = clean(f"{denied[0]}: {written}" if written else denied[0])
    return _fact(header, match, reason, detail, reply=written, echo=echo, verdict=verdict)


def _envelope(header: Header, match: re.Match[str], found: re.Match[str]) -> Fact | None:
    """Read what became of MAIL or RCPT; a recipient that is taken has passed greylisting."""
    what, address = found["what"], found["address"]
    if found["code"] in ("OK", "CONT") and what == "sender":
        return _fact(header, match, kind=Kind.QUEUED)
    sender = _unquote(found["sender"]) if found["sender"] is not None else None
    if found["code"] == "OK":
        fact: Fact | None = _fact(header, match, kind=Kind.PASSED)
    else:
        fact = _offence(header, match, found, "sender_rejected" if what == "sender" else "recipient_rejected")
    if fact is not None and what == "recipient" and sender is not None:
        fact.sender, fact.recipient = sender.removeprefix("<").removesuffix(">"), address
    return fact


def _judged(header: Header, match: re.Match[str], found: re.Match[str]) -> Fact | None:
    """Read what became of the message as a whole."""
    if found["what"] == "queue" and found["code"] == "OK":
        return _fact(header, match, kind=Kind.ACCEPTED) if match["message"] else None
    fact = _offence(header, match, found, "data_rejected", verdict=bool(match["message"]))
    mid = _unquote(found["mid"] or "").strip().removeprefix("<").removesuffix(">")
    if fact is None and mid and match["message"] and not re.search(r"[\s<>]", mid):
        fact = _fact(header, match, kind=Kind.NAMED)
    if fact is not None:
        fact.mid = mid
    return fact


def _hook(header: Header, match: re.Match[str], found: re.Match[str]) -> Fact | None:
    hook, plugin = found["hook"], found["plugin"]
    if hook not in _HOOKS:
        return None
    if "auth" in plugin:
        return _offence(header, match, found, "auth_failed", echo=True)
    return _offence(header, match, found, _PLUGINS.get(plugin, _HOOKS[hook]), echo=True)


def _disconnect(header: Header, match: re.Match[str], found: re.Match[str]) -> Fact | None:
    """Read the sums of a session: refused recipients and messages, errors, and whether the client did not wait."""
    client, early = found["client"], found["early"] == "Y"
    if found["relay"] == "Y":
        return _fact(header, match, kind=Kind.LOGIN, client=client)
    recipients, messages, errors = (int(found[name]) for name in ("recipients", "messages", "errors"))
    count = recipients + messages + errors + early
    last = _LAST.fullmatch(_unquote(found["last"]))
    otherwise, reason, written = "protocol_error" if count else "", None, ""
    if last is not None and (count or last["code"][0] == "5"):
        reason, written = _read_refusal(last["text"], last["code"])
        otherwise = next((name for pattern, name in _BY_LAST if pattern.match(last["text"])), "client_denied")
    if messages or recipients or early:
        otherwise = "data_rejected" if messages else "recipient_rejected" if recipients else "pregreet"
    reason = otherwise if reason in (None, "", "greylisted") else reason
    if not reason:
        return _fact(header, match, kind=Kind.DISCONNECT, client=client)
    detail = f"disconnect: {recipients} recipients, {messages} messages refused, {errors} errors"
    return _fact(header, match, reason, detail, client=client, count=max(1, count), reply=written, echo=True)
