"""Failed logins as lines tell them in, how many of them no line before has told out.

A service (imap-login, smtpd) tells of a login, and so may each password database that it asked: databases are asked
in turn, within seconds; the service may tell only when its client leaves. However the lines are ordered, as many count
as the services told together, or the databases if that is more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_TURN = 5  # seconds within which the databases that are asked in turn tell of one login
_LEAVES = 200  # seconds that a client may stay behind its last login; Dovecot waits for 180


@dataclass(slots=True)
class Attempts:
    """Failed logins of one session, or of one client at one server."""

    at: int = 0
    services: int = 0  # how many the services told
    databases: int = 0  # how many the databases told, each counted once
    asked_at: int = 0
    asked: dict[str, int] = field(default_factory=dict)  # what each database told in this turn

    def add(self, database: str, count: int, at: int) -> int:
        """Add what a line told, by a service if it names no database; give how many of it are new."""
        if abs(at - self.at) > _LEAVES:
            self.services = self.databases = 0
        before = max(self.services, self.databases)
        if database:
            self._ask(database, count, at)
        else:
            self.services += count
        self.at = at
        return max(self.services, self.databases) - before

    def _ask(self, database: str, count: int, at: int) -> None:
        if abs(at - self.asked_at) > _TURN:
            self.asked = {}
        before = max(self.asked.values(), default=0)
        self.asked[database] = self.asked.get(database, 0) + count
        self.databases += max(self.asked.values()) - before
        self.asked_at = at
