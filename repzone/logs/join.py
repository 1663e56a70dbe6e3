"""Facts of many lines in, events and hits out: one offence that several lines describe counts once.

`State` is all that is remembered between lines, so that a log may be cut between any two and gives the same events.

- A client that logged in is a user of ours: what it does later in that session, or with that message, is no offence.
- A refusal that our own zone caused is a hit; what follows from it in that session is not an offence.
- smtpd's counters at disconnect count only what no earlier line of the session told.
- Failed logins that a service and the password databases under it tell count once, in whatever order (`attempts`).
- Who did what a line without address tells is known by its session, its queue id or its Message-ID. A Message-ID that
  two clients used names neither.
- What OpenDMARC failed is an offence only when a milter has that message held.
- Greylisting opens a wait, which a pass or a delivery of the same letter (sender and recipient) closes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from repzone.logs.fact import Fact, Kind, parse_client
from repzone.logs.state import LINGER, LOOPBACK, REUSED, Message, Session, State, is_reserved
from repzone.model import Client, Event, Hit, Traffic, Wait
from repzone.reasons import CATALOGUE

MOST = 10_000  # of one event's count
_ASKED = {"auth_failed", "auth_unknown_user"}  # a password database was asked, which may tell too
GREYLISTED = {"greylisted", "greylist_early_retry"}
_AUTH_ATTEMPTS = {
    *("auth_failed", "auth_unknown_user", "auth_mechanism_invalid", "auth_not_offered", "auth_policy_refused"),
    "rate_limit",
}
_SAME_ATTEMPT = 60  # a greylister and the server that asked it tell one attempt within that many seconds

Outcome = tuple[Event | Hit | Traffic | Wait, ...]


@dataclass(frozen=True, slots=True)
class OwnZones:
    """How a refusal by our own zones reads: their apexes, and the URLs that their texts name (may hold `{client}`)."""

    apexes: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def names(self, reply: str) -> bool:
        """Tell whether the server-written part of a refusal names one of our zones or URLs."""
        if not reply or ("blocked using " not in reply and "://" not in reply):
            return False
        _, found, zone = reply.partition("blocked using ")
        if found:
            word = zone.split(maxsplit=1)[0] if zone.strip() else ""
            name = word.partition("=")[0].rstrip(".;,").lower()
            for apex in self.apexes:
                apex = apex.rstrip(".").lower()
                if name == apex or name.endswith("." + apex):
                    return True
        prefixes = (url.partition("{")[0] for url in self.urls)
        return any(_HOST.match(prefix) and prefix in reply for prefix in prefixes)


_HOST = re.compile(r"\w+://[^/]")  # what is shorter names no site of ours


def join(state: State, fact: Fact, own: OwnZones, line: int = 0) -> Outcome:
    """Take one line's fact, change the state, and give what is now known to have happened.

    `line` is the number that the events carry. An address that is none gives nothing.
    """
    kind = fact.kind
    if not fact.client and kind in _NEED_CLIENT:
        client, queue = state.name(fact.session, fact.queue, fact.mid, fact.at)
        if not client:
            if kind is Kind.OFFENCE and fact.later:
                _owe(state, fact)
            return ()
        fact = replace(fact, client=client, queue=queue)
    if kind is Kind.OFFENCE or kind is Kind.HELD:
        return _offence(state, fact, own, line)
    if kind is Kind.CONNECT:
        if fact.client in LOOPBACK:
            return ()  # a filter of ours, and so often that it is not worth remembering
        state.begin(fact.session, fact.client, fact.at)
        return _count(fact, fact.client, connections=1) if fact.traffic else ()
    if kind is Kind.DISCONNECT:
        return _disconnect(state, fact, line)
    if kind is Kind.QUEUED:
        return _queued(state, fact, own, line)
    if kind is Kind.LOGIN:
        state.open(fact.session, fact.client, fact.at).login = True
        return _count(fact, fact.client, connections=1) if fact.traffic else ()
    if kind is Kind.FAULT:
        state.open(fact.session, fact.client, fact.at).auth += fact.count
    elif kind is Kind.NAMED:
        message = state.messages.get(fact.queue)
        return _name(state, fact, message, own, line) if message is not None else ()
    elif kind is Kind.DMARC_FAILED:
        failed = state.find_message(fact.queue, fact.at)
        if failed is not None:
            failed.dmarc_failed = True
    elif kind is Kind.ACCEPTED:
        return _accepted(state, fact, own, line)
    elif kind is Kind.PASSED:
        return _close(state, fact, fact.client, state.hash(fact.sender or ""), line)
    elif kind is Kind.DELIVERED:
        message = state.messages.get(fact.queue)
        return _close(state, fact, message.client, message.sender, line) if message is not None else ()
    elif kind is Kind.UNOWNED:
        state.forget(fact.queue)
    elif kind is Kind.REMOVED:
        state.remove(fact.queue, fact.at)
    return ()


_NEED_CLIENT = {Kind.OFFENCE, Kind.DISCONNECT, Kind.QUEUED, Kind.ACCEPTED, Kind.PASSED, Kind.LOGIN, Kind.FAULT}


def _queued(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    session = state.find(fact.session, fact.client)
    login = fact.login or (session is not None and session.login)
    if fact.login:
        state.open(fact.session, fact.client, fact.at).login = True
    if not fact.queue:
        return ()
    message = state.take(fact.queue, fact.client, fact.at, login)
    paid = _pay(state, fact.queue, fact, message, own, line)
    return (*paid, *_name(state, fact, message, own, line)) if fact.mid else paid


def _name(state: State, fact: Fact, message: Message, own: OwnZones, line: int) -> Outcome:
    mid = state.mid(fact.mid)
    return _pay(state, mid, fact, message, own, line) if state.note_mid(mid, fact.queue, message) else ()


def _owe(state: State, fact: Fact) -> None:
    """Keep an offence until a line names its client."""
    key = fact.queue or (state.mid(fact.mid) if fact.mid else "")
    if not key:
        return
    owed = state.owed.get(key) or []
    told = [fact.component, fact.reason, fact.stage, fact.detail, fact.verdict, fact.reply]
    for one in owed:
        if one[2:] == told:
            one[1] += fact.count
            break
    else:
        if len(owed) < _OWED:
            owed.append([fact.at, fact.count, *told])
    state.owed.keep(key, owed)


_OWED = 10  # kinds of offences that one message can owe


def _pay(state: State, key: str, named: Fact, message: Message, own: OwnZones, line: int) -> Outcome:
    """Give the offences that waited for the name of their client, which `named` has just made known.

    By its Message-ID none waits for long: somebody else may be the next to use it.
    """
    outcome: Outcome = ()
    life = REUSED if key == named.queue else LINGER
    for at, count, component, reason, stage, detail, verdict, reply in state.owed.pop(key, ()):
        if abs(named.at - at) < life:
            owed = Fact(Kind.OFFENCE, message.client, component, at, reason, count, detail=detail, verdict=verdict)
            outcome += _offence(state, replace(owed, queue=named.queue, stage=stage, reply=reply), own, line)
    return outcome


def _count(fact: Fact, client: str, connections: int = 0, messages: int = 0) -> Outcome:
    address = parse_client(client)
    if address is None or is_reserved(client):
        return ()
    return (Traffic(fact.at, address, connections, messages),)


def _accepted(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    """Count a message once, however often it is tried. A line that names client and message tells both at once."""
    paid: Outcome = ()
    message = state.messages.get(fact.queue) if fact.queue else None
    if fact.client and (message is None or message.client != fact.client):
        paid = _queued(state, fact, own, line)
        message = state.messages.get(fact.queue) if fact.queue else None
    if message is None:
        return (*paid, *_count(fact, fact.client, messages=fact.count)) if fact.client else ()
    if is_reserved(message.client):
        return paid
    if fact.sender is not None:
        message.sender = state.hash(fact.sender)
    if message.accepted:
        return paid
    message.accepted = True
    return (*paid, *_count(fact, message.client, messages=1))


def _wait(state: State, fact: Fact, client: Client, line: int) -> Outcome:
    """Open a wait; what the greylister and its server tell of one attempt is one event."""
    event = Event(fact.at, client, fact.reason, 1, fact.component, fact.detail, line=line)
    if fact.sender is None or not fact.recipient:
        return (event,)
    letter = state.hash(state.hash(fact.sender), fact.recipient)
    name = f"{client.truncate(24 if client.version == 4 else 64).to_text()} {letter}"  # as greylisters take it
    at, component = state.letters.get(name, (0, fact.component))
    if component != fact.component and abs(fact.at - at) < _SAME_ATTEMPT:
        return ()
    state.letters.drop_before(fact.at - _SAME_ATTEMPT)
    state.letters.keep(name, [fact.at, fact.component])
    return (event, Wait(fact.at, client, letter, component=fact.component, line=line))


def _close(state: State, fact: Fact, client: str, sender: str, line: int) -> Outcome:
    address = parse_client(client)
    if address is None or not sender or not fact.recipient or is_reserved(client):
        return ()
    letter = state.hash(sender, fact.recipient)
    return (Wait(fact.at, address, letter, closed=True, component=fact.component, line=line),)


def _offence(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    message = state.find_message(fact.queue, fact.at) if fact.queue else None
    client = parse_client(fact.client)
    if client is None:
        return ()
    if message is not None and parse_client(message.client) != client:
        message = None
    if fact.kind is Kind.HELD:
        if message is None or not message.dmarc_failed:
            return ()
        fact = replace(fact, reason="dmarc_fail", detail=f"DMARC fail, {fact.detail}")
    session = state.open(fact.session, fact.client, fact.at)
    if (fact.echo and session.hit) or (fact.text and _was_said(state, session, fact)):
        return ()
    if own.names(fact.reply):
        session.hit = True
        return (Hit(fact.at, client, fact.component, line),)
    if not fact.reason:
        if fact.verdict:
            _was_judged(state, fact, message)
        return ()
    if _is_own_user(session, message) or _was_told(state, fact, session, message):
        return ()
    count = fact.count - session.told if fact.echo else fact.count
    session.told += count
    if fact.reason in GREYLISTED:
        return _wait(state, fact, client, line)
    if fact.stage == "AUTH" and fact.reason in _ASKED:
        count = _count_untold(state, fact, count)
    if not count:
        return ()
    return (Event(fact.at, client, fact.reason, min(count, MOST), fact.component, fact.detail, line=line),)


def _count_untold(state: State, fact: Fact, count: int) -> int:
    """Give how many of `count` failed logins neither the other lines of the session nor those of its client told."""
    database, client = fact.database, fact.client.removeprefix("::ffff:")
    server = fact.server or fact.session.partition(" ")[0]
    if fact.session and fact.server:
        count, database = state.attempts_of(f"{fact.session} {client}", fact.at).add(database, count, fact.at), ""
    return state.attempts_of(f"{server} {client}", fact.at).add(database, count, fact.at) if count else 0


def _was_said(state: State, session: Session, fact: Fact) -> bool:
    """Tell whether this is the second copy of a message (Exim's main and reject log, both by syslog)."""
    text = state.hash(fact.text)[:16]
    again = session.said == text and abs(fact.at - session.said_at) <= 1
    session.said, session.said_at = "" if again else text, fact.at
    return again


def _is_own_user(session: Session, message: Message | None) -> bool:
    return session.login or (message is not None and message.login)


def _was_told(state: State, fact: Fact, session: Session, message: Message | None) -> bool:
    """Tell whether this is a part, or a consequence, of what an earlier line told; note what later lines may repeat."""
    if session.hit and CATALOGUE[fact.reason] == "errors":
        return True
    if fact.reason in ("dropped_connection", "timeout"):
        if session.tls and fact.stage in ("CONNECT", "STARTTLS"):
            return True
        if fact.session and (fact.stage == "AUTH" or (fact.users and session.whole)):
            session.lost = session.lost or fact.reason
            return True  # the line that ends the session tells whether its client had logged in
    elif fact.stage == "AUTH" and fact.reason in _AUTH_ATTEMPTS:
        session.auth += fact.count
    elif fact.reason == "non_smtp_command":
        session.unknown += fact.count
    elif fact.reason == "tls_failed":
        session.tls = True
    if fact.echo and session.told >= fact.count:
        return True
    return fact.verdict and _was_judged(state, fact, message)


def _was_judged(state: State, fact: Fact, message: Message | None) -> bool:
    if not fact.queue:
        return False
    if message is None:
        message = state.take(fact.queue, fact.client, fact.at)
    judged, message.judged = message.judged, fact.at
    return judged > 0 and abs(fact.at - judged) < REUSED


def _disconnect(state: State, fact: Fact, line: int) -> Outcome:
    session = state.find(fact.session, fact.client) or Session(fact.client)
    state.sessions.pop(fact.session, None)
    client = parse_client(fact.client)
    if client is None or session.hit or session.login or fact.login:
        return ()
    auth, unknown = fact.failed or (0, 0)
    told: list[tuple[str, int, str]] = []
    more = _count_untold(state, fact, auth - session.auth) if auth > session.auth else 0
    if more:
        reason = "auth_not_offered" if session.whole and session.auth == 0 else "auth_failed"
        told.append((reason, more, f"disconnect: {auth} failed AUTH"))
    elif session.lost and session.auth == auth == 0:
        told.append((session.lost, 1, "connection broken without a login"))
    if unknown > session.unknown:
        told.append(("unknown_command", unknown - session.unknown, f"disconnect: {unknown} unknown commands"))
    return tuple(
        Event(fact.at, client, reason, min(count, MOST), fact.component, detail, line=line)
        for reason, count, detail in told
    )
