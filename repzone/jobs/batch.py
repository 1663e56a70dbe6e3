"""What lines told, gathered for one transaction, in; the same in the database out, then what follows from silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from repzone.clock import Clock
from repzone.jobs.reading import Told
from repzone.model import Event, Exemptions, Hit, Traffic, Wait
from repzone.store.engine import Connection, Engine, answering
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.exemptions import load_exemptions
from repzone.store.locks import hold_history, hold_rules
from repzone.store.policies import load_rulebook
from repzone.store.traffic import add_traffic
from repzone.store.waits import add_waits, settle_waits

log = structlog.get_logger()

EVENTS = 50_000
"""Events of one transaction at most, give or take those of one block of lines."""

LINES = 200_000
"""Lines of one transaction at most: so much is read again after a crash."""

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""The years 1990 to 2099: a stamp outside is a fault of the line, and would make a day partition of its own."""


@dataclass(slots=True)
class Batch:
    """What one transaction is to store; stamps that no mail log can have are counted and left out."""

    events: list[Event] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    lines: int = 0
    absurd: int = 0

    def add(self, told: Iterable[Told]) -> None:
        """Take what a line told."""
        for what in told:
            if not EARLIEST <= what.at < LATEST:
                self.absurd += 1
            elif isinstance(what, Event):
                self.events.append(what)
            elif isinstance(what, Traffic):
                self.traffic.append(what)
            elif isinstance(what, Wait):
                self.waits.append(what)
            else:
                self.hits.append(what)

    @property
    def full(self) -> bool:
        """Tell whether it is time to store it, however much more there is to read."""
        return len(self.events) + len(self.hits) + len(self.waits) >= EVENTS or self.lines >= LINES

    @property
    def urgent(self) -> bool:
        """Tell whether somebody may have to be listed for it."""
        return bool(self.events)


def store(
    connection: Connection,
    source_id: int,
    batch: Batch,
    clock: Clock,
    keep: Callable[[Connection], None],
) -> Counter[str]:
    """Store a batch in one transaction, with what `keep` adds to it; give the new offences by category."""
    with connection.begin():
        now = clock()
        hold_history(connection, [*(event.at for event in batch.events), *(hit.at for hit in batch.hits)], now)
        if batch.events:
            add_days(connection.engine, {event.at for event in batch.events})
        hold_rules(connection)
        rulebook, exemptions = load_rulebook(connection), Exemptions(load_exemptions(connection))
        keep(connection)
        new = add_events(connection, source_id, batch.events, rulebook, exemptions, now)
        add_hits(connection, batch.hits, rulebook)
        add_traffic(connection, batch.traffic, rulebook, exemptions)
        add_waits(connection, batch.waits, exemptions)
    return Counter(new)


NO_SOURCE = 0
"""The source of events that no log told, but the silence of all: numbers of sources begin at 1."""


def settle(engine: Engine, clock: Clock, greylist_wait: int, going: Callable[[], bool] = lambda: True) -> int:
    """Store what became of letters that never came again, after `greylist_wait` seconds of log time; give how many.

    Call it when every log that is to be read has been: only then is it known that nobody else took them. It ends early
    when `going` tells so.
    """
    number, more = 0, True
    with answering():
        while more and going():
            with engine.begin() as connection:
                now = clock()
                hold_rules(connection)
                failed, more = settle_waits(connection, greylist_wait, now)
                if failed:
                    hold_history(connection, (event.at for event in failed), now)
                    add_days(engine, {event.at for event in failed})
                    rulebook, exemptions = load_rulebook(connection), Exemptions(load_exemptions(connection))
                    add_events(connection, NO_SOURCE, failed, rulebook, exemptions, now)
            number += len(failed)
    if number:
        log.info("settle.done", letters=number)
    return number
