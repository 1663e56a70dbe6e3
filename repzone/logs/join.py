"""Facts of many lines in, events and hits out: one offence that several lines describe counts once.

`State` is all that is remembered between lines. It is bounded, and `dump` and `load` give and take it as JSON, so that
a log may be cut between any two lines and gives the same events.

- A client that logged in is a user of ours: what it does later in that session, or with that message, is no offence.
- A refusal that our own zone caused is a hit; what follows from it in that session is not an offence.
- smtpd's counters at disconnect count only what no earlier line of the session told.
- Who did what a line without address tells is known by its session, its queue id or its Message-ID. A Message-ID that
  two clients used names neither.
- Greylisting opens a wait, which a pass or a delivery of the same letter (sender and recipient) closes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any, TypeVar

from repzone.logs.fact import Fact, Kind, parse_client
from repzone.model import Client, Event, Exemptions, Hit, Traffic, Wait
from repzone.reasons import CATALOGUE

LIMIT = 5_000  # of sessions, and of messages
MOST = 10_000  # of one event's count
_GREYLISTED = {"greylisted", "greylist_early_retry"}
_AUTH_ATTEMPTS = {"auth_failed", "auth_mechanism_invalid", "auth_not_offered", "rate_limit"}
_REUSED = 3_600  # a queue id may name another message after that many seconds
_LINGER = 60  # seconds that a removed message is still known
_SAME_ATTEMPT = 60  # a greylister and the server that asked it tell one attempt within that many seconds

V = TypeVar("V")
Outcome = tuple[Event | Hit | Traffic | Wait, ...]
_RESERVED = Exemptions()


@dataclass(frozen=True, slots=True)
class OwnZones:
    """How a refusal by our own zones reads: their apexes, and the URLs that their texts name (may hold `{client}`)."""

    apexes: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def names(self, reply: str) -> bool:
        """Tell whether the server-written part of a refusal names one of our zones or URLs."""
        if not reply:
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
        return any(prefix and prefix in reply for prefix in prefixes)


@dataclass(slots=True)
class Session:
    """One SMTP session as far as its lines told."""

    client: str
    whole: bool = False  # its first line was seen
    auth: int = 0  # failed logins that were told
    unknown: int = 0  # unknown commands that were told
    hit: bool = False
    login: bool = False
    offended: bool = False
    tls: bool = False  # its TLS handshake failed
    lost: str = ""  # how it broke, while it is not known whether that is another offence


@dataclass(slots=True)
class Message:
    """One queue id: whose message it is, when it was judged (0: not yet), whether it was taken, its sender hashed."""

    client: str
    login: bool = False
    judged: int = 0
    accepted: bool = False
    sender: str = ""


class State:
    """What is remembered between lines, oldest first out; `key` is what envelope addresses are hashed with."""

    def __init__(self, key: bytes = b"") -> None:
        self.key = key
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self.messages: OrderedDict[str, Message] = OrderedDict()
        self.gone: OrderedDict[str, int] = OrderedDict()  # queue ids whose message was removed, and when
        self.mids: OrderedDict[str, list[str]] = OrderedDict()  # Message-ID, hashed: client, "" for two; queue id
        self.owed: OrderedDict[str, list[Any]] = OrderedDict()  # queue or Message-ID: offences without client
        self.letters: OrderedDict[str, list[Any]] = OrderedDict()  # client and letter: when who greylisted it last

    def dump(self) -> dict[str, Any]:
        """Give the state as JSON can hold it."""
        return {
            "sessions": [[key, *astuple(session)] for key, session in self.sessions.items()],
            "messages": [[key, *astuple(message)] for key, message in self.messages.items()],
            "gone": list(self.gone.items()),
            "mids": list(self.mids.items()),
            "owed": list(self.owed.items()),
            "letters": list(self.letters.items()),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], key: bytes = b"") -> State:
        """Take what `dump` gave."""
        state = cls(key)
        state.sessions.update((key, Session(*values)) for key, *values in dumped["sessions"])
        state.messages.update((key, Message(*values)) for key, *values in dumped["messages"])
        state.gone.update(dumped["gone"])
        state.mids.update(dumped["mids"])
        state.owed.update(dumped["owed"])
        state.letters.update(dumped["letters"])
        return state

    def hash(self, *texts: str) -> str:
        """Hash what nobody is to read in the database: 32 hex digits, the same for the same key and texts."""
        text = "\0".join(texts).lower().encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self.key).hexdigest()

    def find(self, fact: Fact) -> Session | None:
        """Give the client's session; None when it is not known, or is another client's by the same name."""
        session = self.sessions.get(fact.session)
        return session if session is not None and session.client == fact.client else None

    def open(self, fact: Fact, whole: bool = False) -> Session:
        """Give the client's session, a new one if need be; a line without session gets one that is not kept."""
        session = None if whole else self.find(fact)
        if session is None:
            session = Session(fact.client, whole)
            if fact.session:
                _keep(self.sessions, fact.session, session)
        return session

    def name(self, fact: Fact) -> tuple[str, str]:
        """Give client and queue id of a line that names no client; "" when nothing tells, or two are meant."""
        session = self.sessions.get(fact.session) if fact.session else None
        if session is not None:
            return session.client, fact.queue
        message = self.messages.get(fact.queue) if fact.queue else None
        if message is not None:
            return message.client, fact.queue
        client, queue = self.mids.get(self.mid(fact), ("", "")) if fact.mid else ("", "")
        return client, fact.queue or queue

    def mid(self, fact: Fact) -> str:
        """Hash a Message-ID, for short."""
        return self.hash(fact.mid)[:16]


def join(state: State, fact: Fact, own: OwnZones, line: int = 0) -> Outcome:
    """Take one line's fact, change the state, and give what is now known to have happened.

    `line` is the number that the events carry. An address that is none gives nothing.
    """
    kind = fact.kind
    if not fact.client and kind in _NEED_CLIENT:
        client, queue = state.name(fact)
        if not client:
            if kind is Kind.OFFENCE and fact.later:
                _owe(state, fact)
            return ()
        fact = replace(fact, client=client, queue=queue)
    if kind is Kind.OFFENCE:
        return _offence(state, fact, own, line)
    if kind is Kind.CONNECT:
        state.open(fact, whole=True)
        return _count(fact, fact.client, connections=1) if fact.traffic else ()
    if kind is Kind.DISCONNECT:
        return _disconnect(state, fact, line)
    if kind is Kind.QUEUED:
        return _queued(state, fact, own, line)
    if kind is Kind.LOGIN:
        state.open(fact).login = True
    elif kind is Kind.FAULT:
        state.open(fact).auth += fact.count
    elif kind is Kind.NAMED:
        message = state.messages.get(fact.queue)
        if message is not None:
            return _name(state, fact, message, own, line)
    elif kind is Kind.ACCEPTED:
        return _accepted(state, fact)
    elif kind is Kind.PASSED:
        return _close(state, fact, fact.client, state.hash(fact.sender), line)
    elif kind is Kind.DELIVERED:
        message = state.messages.get(fact.queue)
        if message is not None and message.sender:
            return _close(state, fact, message.client, message.sender, line)
    elif kind is Kind.REMOVED:
        _remove(state, fact)
    return ()


_NEED_CLIENT = {Kind.OFFENCE, Kind.DISCONNECT, Kind.PASSED, Kind.LOGIN, Kind.FAULT}


def _queued(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    if fact.login:
        state.open(fact).login = True
    if not fact.queue:
        return ()
    message = Message(fact.client, fact.login)
    state.gone.pop(fact.queue, None)
    _keep(state.messages, fact.queue, message)
    paid = _pay(state, fact.queue, message, fact.queue, own, line)
    return (*paid, *_name(state, fact, message, own, line)) if fact.mid else paid


def _remove(state: State, fact: Fact) -> None:
    """Forget a message, though not at once: what other components tell of it may be logged a little later."""
    if fact.queue in state.messages:
        state.gone[fact.queue] = fact.at
    while state.gone:
        queue, at = next(iter(state.gone.items()))
        if at + _LINGER > fact.at:
            break
        del state.gone[queue]
        state.messages.pop(queue, None)


def _name(state: State, fact: Fact, message: Message, own: OwnZones, line: int) -> Outcome:
    """Note whose Message-ID it is. A filter on this machine that hands the message back in is not another client."""
    mid = state.mid(fact)
    known = state.mids.get(mid)
    address = parse_client(message.client)
    if known is not None and address is not None and _RESERVED.find(address, fact.at) is not None:
        return ()
    client = "" if message.login or (known is not None and known[0] != message.client) else message.client
    _keep(state.mids, mid, [client, fact.queue])
    return _pay(state, mid, message, fact.queue, own, line) if client else ()


def _owe(state: State, fact: Fact) -> None:
    """Keep an offence until a line names its client; of one message, one is enough for what is told of it whole."""
    key = fact.queue or (state.mid(fact) if fact.mid else "")
    if not key:
        return
    owed = state.owed.get(key) or []
    if len(owed) < _OWED:
        owed.append([fact.at, fact.component, fact.reason, fact.count, fact.stage, fact.detail, fact.verdict])
    _keep(state.owed, key, owed)


_OWED = 100  # offences that one message can owe


def _pay(state: State, key: str, message: Message, queue: str, own: OwnZones, line: int) -> Outcome:
    """Give the offences that waited for the name of their client, which the caller has just made known."""
    outcome: Outcome = ()
    for at, component, reason, count, stage, detail, verdict in state.owed.pop(key, ()):
        fact = Fact(
            *(Kind.OFFENCE, message.client, component, at, reason, count),
            **{"queue": queue, "stage": stage, "detail": detail, "verdict": verdict},
        )
        outcome += _offence(state, fact, own, line)
    return outcome


def _count(fact: Fact, client: str, connections: int = 0, messages: int = 0) -> Outcome:
    address = parse_client(client)
    return (Traffic(fact.at, address, connections, messages),) if address is not None else ()


def _accepted(state: State, fact: Fact) -> Outcome:
    message = state.messages.get(fact.queue) if fact.queue else None
    if message is None:
        return _count(fact, fact.client, messages=fact.count) if fact.client else ()
    if fact.sender:
        message.sender = state.hash(fact.sender)
    if message.accepted:
        return ()
    message.accepted = True
    return _count(fact, message.client, messages=1)


def _letter(state: State, sender: str, fact: Fact, client: Client) -> tuple[str, str]:
    """Name sender (hashed) and recipient, alone and for a client: greylisters take its network for it."""
    letter = state.hash(sender, fact.recipient)
    return letter, f"{client.truncate(24 if client.version == 4 else 64).to_text()} {letter}"


def _wait(state: State, fact: Fact, client: Client, line: int) -> Outcome:
    """Open a wait; what the greylister and its server tell of one attempt is one event."""
    event = Event(fact.at, client, fact.reason, 1, fact.component, fact.detail, line=line)
    if not fact.recipient:
        return (event,)
    letter, name = _letter(state, state.hash(fact.sender), fact, client)
    at, component = state.letters.get(name, (0, fact.component))
    _keep(state.letters, name, [fact.at, fact.component])
    if component != fact.component and abs(fact.at - at) < _SAME_ATTEMPT:
        return ()
    return (event, Wait(fact.at, client, letter, component=fact.component, line=line))


def _close(state: State, fact: Fact, client: str, sender: str, line: int) -> Outcome:
    address = parse_client(client)
    if address is None or not fact.recipient:
        return ()
    letter, name = _letter(state, sender, fact, address)
    state.letters.pop(name, None)
    return (Wait(fact.at, address, letter, closed=True, component=fact.component, line=line),)


def _keep(known: OrderedDict[str, V], key: str, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > LIMIT:
        known.popitem(last=False)


def _offence(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    message = state.messages.get(fact.queue) if fact.queue else None
    client = parse_client(fact.client)
    if client is None:
        return ()
    if message is not None and parse_client(message.client) != client:
        message = None
    session = state.open(fact)
    if own.names(fact.reply):
        session.hit = True
        return (Hit(fact.at, client, fact.component, line),)
    if not fact.reason or _is_own_user(session, message) or _was_told(state, fact, session, message):
        return ()
    session.offended = True
    if fact.reason in _GREYLISTED:
        return _wait(state, fact, client, line)
    return (Event(fact.at, client, fact.reason, min(fact.count, MOST), fact.component, fact.detail, line=line),)


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
    if fact.echo and session.offended:
        return True
    return fact.verdict and _was_judged(state, fact, message)


def _was_judged(state: State, fact: Fact, message: Message | None) -> bool:
    if not fact.queue:
        return False
    if message is None:
        message = Message(fact.client)
        _keep(state.messages, fact.queue, message)
    judged, message.judged = message.judged, fact.at
    return judged > 0 and abs(fact.at - judged) < _REUSED


def _disconnect(state: State, fact: Fact, line: int) -> Outcome:
    session = state.find(fact) or Session(fact.client)
    state.sessions.pop(fact.session, None)
    client = parse_client(fact.client)
    if client is None or session.hit or session.login or fact.login:
        return ()
    auth, unknown = fact.failed or (0, 0)
    told: list[tuple[str, int, str]] = []
    if auth > session.auth:
        reason = "auth_not_offered" if session.whole and session.auth == 0 else "auth_failed"
        told.append((reason, auth - session.auth, f"disconnect: {auth} failed AUTH"))
    elif session.lost and session.auth == 0:
        told.append((session.lost, 1, "connection broken without a login"))
    if unknown > session.unknown:
        told.append(("unknown_command", unknown - session.unknown, f"disconnect: {unknown} unknown commands"))
    return tuple(
        Event(fact.at, client, reason, min(count, MOST), fact.component, detail, line=line)
        for reason, count, detail in told
    )
