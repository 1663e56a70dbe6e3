"""The text of a Postfix refusal in, its reason and its server-written part out (smtpd_check.c, smtpd.c, postscreen).

    CODE DSN <ADDRESS>: Recipient address rejected: TEXT; from=<…> to=<…> proto=… helo=<…>
    CODE DSN Service unavailable; Client host [ADDRESS] blocked using ZONE; TEXT; from=<…> …

The client chooses ADDRESS and all behind `; from=<`. So TEXT is taken as ours only where it is certain where it
begins, which is where the line has one `>: ` only: an ADDRESS may hold a whole forged refusal, and then only CODE, DSN
and stage are left to judge by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from repzone.logs.fact import clean

_CODES = re.compile(r"(?:(?P<code>[245]\d\d)[ -])?(?:(?P<dsn>[245]\.\d{1,3}\.\d{1,3}) )?")
_NAMED = re.compile(r"(?>(?:<[^<>\s]*+>)?): ")
_ENVELOPE = re.compile(
    r"; from=<(?P<sender>[^<>\s]*+)> to=<(?P<recipient>[^<>\s]*+)> proto=\w++(?>(?: helo=<[^<>\s]*+>)?)\s*\Z"
)
_TAIL = re.compile(r"; (?:from=<|to=<|proto=)")
_WHAT = re.compile(
    r"(?P<what>(?:Unverified )?Client host|Client certificate|SASL login name|Helo command|Sender address"
    r"|Recipient address|Etrn command|Data command|End-of-data) rejected: "
)
_BLOCKED = re.compile(r"[^\[\]<>]*+\[(?P<what>[^\[\]\s<>]*+)\] (?P<by>blocked using \S.*+)", re.DOTALL)
# Up to the first bracket that the client may have filled (`Sender address [`), which may hold `; from=<` too.
_PLAIN = re.compile(r"(?>(?:[^\[]++|(?<=lient host )\[[0-9A-Fa-f:.]++\]|(?<=client )\[[0-9A-Fa-f:.]++\])*)")

# Texts that hold what somebody else's server, or the sender's SPF record, says: never proof that we refused.
_QUOTES = re.compile(r"unverified address:|undeliverable address:|\bsaid:|\bspf\b|openspf", re.IGNORECASE)

_LISTED = re.compile(r"block(?:ed|ing)? using|\b(?:dns|r)bl|spamhaus|spamcop|barracudacentral|sorbs", re.IGNORECASE)
_GREY = re.compile(r"gr[ae]y-?list|policy rejection[-,] please try", re.IGNORECASE)  # the latter iRedAPD and policyd
_SPF = re.compile(r"\bspf\b|openspf", re.IGNORECASE)
_DMARC = re.compile(r"\bdmarc\b", re.IGNORECASE)
_RATE = re.compile(r"too many|too much mail|rate[ -]?limit|limit exceeded", re.IGNORECASE)
_VIRUS = re.compile(r"virus|infected|malware|clamav", re.IGNORECASE)
_SPAM = re.compile(r"spam", re.IGNORECASE)
_OURS = re.compile(
    r"temporary (?:lookup |server )?(?:failure|error)|temporarily (?:unavailable|deferred)"
    r"|service (?:is |currently )?unavailable|server configuration|internal (?:server )?error"
    r"|system (?:resources|storage)|verification in progress|try again later",
    re.IGNORECASE,
)
_FULL = re.compile(r"\bover ?quota|\bmailbox (?:is |for user is )?full|\bmailbox (?:disk )?quota", re.IGNORECASE)
_MILTER = (
    (_VIRUS, "virus_found"),
    (_LISTED, "dnsbl_listed"),
    (_DMARC, "dmarc_fail"),
    (_SPF, "spf_fail"),
    (_SPAM, "spam_rejected"),
    (_RATE, "rate_limit"),
)
_RESULTS = {"spf_fail", "dmarc_fail"}  # a failure is final; what is temporary is the look-up
_NO_DOMAIN = re.compile(r"Domain not found|Domain \S++ does not accept mail|Malformed DNS|Unable to (?:look up|verify)")

_BY_DSN = {
    "1.1": "unknown_recipient",
    "1.8": "sender_domain_not_found",
    "1.7": "sender_rejected",
    "1.2": "recipient_domain_not_found",
    "7.25": "rdns_missing",
}
_BY_STAGE = {
    "CONNECT": "client_denied",
    "HELO": "helo_rejected",
    "EHLO": "helo_rejected",
    "MAIL": "sender_rejected",
    "RCPT": "recipient_rejected",
    "VRFY": "vrfy_expn",
    "DATA": "data_rejected",
    "BDAT": "data_rejected",
    "END-OF-MESSAGE": "data_rejected",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A refusal: what was refused (`Sender address`, "" for none), and TEXT, None where its begin is not certain.

    `server_written` is the part that shows who refused, "" where somebody else may have put words into it. `detail` is
    the evidence, without what the client chose.
    """

    code: str
    dsn: str
    what: str
    text: str | None
    server_written: str
    detail: str

    @property
    def temporary(self) -> bool:
        """Tell whether the client is asked to come again."""
        return (self.code or self.dsn)[:1] == "4"


def parse(text: str) -> Reply:
    """Split what stands behind `STAGE from NAME[ADDRESS]: `."""
    codes = _CODES.match(text)
    code, dsn, start = (codes["code"] or "", codes["dsn"] or "", codes.end()) if codes else ("", "", 0)
    if text.startswith(("<", ": "), start):
        named = _NAMED.match(text, start)
        if named is None or text.count(">: ", start) > 1:
            return _read(code, dsn, None, blocked=0)
        start = named.end()
    tail = _TAIL.search(text, start)
    body = text[start : tail.start() if tail else len(text)]
    cached = _read if len(body) < _SHORT else _read.__wrapped__  # one that long is nobody's usual text
    return cached(code, dsn, body, blocked=text.count("] blocked using ") if "blocked" in body else 0)


def read(code: str, dsn: str, text: str) -> Reply:
    """Give the refusal of which TEXT, and that it holds no `blocked`, is certain already."""
    return _read(code, dsn, text, blocked=0)


_SHORT = 500


@lru_cache(maxsize=4096)
def _read(code: str, dsn: str, body: str | None, *, blocked: int) -> Reply:
    """Read TEXT, of which a server has few; `blocked` is how many `] blocked using` the line has."""
    if body is None:
        return Reply(code, dsn, "", None, "", clean(" ".join(part for part in (code, dsn) if part)))
    what = _WHAT.match(body)
    name, text = (what["what"], body[what.end() :]) if what is not None else ("", body)
    written = _server_written(text, blocked)
    shown = text
    if _BLOCKED.fullmatch(text):
        shown = written or "blocked using a list"
    elif name and text:
        shown = f"{name} rejected: {text}"
    return Reply(code, dsn, name, text, written, clean(" ".join(part for part in (code, dsn, shown) if part)))


def _server_written(body: str, times: int) -> str:
    if _QUOTES.search(body):
        return ""
    blocked = _BLOCKED.fullmatch(body)
    if blocked is not None:
        # What stands in the bracket may itself end one and go on: then the line has a second `] blocked using`.
        return blocked["by"] if times == 1 else ""
    plain = _PLAIN.match(body)
    return plain[0] if plain is not None else ""


def envelope(rest: str) -> tuple[str | None, str | None]:
    """Give sender and recipient as the end of the line tells them, None for what it does not."""
    match = _ENVELOPE.search(rest)
    return (match["sender"], match["recipient"]) if match is not None else (None, None)


def reason(reply: Reply, stage: str) -> str | None:
    """Give the reason of a refusal by smtpd's own restrictions; None when it is no offence of the client."""
    judge = _judge if len(reply.text or "") < _SHORT else _judge.__wrapped__
    return judge(reply, stage)


@lru_cache(maxsize=4096)
def _judge(reply: Reply, stage: str) -> str | None:
    if reply.dsn.startswith("4.3.") or reply.dsn[1:] == ".2.2":
        return None  # our trouble, or the recipient's full mailbox
    if reply.text is not None and _FULL.search(reply.text):
        return None
    if reply.text is None:
        if reply.dsn == "4.1.1":
            return None  # an address that could not be verified
        return _BY_DSN.get(reply.dsn[2:]) or _BY_STAGE.get(stage, "command_rejected")
    if _BLOCKED.fullmatch(reply.text):
        return "dnsbl_listed"
    if _GREY.search(reply.text):
        return "greylisted"
    if "pipelining" in reply.text:
        return "improper_pipelining"
    return _BY_WHAT.get(reply.what, _unnamed)(reply, stage)


def milter_reason(reply: Reply) -> str | None:
    """Give the reason of a milter's refusal; a milter that only asks to come again has not judged."""
    text = reply.text or ""
    if reply.dsn.startswith("4.3."):
        return None
    if text.startswith("rejected by DMARC policy for "):
        return "dmarc_fail"  # whatever the domain is called
    if _GREY.search(text) or (reply.temporary and text.lower().startswith("try again later")):
        return "greylisted"
    for pattern, name in _MILTER:
        if pattern.search(text):
            return None if reply.temporary and name in _RESULTS else name
    return None if reply.temporary else "milter_rejected"


def _client(reply: Reply, stage: str) -> str | None:
    text = reply.text or ""
    return "rdns_missing" if text.startswith("cannot find your ") else _shared(reply, "client_denied")


def _helo(reply: Reply, stage: str) -> str | None:
    text = reply.text or ""
    if text.startswith("need fully-qualified"):
        return "helo_not_fqdn"
    if text.startswith("Host not found") or _NO_DOMAIN.match(text):
        return "helo_not_found"
    return _shared(reply, "helo_rejected")


def _sender(reply: Reply, stage: str) -> str | None:
    text = reply.text or ""
    if text.startswith("need fully-qualified"):
        return "sender_not_fqdn"
    if text.startswith(("unverified address", "undeliverable address", "address verification")):
        return None if "verification in progress" in text else "sender_verify_failed"
    if text.startswith("not owned by user"):
        return None  # a user of ours with another's address: our own business
    return "sender_domain_not_found" if _NO_DOMAIN.match(text) else _shared(reply, "sender_rejected")


def _recipient(reply: Reply, stage: str) -> str | None:
    text = reply.text or ""
    if text.startswith(("User unknown", "undeliverable address")):
        return "unknown_recipient"
    if text.startswith("Relay access denied"):
        return "relay_denied"
    if text.startswith(("unverified address", "address verification")):
        return None if reply.temporary else "unknown_recipient"
    return "recipient_domain_not_found" if _NO_DOMAIN.match(text) else _shared(reply, "recipient_rejected")


def _data(reply: Reply, stage: str) -> str | None:
    return _shared(reply, "data_rejected")


def _shared(reply: Reply, otherwise: str) -> str | None:
    """Judge the texts that policy servers and access tables give."""
    text = reply.text or ""
    for pattern, name in ((_SPF, "spf_fail"), (_DMARC, "dmarc_fail"), (_LISTED, "dnsbl_listed"), (_RATE, "rate_limit")):
        if pattern.search(text):
            return None if reply.temporary and name in _RESULTS else name
    return None if reply.temporary and _OURS.search(text) else otherwise


def _unnamed(reply: Reply, stage: str) -> str | None:
    """Judge a refusal of nothing in particular: `Relay access denied`, `Error: …`, a reply of rbl_reply_maps."""
    text = reply.text or ""
    if text.startswith("Relay"):
        return "relay_denied"
    if text.startswith("User unknown"):
        return "unknown_recipient"
    if stage == "AUTH":
        return "auth_not_offered" if "not enabled" in text else "auth_failed"
    if "bare <LF>" in text:
        return "bare_newline"
    if _RATE.search(text):
        return "rate_limit"
    if text.startswith("Message size"):
        return "data_rejected"
    if text.startswith(("Must issue", "Session encryption")):
        return "command_rejected"
    if reply.dsn[1:3] == ".5":
        return "protocol_error"
    return _shared(reply, _BY_STAGE.get(stage, "command_rejected"))


_BY_WHAT = {
    "Client host": _client,
    "Unverified Client host": _client,
    "Helo command": _helo,
    "Sender address": _sender,
    "Recipient address": _recipient,
    "Data command": _data,
    "End-of-data": _data,
}
