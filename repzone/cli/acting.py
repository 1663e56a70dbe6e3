"""A configuration in, one transaction out in which an operator acts; the options and words that all acts share."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from repzone.cli.database import open_database
from repzone.cli.options import author
from repzone.cli.output import plain
from repzone.cli.wall import clock
from repzone.config import Settings, load
from repzone.model import Client
from repzone.reasons import Category
from repzone.store.acts import Act
from repzone.store.engine import Connection, answering
from repzone.store.locks import lock_acts
from repzone.store.policies import load_rulebook

BecauseOption = Annotated[
    str, typer.Option("--because", "--reason", metavar="TEXT", help="Why, for `repzone audit`.", show_default=False)
]

SHOWN = 10
"""So many clients are named where there are more."""


@contextmanager
def acting(config: Path | None) -> Iterator[tuple[Connection, int]]:
    """Give a transaction in which nobody else acts, and the present second; what fails in it changes nothing."""
    with open_database(load(config), clock) as engine, answering(), engine.begin() as connection:
        lock_acts(connection)
        yield connection, clock()


@contextmanager
def looking(settings: Settings) -> Iterator[tuple[Connection, int]]:
    """Give a connection that nothing is changed with, and the present second."""
    with open_database(settings, clock) as engine, answering(), engine.connect() as connection:
        yield connection, clock()


def act(now: int, verb: str, subject: object, reason: str) -> Act:
    """Make the act of whoever runs this command."""
    return Act(now, author(), verb, str(subject), reason)


def keys_of(connection: Connection, client: Client) -> frozenset[Client]:
    """Give what an address may be listed as: one key, but for IPv6 by every policy that there was."""
    versions = load_rulebook(connection).versions
    return frozenset(client.key(version.policy.ipv6_prefix) for version in versions)


def by_category(counts: Mapping[Category, int]) -> str:
    """Write how many of each category: `errors 3, spam 1`."""
    return ", ".join(f"{category} {count:,}" for category, count in counts.items())


def some(clients: Sequence[object], total: int) -> str:
    """Name the first few of many."""
    named = ", ".join(map(str, clients[:SHOWN]))
    return named + (f" and {total - len(clients[:SHOWN]):,} more" if total > len(clients[:SHOWN]) else "")


def said(words: str) -> str:
    """Write the operator's words behind a sentence, if there are any."""
    return f": {plain(words)}" if words else ""
