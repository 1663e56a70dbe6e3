"""What daemons say in, one log out: every line in order of time, as Debian 12 writes mail.log.

Instants are microseconds after START. Chance comes from `Dice`, which gives the same numbers with every Python.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from repzone.reasons import Category

START = datetime(2026, 3, 1, 18, tzinfo=UTC)
END = datetime(2026, 3, 5, 18, tzinfo=UTC)  # the last line's instant

HOST = "mx1"
DOMAIN = "example.com"
OUR_ADDRESS = "192.0.2.1"
SECOND = 1_000_000

Service = Literal["smtpd", "submission/smtpd", "smtps/smtpd", "10025/smtpd"]

# The order in which Postfix counts them at the end of a session.
COMMANDS = (
    *("helo", "ehlo", "xforward", "starttls", "auth", "mail", "rcpt", "data", "rset", "noop", "vrfy", "quit"),
    "unknown",
)

T = TypeVar("T")


class Dice:
    """Chance from a seed. Only `random()` is used: Python promises the same numbers for ever for that alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        """Give a whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, things: Sequence[T]) -> T:
        """Give one of them."""
        return things[self.number(0, len(things) - 1)]

    def text(self, letters: str, length: int) -> str:
        """Give that many of the letters."""
        return "".join(self.pick(letters) for _ in range(length))


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects: the address, and the name that Postfix found for it."""

    address: str
    name: str = "unknown"

    def __str__(self) -> str:
        return f"{self.name}[{self.address}]"


@dataclass(frozen=True, slots=True)
class Offence:
    """What a line was written to show: `points` by the shipped policy, at a whole second after START."""

    at: int
    address: str
    category: Category
    points: int


@dataclass(slots=True)
class Session:
    """One client's connection to one smtpd process: each `say` is a moment later."""

    log: Log
    service: Service
    client: Client
    at: int
    lines: list[tuple[int, str]] = field(default_factory=list)
    good: dict[str, int] = field(default_factory=dict)
    all: dict[str, int] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Write a line, 20 to 400 ms after the one before."""
        self.at += self.log.dice.number(20_000, 400_000)
        self.lines.append((self.at, text))

    def command(self, name: str, *, ok: bool = True) -> None:
        """Count a command of the client."""
        self.all[name] = self.all.get(name, 0) + 1
        self.good[name] = self.good.get(name, 0) + ok

    def offend(self, text: str, category: Category, points: int) -> None:
        """Write a line that is an offence."""
        self.say(text)
        self.log.note(self.at, self.client, category, points)

    def end(self) -> None:
        """Write the line that counts the session's commands."""
        pairs = [(name, self.good[name], self.all[name]) for name in COMMANDS if name in self.all]
        pairs.append(("commands", sum(self.good.values()), sum(self.all.values())))
        counts = " ".join(f"{name}={all_}" if good == all_ else f"{name}={good}/{all_}" for name, good, all_ in pairs)
        self.say(f"disconnect from {self.client} {counts}")


class Log:
    """The lines so far, in any order, and what they are to show."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice(seed)
        self.offences: list[Offence] = []
        self._lines: list[tuple[int, str, str]] = []
        self._sessions: list[Session] = []

    def add(self, at: int, program: str, text: str) -> None:
        """Write a line of a program, `postfix/qmgr[1201]`."""
        self._lines.append((at, program, text))

    def note(self, at: int, client: Client, category: Category, points: int) -> None:
        """Remember what a line is to show."""
        self.offences.append(Offence(at // SECOND, client.address, category, points))

    def session(self, at: int, client: Client, service: Service = "smtpd") -> Session:
        """Open a session; its process is chosen when the log is written."""
        session = Session(self, service, client, at)
        self._sessions.append(session)
        session.say(f"connect from {client}")
        return session

    def queue_id(self) -> str:
        """Give a short queue id."""
        return self.dice.text("0123456789ABCDEF", 10)

    def to_bytes(self) -> bytes:
        """Give the whole log, each line ended by a newline."""
        lines = self._lines + self._with_processes()
        lines.sort(key=lambda line: line[0])
        return "".join(f"{_stamp(at)} {HOST} {program}: {text}\n" for at, program, text in lines).encode()

    def _with_processes(self) -> list[tuple[int, str, str]]:
        """Give each session the first process that is free: one serves one client at a time, and 100 at most."""
        lines = []
        free: dict[Service, list[tuple[int, int, int]]] = {}  # until when busy, process, sessions served
        process = 2000
        for session in sorted(self._sessions, key=lambda session: session.lines[0][0]):
            begin, end = session.lines[0][0], session.lines[-1][0]
            pool = free.setdefault(session.service, [])
            found = next((one for one in pool if begin - 100 * SECOND < one[0] < begin and one[2] < 100), None)
            if found is None:
                process += 1 + process % 3
                found = (0, process, 0)
            else:
                pool.remove(found)
            pool.append((end, found[1], found[2] + 1))
            program = f"postfix/{session.service}[{found[1]}]"
            lines += [(at, program, text) for at, text in session.lines]
        return lines


def _stamp(at: int) -> str:
    return (START + timedelta(microseconds=at)).isoformat(timespec="microseconds")
