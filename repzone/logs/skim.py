"""A text of many log lines in, what they complete out: the few forms that most lines of a mail log have, at once.

One pattern goes through the text line by line. It knows lines that tell nothing, cuts out those by which Postfix begins
and ends a session or moves a message, and leaves every other line to its component's parser. What it settles it settles
as `join` does (a test compares them); that this needs no header and no fact makes a log read several times as fast.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from repzone.logs.fact import parse_client
from repzone.logs.postfix_queue import COMPONENT
from repzone.logs.state import LOOPBACK, State, is_reserved
from repzone.model import Event, Hit, Traffic, Wait

Found = list[Event | Hit | Traffic | Wait]
Read = Callable[[str, int], tuple[Event | Hit | Traffic | Wait, ...]]
"""Reads one line, given its number."""

HOUR = 3600

_STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_POSTFIX = r"postfix[^/\[\]\s:()<>]*+/(?>(?:[\w.-]++/)?)"
_PID = r"\[\d{1,10}\]"
_NAME = r"[^\s\[\]]{1,255}\["
_ADDRESS = r"[0-9A-Fa-f:.]{2,45}"
_QUEUE = r"[0-9A-Za-z]{5,32}"

# A line that no group of its own ends is dull: no component's parser, nor `join`, makes anything of it.
_LINE = re.compile(
    rf"(?:(?P<stamp>{_STAMP})(?>(?:\.\d{{1,9}})?)(?P<offset>Z|[+-]\d\d:\d\d|) (?P<host>[^\s\[\]()<>]++)(?<!:) (?:"
    rf"(?P<smtpd>{_POSTFIX}smtpd{_PID}): (?:"
    rf"connect from {_NAME}(?:(?:{'|'.join(map(re.escape, sorted(LOOPBACK)))})\]|(?P<connect>{_ADDRESS})\])"
    rf"|(?P<disconnect>disconnect from {_NAME}{_ADDRESS}\])(?>(?: (?!auth=|unknown=)[\w-]++=\d++(?>(?:/\d++)?))*)"
    rf"|(?P<new>(?!NOQUEUE:){_QUEUE}): client={_NAME}(?P<client>{_ADDRESS})\]"
    r"|(?:Anonymous|Untrusted|Trusted|Verified) TLS connection established from [^\n]*+)"
    rf"|{_POSTFIX}qmgr{_PID}: (?P<queue>{_QUEUE}): "
    r"(?:(?P<removed>removed)|from=<(?P<sender>[^<>\s]*+)>, size=\d++, nrcpt=\d++ \(queue active\))"
    rf"|{_POSTFIX}cleanup{_PID}: (?P<named>{_QUEUE}): message-id=<(?P<mid>[^<>\s()]{{1,1000}})>"
    rf"|{_POSTFIX}(?:smtp|lmtp|local|virtual|pipe|error|discard){_PID}: (?P<tried>{_QUEUE}): "
    r"to=<(?P<to>[^<>\s]*+)>, (?>(?:orig_to=<(?P<orig>[^<>\s]*+)>, )?)relay=(?P<relay>[^\n]*+)"
    rf"|{_POSTFIX}(?:anvil|scache|tlsmgr|verify|dnsblog|bounce){_PID}: [^\n]*+"
    rf"|dovecot(?>(?:{_PID})?): (?:imap|pop3|lmtp)\([^\n]*+"
    rf"|amavis{_PID}: \([\w.-]{{1,40}}\) Passed CLEAN [^\n]*+"
    r")\n|(?P<other>[^\n]*+)\n)"
)
_GROUP = _LINE.groupindex
_CONNECT, _DISCONNECT, _CLIENT, _MID = _GROUP["connect"], _GROUP["disconnect"], _GROUP["client"], _GROUP["mid"]
_REMOVED, _SENDER, _RELAY, _OTHER = _GROUP["removed"], _GROUP["sender"], _GROUP["relay"], _GROUP["other"]
_STAMP_, _OFFSET, _HOST_, _SMTPD, _NEW = (_GROUP[name] for name in ("stamp", "offset", "host", "smtpd", "new"))
_NAMED, _QUEUE_, _TRIED, _TO, _ORIG = (_GROUP[name] for name in ("named", "queue", "tried", "to", "orig"))

_DULL = (_HOST_, _SMTPD)  # the line ends behind these
_NAMING = (_CLIENT, _MID)  # an offence may wait for them


def skim(text: str, number: int, state: State, instants: Mapping[tuple[str, str], int | None], read: Read) -> Found:
    """Take whole lines, the first of them with that number, and give what they complete; clean traffic is added up a
    client and hour. `instants` knows the stamps (to the second, and offset), `read` reads a line of any other form.
    """
    found: Found = []
    connections: dict[tuple[str, int], int] = {}
    messages: dict[tuple[str, int], int] = {}
    sessions, taken = state.sessions, state.messages
    place = 0
    for match in _LINE.finditer(text):
        what = match.lastindex
        if what == _OTHER:
            start = match.start(_OTHER)
            number += text.count("\n", place, start)
            place = start
            found += read(match[_OTHER], number)
            continue
        at = instants[match[_STAMP_], match[_OFFSET]]
        if what in _DULL and at is not None:
            continue
        rest = at is None or (state.owed and what in _NAMING)
        if what == _DISCONNECT and not rest:
            key = f"{match[_HOST_]} {match[_SMTPD]}"
            session = sessions.get(key)
            rest = session is not None and session.lost != ""
            if session is not None and not rest:
                sessions.pop(key, None)
        if rest or at is None:
            start = match.start(_STAMP_)
            number += text.count("\n", place, start)
            place = start
            found += read(text[start : match.end() - 1], number)
        elif what == _CONNECT:
            host, smtpd, client = match.group(_HOST_, _SMTPD, _CONNECT)
            state.begin(f"{host} {smtpd}", client, at)
            hour = (client, at - at % HOUR)
            connections[hour] = connections.get(hour, 0) + 1
        elif what == _CLIENT:
            host, smtpd, queue, client = match.group(_HOST_, _SMTPD, _NEW, _CLIENT)
            session = sessions.get(f"{host} {smtpd}")
            login = session is not None and session.login and session.client == client
            state.take(f"{host} {queue}", client, at, login)
        elif what == _MID:
            host, queue, mid = match.group(_HOST_, _NAMED, _MID)
            queue = f"{host} {queue}"
            message = taken.get(queue)
            if message is not None and not is_reserved(message.client):
                state.note_mid(state.mid(mid), queue, message)
        elif what == _REMOVED:
            host, queue = match.group(_HOST_, _QUEUE_)
            state.remove(f"{host} {queue}", at)
        elif what == _SENDER:
            host, queue, sender = match.group(_HOST_, _QUEUE_, _SENDER)
            message = state.find_message(f"{host} {queue}", at)
            if message is not None and not is_reserved(message.client):
                message.sender = state.hash(sender)
                if not message.accepted:
                    message.accepted = True
                    hour = (message.client, at - at % HOUR)
                    messages[hour] = messages.get(hour, 0) + 1
        elif what == _RELAY:
            host, queue, recipient, original = match.group(_HOST_, _TRIED, _TO, _ORIG)
            message = taken.get(f"{host} {queue}")
            address = parse_client(message.client) if message is not None and message.sender else None
            if message is None or address is None or is_reserved(message.client) or not (original or recipient):
                continue
            start = match.start(_STAMP_)
            number += text.count("\n", place, start)
            place = start
            letter = state.hash(message.sender, original or recipient)
            found.append(Wait(at, address, letter, closed=True, component=COMPONENT, line=number))
    return found + _traffic(connections, messages)


def _traffic(connections: dict[tuple[str, int], int], messages: dict[tuple[str, int], int]) -> Found:
    found: Found = []
    for client, hour in connections.keys() | messages.keys():
        address = parse_client(client)
        if address is not None and not is_reserved(client):
            counts = connections.get((client, hour), 0), messages.get((client, hour), 0)
            found.append(Traffic(hour, address, *counts))
    return found
