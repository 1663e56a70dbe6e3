"""Log lines, the ingestion of them, and what it left in the database: what the tests of this folder share."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from sqlalchemy import text

from repzone.jobs.ingest import Ingestion
from repzone.logs.join import OwnZones
from repzone.logs.jsonl import JsonlReader
from repzone.logs.reader import Reader
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Engine
from repzone.store.find import find_listings
from repzone.store.policies import load_policy

NOW = 1_790_000_000
OWN = OwnZones(("bl.example.net",), ("https://postmaster.example.net/?ip={client}",))


def ingestion(engine: Engine, *, jsonl: bool = False, dry_run: bool = False, wait: int = 1) -> Ingestion:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    make = (lambda state: JsonlReader()) if jsonl else (lambda state: Reader(UTC, OWN, state))
    return Ingestion(engine, lambda: NOW, "mx1", make, dry_run=dry_run, wait=wait)


def stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def reject(at: int, client: str = "192.0.2.7") -> str:
    """Give the line of one unknown recipient."""
    return (
        f"{stamp(at)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[{client}]: 550 5.1.1 <a@example.net>: "
        "Recipient address rejected: User unknown in local recipient table; from=<b@example.org> to=<a@example.net> "
        "proto=ESMTP helo=<example.org>\n"
    )


def hit(at: int, client: str = "192.0.2.7") -> str:
    """Give the line of one refusal that our own zone caused."""
    return (
        f"{stamp(at)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[{client}]: 554 5.7.1 Service "
        f"unavailable; Client host [{client}] blocked using bl.example.net; Too many errors from your IP; "
        "from=<b@example.org> to=<a@example.net> proto=ESMTP helo=<example.org>\n"
    )


def greylisted(at: int, sender: str, client: str = "192.0.2.9") -> str:
    """Give the line of one letter that is to come again."""
    return (
        f"{stamp(at)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[{client}]: 450 4.2.0 <a@example.net>: "
        f"Recipient address rejected: Greylisted; from=<{sender}> to=<a@example.net> proto=ESMTP helo=<example.org>\n"
    )


def delivered(at: int, sender: str, client: str = "192.0.2.9") -> str:
    """Give the lines of one letter that gets through."""
    postfix = f"{stamp(at)} mx2 postfix"
    return (
        f"{postfix}/smtpd[99]: 3F1A01: client=unknown[{client}]\n"
        f"{postfix}/qmgr[90]: 3F1A01: from=<{sender}>, size=700, nrcpt=1 (queue active)\n"
        f"{postfix}/local[91]: 3F1A01: to=<a@example.net>, relay=local, delay=1, dsn=2.0.0, status=sent (mailbox)\n"
    )


def failed_login(at: int, number: int, client: str = "192.0.2.8") -> list[str]:
    """Give the lines of one failed login, which three of them tell."""
    who = f"{stamp(at)} mx1 postfix/smtpd[{number}]:"
    return [
        f"{who} connect from unknown[{client}]\n",
        f"{who} warning: unknown[{client}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6\n",
        f"{who} lost connection after AUTH from unknown[{client}]\n",
        f"{who} disconnect from unknown[{client}] ehlo=1 auth=0/1 commands=1/2\n",
    ]


def stored(engine: Engine) -> dict[str, int]:
    """Give the offences that are stored, by reason."""
    query = "SELECT reason::text, sum(count)::integer FROM event GROUP BY reason ORDER BY reason"
    with engine.connect() as connection:
        return {reason: count for reason, count in connection.execute(text(query))}


def history(seed: int, times: int = 60) -> str:
    """Give a log of three hours in which several clients offend at random, so many times."""
    dice = random.Random(seed)
    lines: list[tuple[int, str]] = []
    for number in range(times):
        at = NOW - dice.randrange(3 * 3600)
        if dice.random() < 0.3:
            lines += [(at, line) for line in failed_login(at, 100 + number, f"192.0.2.{dice.randrange(2)}")]
        else:
            lines += [(at, reject(at, f"192.0.2.{dice.randrange(3)}"))] * dice.randrange(1, 5)
    return "".join(line for _, line in sorted(lines, key=lambda pair: pair[0]))


def listings(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        found = find_listings(connection, NOW, everything=True)
    return sorted(
        (str(one.client), one.category, one.began, one.expires, one.offence, dict(one.reasons)) for one in found
    )
