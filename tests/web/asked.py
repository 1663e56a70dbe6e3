"""A database and a configuration in, the page for blocked senders to be asked in this process out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from repzone.config import Settings
from repzone.model import Client, Event, Exemption, Listing
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Engine
from repzone.store.manual import ban
from repzone.web.app import PublicPage
from repzone.web.knowledge import Knowledge
from repzone.web.site import build
from tests.store.acts import act, add
from tests.store.samples import DAY, HOUR, NOW, add_exemptions, add_listings, add_policy, execute
from tests.web.site_of import settings

C = Client.from_text
SPAM, BOTH, MANUAL, ENDED, EXEMPT, POINTS, NOTHING = (f"192.0.2.{n}" for n in range(1, 8))
"""Who is blocked for spam, for two things, by hand; was blocked; is exempt; has points; never did anything."""

ASKER = ("203.0.113.9", 4711)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
OPERATOR = """
[operator]
name = "Example & Mail"
contact = "postmaster@example.net"
abuse = "https://www.example.net/abuse"
"""


def fill(engine: Engine) -> None:
    """Store how it stands with the addresses above at NOW."""
    add_policy(engine, SHIPPED)
    spam = {"spam_rejected": 2, "spamtrap": 1}
    add_listings(
        engine,
        Listing(C(SPAM), "spam", 1, NOW - 30 * DAY, NOW - 30 * DAY + 3 * HOUR, "expired", {"spam_rejected": 3}),
        Listing(C(SPAM), "spam", 2, NOW - HOUR, NOW + 5 * HOUR, "active", spam),
        Listing(C(BOTH), "errors", 1, NOW - HOUR, NOW + HOUR, "active", {"unknown_recipient": 10}),
        Listing(C(BOTH), "auth", 1, NOW - HOUR, NOW + 90, "active", {"auth_failed": 10}),
        Listing(C(ENDED), "virus", 1, NOW - 2 * DAY, NOW - DAY, "expired", {"virus_found": 1}),
        Listing(C(EXEMPT), "errors", 1, NOW - HOUR, NOW + HOUR, "active", {"unknown_recipient": 10}),
        Listing(C("2001:db8:1:2::/64"), "spam", 1, NOW - HOUR, NOW + HOUR, "active", spam),
        points=3,
    )
    execute(engine, "INSERT INTO change_serial (serial) SELECT 0 WHERE NOT EXISTS (SELECT FROM change_serial)")
    add_exemptions(engine, Exemption(C(EXEMPT), NOW - DAY, comment=HOSTILE, author=HOSTILE))
    with engine.begin() as connection:
        ban(connection, C(MANUAL), C(MANUAL), NOW + HOUR, act(NOW - 60, reason=HOSTILE))
    add(engine, Event(NOW - 60, C(POINTS), "spam_rejected", 2, "amavis", f"<victim@example.net> {HOSTILE}"))


@contextmanager
def asking(
    engine: Engine | None, folder: Path, more: str = OPERATOR, now: int = NOW, asker: tuple[str, int] = ASKER
) -> Iterator[TestClient]:
    """Give a browser of the page at an instant; without a database it has the snapshot in `folder`, if there is one."""
    made: Settings = settings(folder, more)
    site = build(made)
    knowledge = Knowledge(lambda: engine, folder, time.monotonic)
    page = PublicPage(lambda: site, knowledge, lambda: now, made.trusted_proxies)
    with TestClient(page.app(), follow_redirects=False, client=asker, raise_server_exceptions=False) as browser:
        yield browser
