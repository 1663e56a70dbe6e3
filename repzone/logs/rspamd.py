"""A verdict of rspamd in, what it says of the client out (`rspamd_task_write_log` in task.c, `log_format`).

    <TAG>; task; rspamd_task_write_log: id: <MID>, qid: <QUEUEID>, ip: CLIENT, user: NAME, from: <FROM>,
        (default: T (reject): [SCORE/REQUIRED] [SYMBOL(SCORE){OPTION;…;},…]), len: …, rcpts: <TO,…>, …

The client is `, ip: CLIENT,` in this order and nowhere else. The Message-ID stands before it, in which rspamd leaves no
blank; envelope, options and file names behind it. All of them are the sender's: a line with two such places, or two
verdicts, gives nothing.
The controller (`csession`) looks at messages that are long here; only workers and the proxy judge what comes in.
Options may hold braces, so that a sender may add symbols to his own message; they only tell why it was refused.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "rspamd"

_OWN_LEAD = (  # of a container's journal
    r"(?>(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?>(?:\.\d++)?) )?)(?>(?:(?>(?:#\d++)?)\([\w-]++\) )?)"
)
_LINE = re.compile(
    _OWN_LEAD + r"<\w{1,40}>; (?>(?:(?:task|proxy); )?)(?>(?:rspamd_task_)?)write_log: id: <\S*>,(?= )"
    rf"(?>(?: qid: <(?P<queue>[\w.-]{{1,80}}+)>,)?)(?>(?: ip: (?P<client>{ADDRESS}),)?)"
    r"(?>(?P<user> user: [^,<>\s]++,)?)"
    r"(?>(?: from: <(?P<sender>\S*)>,(?= ))?) "
    r"\((?>(?:\w++: [TF] \()?)(?P<action>[a-z]++(?>(?: [a-z]++)?))\): (?P<scores>\[[-.\w]{1,12}/[-.\w]{1,12}\]) "
    r"\[(?P<rest>.*+)",
    re.DOTALL,
)
_PLACE = re.compile(rf", ip: {ADDRESS},")
_VERDICT = re.compile(r" \((?>(?:\w++: [A-Z] \()?)[a-z]++(?>(?: [a-z]++)?)\): \[[-.\w]{1,12}/[-.\w]{1,12}\] \[")
_SYMBOL = re.compile(r"(?P<name>\w{1,100}+)(?>(?:\([-.\w]{1,12}\))?)(?>(?:\{(?P<options>[^{}]*+)\})?)(?:,|(?=\]))")
_RECIPIENT = re.compile(r"[, ] rcpts: <(?P<recipient>[^<>\s,]++)[,>]")
_ACTIONS = {
    "reject": "spam_rejected",
    "discard": "spam_detected",
    "quarantine": "spam_detected",
    "add header": "spam_tagged",
    "rewrite subject": "spam_tagged",
    "greylist": "greylisted",
}
_STOPS = {"reject", "discard", "quarantine"}


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client; None when it is no verdict, or one that blames nobody."""
    text = header.message
    match = _LINE.fullmatch(text)
    if match is None or len(_PLACE.findall(text)) > 1 or len(_VERDICT.findall(text)) != 1:
        return None
    queue = f"{header.host} {match['queue']}" if match["queue"] else ""
    client = match["client"] or ""
    if match["user"]:
        return Fact(Kind.QUEUED, client, COMPONENT, header.at, queue=queue, login=True) if client and queue else None
    action, symbols = match["action"], _symbols(match["rest"])
    reason = _reason(action, symbols)
    if not reason and not symbols.get("GREYLIST", "").startswith("pass;"):
        return None
    recipients = _RECIPIENT.findall(match["rest"])
    return Fact(
        Kind.OFFENCE if reason else Kind.PASSED,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        queue=queue,
        sender=match["sender"] or "",
        recipient=recipients[0] if len(recipients) == 1 else None,
        detail=f"{action} {match['scores']}",
        verdict=True,
        later=not client,
    )


def _symbols(text: str) -> dict[str, str]:
    """Give the symbols' options by name, as far as it is certain which is which."""
    found: dict[str, str] = {}
    at = 0
    while (match := _SYMBOL.match(text, at)) is not None:
        found.setdefault(match["name"], match["options"] or "")
        at = match.end()
    return found


def _reason(action: str, symbols: dict[str, str]) -> str:
    """Give the reason, "" when it is no offence: a soft reject is one only when a symbol tells what it was for."""
    if action in _STOPS and any(name.endswith("_VIRUS") for name in symbols):
        return "virus_found"
    if action != "soft reject":
        return _ACTIONS.get(action, "")
    grey = symbols.get("GREYLIST", "pass;")
    if not grey.startswith("pass;"):
        return "greylist_early_retry" if grey.endswith(";too early;") else "greylisted"
    return "rate_limit" if "RATELIMITED" in symbols else ""
