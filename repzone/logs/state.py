"""What the reading of one log remembers between lines: sessions, messages, and who wrote what, bounded.

`dump` and `load` give and take it as JSON, so that a log may be cut between any two lines and gives the same events.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from repzone.logs.attempts import Attempts
from repzone.logs.fact import parse_client
from repzone.model import Exemptions

LIMIT = 5_000  # of sessions, of messages, of each of the others
LINGER = 60
"""Seconds that a removed message is still known, and that a verdict waits for the line that names its Message-ID."""

REUSED = 3_600
"""Seconds after which a queue id, or a session's, may name another one."""


LOOPBACK = {"127.0.0.1", "::1"}
"""What this machine calls itself."""

V = TypeVar("V")
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
    """One queue id: whose message it is, when it was judged (0: not yet), whether it was taken, its sender (hashed)."""

    client: str
    at: int = 0  # when it was taken
    login: bool = False
    judged: int = 0
    accepted: bool = False
    sender: str = ""
    mid: str = ""  # its Message-ID, hashed


# dataclasses.astuple copies deeply, and costs thirty times as much with every commit.
_SESSION = attrgetter(*(field.name for field in fields(Session)))
_MESSAGE = attrgetter(*(field.name for field in fields(Message)))
_ATTEMPTS = attrgetter(*(field.name for field in fields(Attempts)))


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
        self.attempts: OrderedDict[str, Attempts] = OrderedDict()  # of a session, or of a client at a server

    def dump(self) -> dict[str, Any]:
        """Give the state as JSON can hold it."""
        return {
            "sessions": [[key, *_SESSION(session)] for key, session in self.sessions.items()],
            "messages": [[key, *_MESSAGE(message)] for key, message in self.messages.items()],
            "gone": list(self.gone.items()),
            "mids": list(self.mids.items()),
            "owed": list(self.owed.items()),
            "letters": list(self.letters.items()),
            "attempts": [[key, *_ATTEMPTS(attempts)] for key, attempts in self.attempts.items()],
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
        state.attempts.update((key, Attempts(*values)) for key, *values in dumped["attempts"])
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
            keep(self.sessions, key, session)
            drop_before(self.sessions, at - REUSED)
        return session

    def take(self, queue: str, client: str, at: int, login: bool = False) -> Message:
        """Note whose message a queue id names from now on."""
        message = Message(client, at, login)
        self.forget(queue)
        keep(self.messages, queue, message)
        drop_before(self.messages, at - REUSED)
        return message

    def attempts_of(self, key: str, at: int) -> Attempts:
        """Give the failed logins of a session, or of a client at a server, as far as lines told of them."""
        attempts = self.attempts.get(key) or Attempts(at)
        keep(self.attempts, key, attempts)
        drop_before(self.attempts, at - REUSED)
        return attempts

    def remove(self, queue: str, at: int) -> None:
        """Forget a message, though not at once: what other components tell of it may be logged a little later."""
        gone = self.gone
        if queue in self.messages:
            keep(gone, queue, at)
        while gone:
            queue = next(iter(gone))
            if abs(at - gone[queue]) < LINGER:
                break
            self.forget(queue)

    def forget(self, queue: str) -> None:
        """Forget a message, and its Message-ID with it."""
        self.gone.pop(queue, None)
        message = self.messages.pop(queue, None)
        if message is not None and self.mids.get(message.mid, ("", ""))[1] == queue:
            del self.mids[message.mid]

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
        keep(self.mids, mid, [client, queue])
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


def drop_before(known: OrderedDict[str, V], at: int, instant: Callable[[V], int] = attrgetter("at")) -> None:
    """Take out the values in front that are from before `at`: nobody asks for them any more."""
    while known and instant(next(iter(known.values()))) < at:
        known.popitem(last=False)


def keep(known: OrderedDict[str, V], key: str, value: V, limit: int = LIMIT) -> None:
    """Put a value behind all others; when there are too many, the oldest goes."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > limit:
        known.popitem(last=False)
