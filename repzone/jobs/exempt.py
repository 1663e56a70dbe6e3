"""A new exemption, or configured own networks, in, the listings inside lifted, step by step, out.

A network may hold a great many. Each step is one short transaction, so that ingestion and calculators, who want the
serials too, wait for no more than that. The exemption is in force from the first one: no look-up waits for the last.
"""

from collections.abc import Callable, Iterable, Mapping

from repzone.model import Client
from repzone.reasons import Category
from repzone.store.acts import Act, forget_in_act
from repzone.store.engine import Connection, Engine, answering
from repzone.store.exemptions import LIFTING, Exempted, add_exemptions, find_inside, lift, store_own_networks

Progress = Callable[[int, int], None]
"""Is told how many listings have been lifted, and how many there are."""

STEP = 2000
"""So many listings are lifted in one transaction."""


def configure(engine: Engine, networks: Iterable[Client], now: int) -> None:
    """Exempt exactly these own networks, and lift what lies inside new ones, or what a killed command left of that."""
    with answering(), engine.begin() as connection:
        done = store_own_networks(connection, networks, now, STEP)
    if done.left and done.act is not None:
        go_on(engine, done, now)
        with answering(), engine.begin() as connection:
            forget_in_act(connection, done.act, LIFTING)


def begin(connection: Connection, networks: Mapping[Client, str], ended: int | None, act: Act) -> Exempted:
    """Exempt networks, and lift the first of the listings inside, in the caller's transaction."""
    return add_exemptions(connection, networks, ended, act, STEP)


def go_on(
    engine: Engine, done: Exempted, now: int, progress: Progress = lambda lifted, total: None
) -> tuple[tuple[Client, Category], ...]:
    """Lift what is left, as from `now`, when the exemption was made; gives all that were lifted, by client."""
    if not done.left:
        return done.lifted
    with answering(), engine.connect() as connection:
        inside = find_inside(connection, done.left, now)
    lifted = list(done.lifted)
    total = len(lifted) + len(inside)
    for first in range(0, len(inside), STEP):
        progress(len(lifted), total)
        with answering(), engine.begin() as connection:
            lifted += lift(connection, inside[first : first + STEP], now, done.act)
    return tuple(sorted(lifted))
