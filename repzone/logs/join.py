"""Facts of many lines in, events and hits out: one offence that several lines describe counts once.

`State` is all that is remembered between lines. It is bounded, and `dump` and `load` give and take it as JSON, so that
a log may be cut between any two lines and gives the same events.

- A client that logged in is a user of ours: what it does later in that session, or with that message, is no offence.
- A refusal that our own zone caused is a hit; what follows from it in that session is not an offence.
- smtpd's counters at disconnect count only what no earlier line of the session told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from repzone.logs.fact import Fact, Kind, parse_client
from repzone.model import Event, Hit
from repzone.reasons import CATALOGUE

LIMIT = 5_000  # of sessions, and of messages
MOST = 10_000  # of one event's count
_AUTH_ATTEMPTS = {"auth_failed", "auth_mechanism_invalid", "auth_not_offered", "rate_limit"}
_REUSED = 3_600  # a queue id may name another message after that many seconds

V = TypeVar("V")
Outcome = tuple[Event | Hit, ...]


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
    """One queue id: whose message it is, and when it was judged (0: not yet)."""

    client: str
    login: bool = False
    judged: int = 0


class State:
    """What is remembered between lines, oldest first out."""

    def __init__(self) -> None:
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self.messages: OrderedDict[str, Message] = OrderedDict()

    def dump(self) -> dict[str, Any]:
        """Give the state as JSON can hold it."""
        return {
            "sessions": [[key, *astuple(session)] for key, session in self.sessions.items()],
            "messages": [[key, *astuple(message)] for key, message in self.messages.items()],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> State:
        """Take what `dump` gave."""
        state = cls()
        state.sessions.update((key, Session(*values)) for key, *values in dumped["sessions"])
        state.messages.update((key, Message(*values)) for key, *values in dumped["messages"])
        return state

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


def join(state: State, fact: Fact, own: OwnZones, line: int = 0) -> Outcome:
    """Take one line's fact, change the state, and give what is now known to have happened.

    `line` is the number that the events carry. An address that is none gives nothing.
    """
    kind = fact.kind
    if kind is Kind.OFFENCE:
        return _offence(state, fact, own, line)
    if kind is Kind.CONNECT:
        state.open(fact, whole=True)
    elif kind is Kind.DISCONNECT:
        return _disconnect(state, fact, line)
    elif kind is Kind.QUEUED:
        if fact.queue:
            _keep(state.messages, fact.queue, Message(fact.client, fact.login))
        if fact.login:
            state.open(fact).login = True
    elif kind is Kind.LOGIN:
        state.open(fact).login = True
    elif kind is Kind.FAULT:
        state.open(fact).auth += fact.count
    return ()


def _keep(known: OrderedDict[str, V], key: str, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > LIMIT:
        known.popitem(last=False)


def _offence(state: State, fact: Fact, own: OwnZones, line: int) -> Outcome:
    message = state.messages.get(fact.queue) if fact.queue else None
    client = parse_client(fact.client or (message.client if message is not None else ""))
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
