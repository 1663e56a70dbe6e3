"""Pending clients in, listings out: gather the cases, ask the policy, store what it decides.

Each batch is one transaction, so a run that ends in the middle loses nothing and decides nothing twice.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from repzone.clock import Clock
from repzone.model import Exemptions
from repzone.store.engine import Connection, Engine, answering
from repzone.store.exemptions import load_exemptions
from repzone.store.listings import add_decisions, load_cases, take_pending
from repzone.store.locks import hold_rules
from repzone.store.policies import load_rulebook

log = structlog.get_logger()

BATCH = 1000
"""Clients of one transaction: so many at most wait for it when they offend again."""


@dataclass(slots=True)
class Outcome:
    """What a run decided: clients looked at (one for each category), new listings by category, how many of these are
    held by the brake, and how many have ended already; clients that clean mail spared.
    """

    clients: int = 0
    listings: Counter[str] = field(default_factory=Counter)
    held: int = 0
    ended: int = 0
    spared: int = 0


def run(
    engine: Engine,
    clock: Clock,
    *,
    dry_run: bool = False,
    most: int = BATCH,
    progress: Callable[[int], None] = lambda clients: None,
) -> Outcome:
    """Decide for every client that is due; with `dry_run` nothing is stored.

    One transaction takes `most` clients; `progress` is called after each with the number looked at so far.
    """
    outcome = Outcome()
    with answering():
        if dry_run:
            with engine.connect() as connection:  # never committed
                while _batch(connection, clock(), outcome, most, dry_run):
                    progress(outcome.clients)
        else:
            while _committed_batch(engine, clock(), outcome, most):
                progress(outcome.clients)
    log.info(
        "calculate.done",
        **{"clients": outcome.clients, "listings": outcome.listings.total(), "held": outcome.held},
        **{"spared": outcome.spared, "dry_run": dry_run},
    )
    if outcome.held:
        log.warning("calculate.braked", held=outcome.held, see="repzone held list")
    return outcome


def _committed_batch(engine: Engine, now: int, outcome: Outcome, most: int) -> bool:
    with engine.begin() as connection:
        return _batch(connection, now, outcome, most, dry_run=False)


def _batch(connection: Connection, now: int, outcome: Outcome, most: int, dry_run: bool) -> bool:
    """Decide for some clients; False when none was due."""
    if not dry_run:  # which nobody has to wait for
        hold_rules(connection)
    taken = take_pending(connection, now, most)
    if not taken:
        return False
    rulebook, exemptions = load_rulebook(connection), Exemptions(load_exemptions(connection))
    cases = load_cases(connection, taken, rulebook, exemptions, now)
    judged = [(case, case.judge(rulebook)) for case in cases]
    if not dry_run:
        outcome.held += add_decisions(connection, judged, rulebook.at(now).policy.brake_listings, now)
    outcome.clients += len(cases)
    outcome.listings.update(case.category for case, judgement in judged for _ in judgement.listings)
    outcome.ended += sum(one.expires <= now for _, judgement in judged for one in judgement.listings)
    outcome.spared += sum(bool(judgement.spared) for _, judgement in judged)
    return True
