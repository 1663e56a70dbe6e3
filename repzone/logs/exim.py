"""A line of Exim's main or reject log in, what it says of the client out (smtp_in.c, receive.c, log.c).

    H=NAME (HELO) [ADDRESS]:PORT I=[OURS]:PORT U=… X=… CV=… DN="…" SNI=… F=<…> A=… temporarily rejected WHAT: TEXT
    F=… H=NAME (HELO) [ADDRESS] P=… rejected by local_scan(): TEXT
    QUEUEID <= SENDER H=NAME (HELO) [ADDRESS]:PORT … P=esmtpsa … id=MESSAGE-ID
    QUEUEID SA: Action: … (host=NAME [ADDRESS]) for …

The other lines are in `exim_forms`, and how the client is found is in `exim_client`.
"""

from __future__ import annotations

import re

from repzone.logs import exim_client, exim_forms, exim_reply
from repzone.logs.exim_client import FIELDS, Line
from repzone.logs.fact import ADDRESS, Fact, Kind, clean
from repzone.logs.syslog import Header

_REFUSAL = re.compile(r"(?: ?DS ?)?H=")
_REFUSED = re.compile(
    rf"{FIELDS}(?: +F=(?:<(?P<sender>.{{0,600}}?)>|[^\s<]\S*+)(?: +A=(?P<login>[^\s<>]++))?{FIELDS})?"
    rf" +(?:(?P<temporary>temporarily )?rejected (?P<what>{exim_reply.WHAT})|dropped by '(?P<acl>[\w-]++)' ACL"
    r"|(?P<discarded>RCPT .{1,200}?: discarded by (?:MAIL|RCPT) ACL)|(?P<unverified>sender verify fail for <))"
    r"(?P<rest>.*+)",
    re.DOTALL,
)
_DONE = re.compile(rf" rejected {exim_reply.WHAT}|: discarded by |sender verify (?:fail|defer) for <")
_PLAIN = re.compile(r'[^<>\s"]*+')
_RECIPIENT = re.compile(r' <([^<>\s"]++)>')
_SCANNED = re.compile(
    rf"(?:{FIELDS} P=\S++(?: L\S*+)?(?: K)?)? (?P<temporary>temporarily )?rejected by local_scan\(\)(?P<rest>.*+)",
    re.DOTALL,
)
_ARRIVAL = re.compile(r'<= (?P<sender><>|[^\s"<>]++)(?: R=[\w-]++)?(?: DS)? H=')
_ARRIVED = re.compile(rf"(?P<fields>{FIELDS}) P=(?:utf8)?(?P<protocol>[\w-]++)(?P<rest>.*+)", re.DOTALL)
_ID = re.compile(r" id=(\S++)")
_DELIVERED = re.compile(r"(?:[=\-*>]>|\*\*) (?P<address>[^\s<>]++)(?: \([^()]*+\))?(?: <(?P<original>[^<>\s]*+)>)? ")
_SPAM = re.compile(r"SA: Action: (?:(?P<tagged>flagged as Spam)|[a-z]++ (?:rejected|tossed) message|teergrub)")
_SPAM_HOST = re.compile(rf" \(host=\S++ \[(?P<client>{ADDRESS})\]\) for ")


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing or names no client."""
    line = exim_client.split(header)
    text = line.text
    start = _REFUSAL.match(text)
    if start is not None:
        return _refusal(line, start.end())
    if line.queue and text[:2] in ("<=", "=>", "->", ">>", "**", "Co"):
        return _message(line)
    if text.startswith("SA: "):
        return _spam(line)
    return _local_scan(line) if text.startswith("F=") else exim_forms.parse(line)


def _refusal(line: Line, start: int) -> Fact | None:
    found = exim_client.find(line, (start,), _REFUSED)
    if found is None:
        return None
    client, match = found
    if match["unverified"]:
        return line.fact(Kind.OFFENCE, client, "sender_verify_failed", detail="sender verify failed")
    if match["discarded"]:
        return line.fact(Kind.OFFENCE, client, "content_rejected", detail="discarded by an ACL")
    # Ident, certificate, HELO or an address may hold another `rejected RCPT`: then nothing behind the first is sure.
    certain = len(_DONE.findall(line.text)) <= 1 and " U=" not in line.text
    sender = match["sender"]
    plain = sender is None or _PLAIN.fullmatch(sender) is not None
    if match["login"] and certain and plain and line.text.count(" A=") == 1:
        return line.fact(Kind.LOGIN, client)
    return _refused(line, client, match, certain, sender if plain else None)


def _refused(line: Line, client: str, match: re.Match[str], certain: bool, sender: str | None) -> Fact | None:
    what = match["what"] or "connection"
    reason: str | None
    if match["acl"]:
        text, ours = match["rest"].removeprefix(": "), True
        reason = exim_reply.reason(what, text)
        reason = "dropped_by_acl" if reason == "client_denied" else reason
    else:
        text, ours = exim_reply.split(what, match["rest"])
        reason = exim_reply.reason(what, text, match["temporary"] is not None)
    reply = exim_reply.server_written(text) if certain and ours and not line.cut else ""
    if reason is None and not reply:
        return None
    named = _RECIPIENT.match(match["rest"])
    recipient = named[1] if named is not None else None
    greylisted = reason == "greylisted" and certain and ours
    return line.fact(
        Kind.OFFENCE,
        client,
        reason or "",
        stage="AUTH" if what == "AUTH" else "",
        reply=reply,
        detail=f"rejected {what}" + (f": {clean(text, sender, recipient)}" if text and ours else ""),
        verdict="DATA" in what or "MIME" in what,
        echo=reason == "sender_verify_failed",
        sender=sender if greylisted else None,
        recipient=recipient if greylisted else None,
    )


def _local_scan(line: Line) -> Fact | None:
    found = exim_client.find(line, exim_client.ends(line, " H="), _SCANNED)
    if found is None:
        return None
    client, match = found
    text, _ = exim_reply.split("by local_scan()", match["rest"])
    reason = exim_reply.reason("by local_scan()", text, match["temporary"] is not None)
    if reason is None:
        return None
    return line.fact(Kind.OFFENCE, client, reason, detail="rejected by local_scan()", verdict=True)


def _spam(line: Line) -> Fact | None:
    """Read what sa-exim did; Message-ID, sender and recipients, which stand around the host, are the client's."""
    action, hosts = _SPAM.match(line.text), list(_SPAM_HOST.finditer(line.text))
    if action is None or len(hosts) != 1 or line.cut:
        return None
    reason = "spam_tagged" if action["tagged"] else "spam_rejected"
    return line.fact(Kind.OFFENCE, hosts[0]["client"], reason, detail=action[0].removeprefix("SA: "), verdict=True)


def _message(line: Line) -> Fact | None:
    """Read a message's arrival, delivery (or failure) and end."""
    arrival = _ARRIVAL.match(line.text)
    if arrival is None:
        if line.text.startswith("Completed"):
            return line.fact(Kind.REMOVED, "")
        delivered = _DELIVERED.match(line.text)
        if delivered is None:
            return None
        return line.fact(Kind.DELIVERED, "", recipient=delivered["original"] or delivered["address"])
    found = exim_client.find(line, (arrival.end(),), _ARRIVED)
    if found is None:
        return None
    client, match = found
    mid = _ID.search(match["rest"])
    return line.fact(
        Kind.ACCEPTED,
        client,
        mid=mid[1] if mid is not None else "",
        sender="" if arrival["sender"] == "<>" else arrival["sender"],
        login=match["protocol"].endswith(("smtpa", "smtpsa")) and " U=" not in match["fields"],
    )
