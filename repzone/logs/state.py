"""What the reading of one log remembers between lines: sessions, messages, and who wrote what, bounded.

`dump` and `load` give and take it as JSON, so that a log may be cut between any two lines and gives the same events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from repzone.logs import table
from repzone.logs.attempts import Attempts
from repzone.logs.fact import parse_client
from repzone.logs.table import PlainTable, Table
from repzone.model import Exemptions

LIMIT = 5_000  # of sessions, of messages, of each of the others
LINGER = 60
"""Seconds that a removed message is still known, and that a verdict waits for the line that names its Message-ID."""

REUSED = 3_600
"""Seconds after which a queue id, or a session's, may name another one."""


LOOPBACK = {"127.0.0.1", "::1"}
"""What this machine calls itself."""

_RESERVED = Exemptions()


@lru_cache(maxsize=4096)
def is_reserved(client: str) -> bool:
    """Tell whether it is nobody who could be listed: no address, or a filter of ours that hands a message back in."""
    address = parse_client(client)
    return address is None or _RESERVED.find(address, 0) is not None


@dataclass(slots=True)
class Session:
    """One SMTP session as far as its lines told."""

    client: str
    at: int = 0  # when its first line was written
    whole: bool = False  # that line was seen
    auth: int = 0  # failed logins that were told
    unknown: int = 0  # unknown commands that were told
    hit: bool = False
    login: bool = False
    told: int = 0  # offences that its lines told
    tls: bool = False  # its TLS handshake failed
    said: str = ""  # the last message that its daemon logs twice, hashed, and when that was
    said_at: int = 0
    lost: str = ""  # how it broke, while it is not known whether that is another offence


@dataclass(slots=True)
class Message:
    """One queue id: whose message it is, and what happened to it."""

    client: str
    at: int = 0  # when it was taken
    login: bool = False
    judged: int = 0  # when, 0 for not yet
    accepted: bool = False
    sender: str = ""  # hashed, as its Message-ID is
    mid: str = ""
    dmarc_failed: bool = False


# dataclasses.astuple copies deeply, and costs thirty times as much with every commit.
_SESSION = attrgetter(*(field.name for field in fields(Session)))
_MESSAGE = attrgetter(*(field.name for field in fields(Message)))
_NUMBERS = attrgetter(*(field.name for field in fields(Attempts) if field.name != "asked"))


def _attempts(value: Attempts) -> tuple[Any, ...]:
    return (*_NUMBERS(value), dict(value.asked))


def _itself(value: Any) -> Any:
    return value


def _alone(value: Any) -> tuple[Any, ...]:
    return (value,)


def _copied(value: list[list[Any]]) -> tuple[Any, ...]:
    return ([list(one) for one in value],)


def _plain(limit: int, instant: Any = attrgetter("at"), fields: Any = _alone) -> Table[Any]:
    return PlainTable(limit, instant, fields)


_TABLES: dict[str, Callable[..., Any]] = {
    **{"sessions": Session, "messages": Message, "gone": _itself, "mids": _itself},
    **{"owed": _itself, "letters": _itself, "attempts": Attempts},
}
"""What a state holds, and what makes a value of its fields."""

_OWING = 1_000  # messages that may owe offences


class State:
    """What is remembered between lines, oldest first out; `key` is what envelope addresses are hashed with."""

    def __init__(self, key: bytes = b"") -> None:
        self.key = key
        compiled = table.compiled
        self.sessions: Table[Session]
        self.messages: Table[Message]
        self.gone: Table[int]  # queue ids whose message was removed, and when
        self.mids: Table[list[str]]  # Message-ID, hashed: client, "" for two; queue id
        self.attempts: Table[Attempts]  # of a session, or of a client at a server
        if compiled is not None:
            self.sessions = compiled.Table(0, LIMIT, Session, _SESSION)
            self.messages = compiled.Table(1, LIMIT, Message, _MESSAGE)
            self.gone, self.mids = compiled.Table(2, LIMIT, None, None), compiled.Table(3, LIMIT, None, None)
            self.attempts = compiled.Table(4, LIMIT, Attempts, _attempts)
        else:
            self.sessions, self.messages = _plain(LIMIT, fields=_SESSION), _plain(LIMIT, fields=_MESSAGE)
            self.gone, self.mids = _plain(LIMIT, _itself), _plain(LIMIT)
            self.attempts = _plain(LIMIT, fields=_attempts)
        # Queue or Message-ID: offences without client; client and letter: when who greylisted it last.
        self.owed: PlainTable[list[list[Any]]] = PlainTable(_OWING, itemgetter(0), _copied)
        self.letters: PlainTable[list[Any]] = PlainTable(LIMIT, itemgetter(0), _alone)

    def dump(self) -> dict[str, Any]:
        """Give the state as JSON can hold it, and as it is now: it is stored while more is being read."""
        return {name: getattr(self, name).rows() for name in _TABLES}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], key: bytes = b"") -> State:
        """Take what `dump` gave."""
        state = cls(key)
        for name, made in _TABLES.items():
            known = getattr(state, name)
            for key_, *values in dumped[name]:
                known.keep(key_, made(*values))
        return state

    def hash(self, *texts: str) -> str:
        """Hash what nobody is to read in the database: 32 hex digits, the same for the same key and texts."""
        text = "\0".join(texts).lower().encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self.key).hexdigest()

    def mid(self, mid: str) -> str:
        """Hash a Message-ID, for short."""
        return self.hash(mid)[:16]

    def find(self, key: str, client: str) -> Session | None:
        """Give the client's session; None when it is not known, or is another client's by the same name."""
        session = self.sessions.get(key)
        return session if session is not None and session.client == client else None

    def open(self, key: str, client: str, at: int) -> Session:
        """Give the client's session, a new one if need be; a line without session gets one that is not kept."""
        session = self.find(key, client)
        return session if session is not None else self.begin(key, client, at, whole=False)

    def begin(self, key: str, client: str, at: int, *, whole: bool = True) -> Session:
        """Begin a session, of which a line before may have told nothing (`whole`)."""
        session = Session(client, at, whole)
        if key:
            self.sessions.keep(key, session)
            self.sessions.drop_before(at - REUSED)
        return session

    def take(self, queue: str, client: str, at: int, login: bool = False) -> Message:
        """Note whose message a queue id names from now on."""
        message = Message(client, at, login)
        self.forget(queue)
        self.messages.keep(queue, message)
        self.messages.drop_before(at - REUSED)
        return message

    def attempts_of(self, key: str, at: int) -> Attempts:
        """Give the failed logins of a session, or of a client at a server, as far as lines told of them."""
        attempts = self.attempts.get(key) or Attempts(at)
        self.attempts.keep(key, attempts)
        self.attempts.drop_before(at - REUSED)
        return attempts

    def remove(self, queue: str, at: int) -> None:
        """Forget a message, though not at once: what other components tell of it may be logged a little later."""
        if queue in self.messages:
            self.gone.keep(queue, at)
        while (oldest := self.gone.first()) is not None and abs(at - self.gone.get(oldest, at)) >= LINGER:
            self.forget(oldest)

    def forget(self, queue: str) -> None:
        """Forget a message, and its Message-ID with it."""
        self.gone.pop(queue, None)
        message = self.messages.pop(queue, None)
        if message is not None and self.mids.get(message.mid, ("", ""))[1] == queue:
            self.mids.pop(message.mid, None)

    def find_message(self, queue: str, at: int) -> Message | None:
        """Give the message that a queue id names at that instant; None when it is gone, or so old that the id may be
        another message's by now.
        """
        message = self.messages.get(queue)
        if message is None or abs(at - message.at) >= REUSED or abs(at - self.gone.get(queue, at)) >= LINGER:
            return None
        return message

    def note_mid(self, mid: str, queue: str, message: Message) -> bool:
        """Note whose a Message-ID is, given its hash; tell whether it names a client that may be held to account.

        A filter on this machine that hands the message back in is not another client.
        """
        if is_reserved(message.client):
            return False
        known = self.mids.get(mid)
        client = "" if message.login or (known is not None and known[0] != message.client) else message.client
        self.mids.keep(mid, [client, queue])
        message.mid = mid
        return bool(client)

    def name(self, session: str, queue: str, mid: str, at: int) -> tuple[str, str]:
        """Give client and queue id of a line that names no client; "" when nothing tells, or two are meant.

        A Message-ID tells only while the message that had it is here: later, anybody may use it again.
        """
        known = self.sessions.get(session) if session else None
        if known is not None:
            return known.client, queue
        message = self.find_message(queue, at) if queue else None
        if message is not None:
            return message.client, queue
        client, found = self.mids.get(self.mid(mid), ("", "")) if mid else ("", "")
        if not client or self.find_message(found, at) is None:
            return "", queue
        return client, queue or found
