"""A verdict of Amavis in, as a log line or as a JSON report, what it says of the client out (amavisd `$log_templ`).

    (ID) Blocked SPAM {DiscardedInbound,Quarantined}, MYNETS LOCAL [CLIENT]:PORT [TRACE] <FROM> -> <TO>, Queue-ID: …

The client is the first bracket; those behind it come from Received headers. Where Amavis knows no client there is none.
The names in `BANNED (…)` and `INFECTED (…)` and all behind `<FROM>` are the sender's, so a line with two places at
which a client may or may not be gives nothing.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind, parse_client
from repzone.logs.syslog import Header, load_object
from repzone.model import Exemptions

COMPONENT = "amavis"

_VERDICT = re.compile(
    r"\([\w.-]{1,40}\) (?P<action>Passed|Blocked) (?P<verdict>SPAM|SPAMMY|INFECTED|BANNED)\b(?P<rest>.*+)", re.DOTALL
)
_PLACE = re.compile(
    r"(?>(?: \{(?P<actions>[\w,]*+)\})?),(?P<banks>(?>(?: [\w/.-]++)*))"
    rf"(?>(?: \[(?:(?P<client>{ADDRESS})(?=\])|[^\]\s]*+)\](?::\d{{1,5}})?)?)"
    r"(?>(?: \[[^\]\s]*+\])*)(?>(?: [A-Z]*+/[A-Z]++)?) <"
)
_QUEUE = re.compile(r", Queue-ID: (?P<queue>[0-9A-Za-z]{5,32})(?=,|\s|\Z)")
_REASONS = {
    "SPAM": "spam_detected",
    "SPAMMY": "spam_tagged",
    "INFECTED": "virus_found",
    "BANNED": "banned_attachment",
}
_REPORTS = {"Spam": "SPAM", "Spammy": "SPAMMY", "Virus": "INFECTED", "Banned": "BANNED"}
_OWN = re.compile(r"\b(?:LOCAL|MYNETS|MYUSERS|ORIGINATING)\b")
_RESERVED = Exemptions()


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it is no verdict or names no client."""
    if header.message.startswith("{"):
        return _report(header)
    match = _VERDICT.match(header.message)
    if match is None:
        return None
    rest, verdict = match["rest"], match["verdict"]
    envelope = max(0, rest.rfind("> -> "))
    named = verdict in ("INFECTED", "BANNED")
    places = list(_PLACE.finditer(rest, 0, envelope)) if named else [_PLACE.match(rest)]
    if len(places) != 1 or places[0] is None or not places[0]["client"]:
        return None
    place = places[0]
    own = bool(_OWN.search(place["banks"])) or "Outbound" in (place["actions"] or "")
    queues = _QUEUE.findall(rest)
    queue = f"{header.host} {queues[0]}" if len(queues) == 1 else ""
    return _fact(header, place["client"], match["action"], verdict, queue, own)


def _report(header: Header) -> Fact | None:
    report = load_object(header.message)
    if report is None or report.get("type") != "amavis":
        return None
    client, queue, actions = report.get("client_ip"), report.get("queue_id"), report.get("action")
    verdict = _REPORTS.get(str(report.get("content_type")))
    if verdict is None or not isinstance(client, str):
        return None
    passed = "PASS" in actions if isinstance(actions, list | str) else True
    key = f"{header.host} {queue}" if isinstance(queue, str) and queue else ""
    return _fact(header, client, "Passed" if passed else "Blocked", verdict, key, report.get("originating") is True)


def _fact(header: Header, client: str, action: str, verdict: str, queue: str, own: bool) -> Fact | None:
    """Build the fact; mail that users of ours send is not an offence of their address, which may be anywhere."""
    if own:
        address = parse_client(client)
        if address is None or _RESERVED.find(address, header.at) is None:
            return None
    reason = _REASONS[verdict]
    if verdict == "SPAMMY" and action == "Blocked":
        reason = "spam_detected"
    return Fact(
        Kind.OFFENCE,
        client,
        COMPONENT,
        header.at,
        reason,
        header.repeat,
        queue=queue,
        detail=f"{action} {verdict}",
        verdict=True,
    )
