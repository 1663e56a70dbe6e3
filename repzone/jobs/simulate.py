"""Another policy and a time that has passed in, what would have been different out. Nothing is written.

The listings that there are stand on one side, those of the replay on the other; both have the listings that began
before that time, and what was done by hand.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple

from repzone.model import Client, Exemptions
from repzone.policy.calculator import Decision, Judgement
from repzone.policy.replay import replay
from repzone.policy.rules import Policy, Rulebook, Version
from repzone.reasons import COUNTED, Category
from repzone.store.engine import Connection, Engine, answering
from repzone.store.exemptions import load_exemptions
from repzone.store.policies import load_rulebook
from repzone.store.replay import Past, Question, Stored, count_events, count_spared, keep_days, load_pasts
from repzone.store.retention import find_events_from

SIDES = ("old", "new")
"""What there is, and what would have been."""

Kind = Literal["newly", "more", "longer", "same", "shorter", "fewer", "never"]
KINDS: tuple[Kind, ...] = ("newly", "more", "longer", "same", "shorter", "fewer", "never")
"""What becomes of a client: newly listed; more listings; as many for a longer time; and so on."""

MOST = 20
"""So many of the clients that change most are named."""

POINTS = 120
"""Instants that active listings are counted for."""

Progress = Callable[[int, int], None]
"""Is told how many events are done, and of how many; those that cannot list anybody are never done."""


class Lasted(NamedTuple):
    """A listing as the comparison sees it: when it began and ended."""

    began: int
    expires: int


@dataclass(slots=True)
class Tally:
    """Of one side: listings that began, seconds listed, clients listed, of these the ones that delivered clean mail,
    clients spared, and shadow listings, which nobody is listed by.
    """

    listings: int = 0
    seconds: int = 0
    clients: int = 0
    delivered: int = 0
    spared: int = 0
    shadow: int = 0

    def add(self, listings: int, seconds: int) -> None:
        """Count the listings of one client and how long they lasted."""
        self.listings += listings
        self.seconds += seconds


@dataclass(slots=True)
class Compared:
    """One client on both sides."""

    client: Client
    old: Tally = field(default_factory=Tally)
    new: Tally = field(default_factory=Tally)
    delivered: bool = False

    @property
    def kind(self) -> Kind:
        """Give what becomes of the client."""
        if not self.old.seconds or not self.new.seconds:
            return "same" if self.old.seconds == self.new.seconds else "newly" if self.new.seconds else "never"
        if self.old.listings != self.new.listings:
            return "more" if self.new.listings > self.old.listings else "fewer"
        if self.old.seconds != self.new.seconds:
            return "longer" if self.new.seconds > self.old.seconds else "shorter"
        return "same"

    @property
    def change(self) -> tuple[int, int]:
        """Give how much changes, for sorting: seconds listed, then listings."""
        return abs(self.new.seconds - self.old.seconds), abs(self.new.listings - self.old.listings)


class Active:
    """The most listings that were active at once up to each of POINTS instants since the one before; the last: now."""

    def __init__(self, since: int, until: int) -> None:
        step = max(1, -(-(until - since) // (POINTS - 1)))
        self.instants = range(until - (until - since) // step * step, until + 1, step)
        self._since = since
        self._changes: Counter[int] = Counter()

    def add(self, one: Lasted) -> None:
        """Count a listing, which ends behind `since`."""
        self._changes[max(one.began, self._since)] += 1
        self._changes[one.expires] -= 1

    def counts(self) -> list[int]:
        """Give how many there were at most, for each instant."""
        changes = sorted(self._changes.items(), reverse=True)
        counts, active = [], 0
        for instant in self.instants:
            most = active
            while changes and changes[-1][0] <= instant:
                active += changes.pop()[1]
                most = max(most, active)
            counts.append(most)
        return counts


@dataclass(slots=True)
class Outcome:
    """What a simulation found, from `since` to `until`; `wanted` is when it was to begin.

    `events` are those of that time, `clients` how many clients there are of each kind, `most` those that change most.
    """

    wanted: int
    since: int
    until: int
    events: int
    tallies: dict[str, dict[Category, Tally]]
    active: dict[str, Active]
    kinds: Counter[Kind] = field(default_factory=Counter)
    most: list[Compared] = field(default_factory=list)


def run(
    engine: Engine,
    policy: Policy | None,
    since: int,
    now: int,
    progress: Progress = lambda done, events: None,
) -> Outcome:
    """Replay what happened since an instant as if this policy had come in force then.

    Without a policy it is the ones that were in force, each in its time: then nothing is different, unless events were
    purged. Where events were pruned it begins at the first instant for which all are there.
    """
    with answering(), engine.connect() as connection:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        keep_days(connection)
        question = make_question(connection, policy, since, now)
        return compare(connection, question, since, progress)


def make_question(connection: Connection, policy: Policy | None, since: int, now: int) -> Question:
    """Put the policy in force at an instant, or at the first one for which all events are there."""
    running = load_rulebook(connection)
    events_from = find_events_from(connection)
    if events_from is not None:
        rulebook = running if policy is None else take_over(running, policy, since)
        reach = max(rulebook.reach(category) for category in COUNTED)
        since = min(now, max(since, events_from + reach))
    return Question(since, now, running if policy is None else take_over(running, policy, since), running)


def take_over(running: Rulebook, policy: Policy, since: int) -> Rulebook:
    """Give the rulebook in which a policy is in force from an instant on, and before it what was."""
    before = [version for version in running.versions if version.effective_from < since]
    first = running.versions[0]
    number = 1 + max(version.id for version in running.versions)
    return Rulebook([*(before or [Version(first.id, 0, first.policy)]), Version(number, since, policy)])


def compare(connection: Connection, question: Question, wanted: int, progress: Progress) -> Outcome:
    """Replay, and put both sides beside each other."""
    since, until = question.since, question.until
    outcome = Outcome(
        *(wanted, since, until, count_events(connection, question)),
        tallies={side: {category: Tally() for category in COUNTED} for side in SIDES},
        active={side: Active(since, until) for side in SIDES},
    )
    for category, clients in count_spared(connection, since).items():
        outcome.tallies["old"][category].spared = clients
    exemptions = Exemptions(load_exemptions(connection))
    heap: list[tuple[tuple[int, int], int, Compared]] = []
    done = 0
    with closing(load_pasts(connection, question)) as pasts:
        for number, (client, of_client) in enumerate(groupby(pasts, key=attrgetter("history.client"))):
            compared = Compared(client)
            for past in of_client:
                judgement = replay(past.history, question.rulebook)
                _add(outcome, compared, past, judgement, exemptions)
                done += len(past.history.offences)
            progress(done, outcome.events)
            if compared.old.seconds or compared.new.seconds:
                outcome.kinds[compared.kind] += 1
            if any(compared.change):
                (heappush if len(heap) < MOST else heappushpop)(heap, (compared.change, -number, compared))
    outcome.most = [compared for _, _, compared in sorted(heap, reverse=True)]
    return outcome


def _add(outcome: Outcome, compared: Compared, past: Past, judgement: Judgement, exemptions: Exemptions) -> None:
    """Count the listings of one client and category on both sides."""
    history, since = past.history, outcome.since
    there = [
        one for one in past.stored if not one.void and not exemptions.find(history.client, one.began)
    ]  # own networks are exempt for all time, also for that in which nobody had named them
    given = [one for one in there if one.began < since]
    made = [one for one in judgement.listings if one.began >= since]
    compared.delivered |= past.delivered
    _count(outcome, "old", compared.old, past, _lasted(there))
    _count(outcome, "new", compared.new, past, [*_lasted(given), *_lasted(made)])
    old_tally, new_tally = (outcome.tallies[side][history.category] for side in SIDES)
    old_tally.shadow += sum(one.state == "shadow" for one in there if one.began >= since)
    new_tally.shadow += sum(one.state == "shadow" for one in made)
    new_tally.spared += any(one.last >= since for one in (*history.spared, *judgement.spared))


def _lasted(listings: Iterable[Stored | Decision]) -> list[Lasted]:
    return [Lasted(one.began, one.expires) for one in listings if one.state != "shadow"]


def _count(outcome: Outcome, side: str, of_client: Tally, past: Past, listings: Iterable[Lasted]) -> None:
    since, until = outcome.since, outcome.until
    lasting = [one for one in listings if one.expires > since and one.began <= until]
    began = sum(one.began >= since for one in lasting)
    seconds = sum(min(one.expires, until) - max(one.began, since) for one in lasting)
    tally = outcome.tallies[side][past.history.category]
    tally.add(began, seconds)
    tally.clients += bool(seconds)
    tally.delivered += bool(seconds) and past.delivered
    of_client.add(began, seconds)
    for one in lasting:
        outcome.active[side].add(one)
