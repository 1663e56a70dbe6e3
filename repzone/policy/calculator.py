"""One client's offences of one category in, the listings that follow out: the only implementation of the rules.

The rules, with t an event's own second and `policy` the one in force at t:

- An event inside a listing (began <= t < expires) is evidence and counts for nothing.
- Otherwise the points of the events in (t - window, t] that came at or after the end of the last listing add up;
  an event adds weight x count, by the policy in force at its own time. Events of one second count together.
- When the sum reaches the threshold at a second that holds an event of weight above 0, a listing begins at t.
- Unless the client is spared: the category has `max_clean`, and the client's accepted messages, in the whole hours
  within (t - span, t], outnumber its offences in (t - span, t] by more than that factor, both counted from the end of
  the last listing for the offences, and span being the window, or a day if that is longer. Being spared ends nothing
  and begins nothing: the next second that holds an offence is judged again, the same second never is.
- Its offence number is 1 + the earlier listings that began in [t - offence_memory, t), neither reversed nor
  dropped nor shadow; its length is the ladder's for that number.

Nothing here depends on when it is called: the same events give the same listings in one call or in many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby

from repzone.model import Listing, State
from repzone.policy.rules import HOUR, CategoryRules, Rulebook, Version
from repzone.reasons import Category

UNCOUNTED: frozenset[State] = frozenset({"reversed", "dropped", "shadow"})
"""States of listings that do not make the next one longer."""


@dataclass(frozen=True, slots=True)
class Offence:
    """What a client did in one second: a reason and how many times."""

    at: int
    reason: str
    count: int = 1


Weighed = tuple[Offence, int]
"""An offence and the points of one of it, by the policy of its time."""


@dataclass(slots=True)
class Evidence:
    """How often a reason was seen, and its first and last instant."""

    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A listing that the rules ask for, with the policy version and the points that led to it."""

    began: int
    expires: int
    offence: int
    state: State
    version: int
    points: int
    evidence: dict[str, Evidence] = field(default_factory=dict)

    def add(self, weighed: Iterable[Weighed]) -> None:
        """Count offences as evidence."""
        for offence, _ in weighed:
            seen = self.evidence.get(offence.reason)
            if seen is None:
                self.evidence[offence.reason] = Evidence(offence.count, offence.at, offence.at)
            else:
                seen.count += offence.count
                seen.last = offence.at


@dataclass(slots=True)
class Spared:
    """Seconds from `began` to `last` (both included) at which a client was spared, and the numbers at the last."""

    began: int
    last: int
    version: int
    points: int
    offences: int
    clean: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows for a client and category: the listings that begin, and where it was spared, new or longer."""

    listings: list[Decision]
    spared: list[Spared]


def calculate(
    offences: Iterable[Offence],
    earlier: Sequence[Listing],
    category: Category,
    rulebook: Rulebook,
    clean: Sequence[tuple[int, int]] = (),
    spared: Sequence[Spared] = (),
) -> Judgement:
    """Decide which listings begin.

    `offences` are in order of time, neither late nor exempt; those before the end of the last of `earlier` (the
    client's listings of that category, in any state and order) are passed over. What came before the first
    offence given must not matter: give those back to `rulebook.reach(category)` before anything new. `clean` is the
    client's accepted messages, (begin of the hour, messages) in order of time; `spared` is where it was spared before.
    """
    decisions: list[Decision] = []
    counted = [listing.began for listing in earlier if listing.state not in UNCOUNTED]
    free_from = max((listing.expires for listing in earlier), default=0)
    recent = _Recent()
    mercy = _Mercy(clean, spared)
    for at, second in _seconds(offences):
        version = rulebook.at(at)
        weighed = [(offence, version.policy.weight(offence.reason)) for offence in second]
        weighed = [pair for pair in weighed if pair[1] > 0]
        if at < free_from:
            if decisions:
                decisions[-1].add(weighed)
            continue
        rules = version.policy.rules(category)
        recent.add(weighed)
        points = recent.points(at, rules.window)
        if not weighed or points < rules.threshold or mercy.spares(at, points, rules, version, recent, free_from):
            continue
        decision = _begin(at, points, counted, category, version)
        decision.add(recent.counted())
        decisions.append(decision)
        if decision.state not in UNCOUNTED:
            counted.append(at)
        free_from = decision.expires
        recent = _Recent()
    return Judgement(decisions, mercy.found)


class _Mercy:
    """Weighs clean mail against offences, and knows where that was done before."""

    def __init__(self, clean: Sequence[tuple[int, int]], spared: Sequence[Spared]) -> None:
        self.found: list[Spared] = []
        self._hours = [hour for hour, _ in clean]
        self._sums = [0, *accumulate(messages for _, messages in clean)]
        self._spared = sorted(spared, key=lambda one: one.began)

    def spares(
        self, at: int, points: int, rules: CategoryRules, version: Version, recent: _Recent, free_from: int
    ) -> bool:
        """Tell whether a client that has earned a listing at that second is spared it, and note so."""
        last = next((one for one in reversed(self._spared) if one.began <= at), None)
        if last is not None and at <= last.last:
            return True
        if rules.max_clean is None:
            return False
        clean, offences = self._clean(at, rules.span), recent.count(at, rules.span)
        if clean <= rules.max_clean * offences:
            return False
        if last is None or last.version != version.id or free_from > last.last or at - last.last > rules.window:
            last = Spared(at, at, version.id, 0, 0, 0)
            self._spared.append(last)
        last.last, last.points, last.offences, last.clean = at, points, offences, clean
        if not self.found or self.found[-1] is not last:
            self.found.append(last)
        return True

    def _clean(self, at: int, span: int) -> int:
        """Give the messages of the whole hours within (at - span, at]."""
        first, behind = bisect_left(self._hours, at - span), bisect_right(self._hours, at - HOUR)
        return self._sums[behind] - self._sums[first] if first < behind else 0


class _Recent:
    """The weighed offences since the last listing, and their sum over a window that slides or changes its length."""

    def __init__(self) -> None:
        self._weighed: list[Weighed] = []
        self._start = 0
        self._summed = 0
        self._total = 0
        self._window = 0

    def add(self, weighed: Iterable[Weighed]) -> None:
        self._weighed.extend(weighed)

    def points(self, at: int, window: int) -> int:
        """Sum the points of (at - window, at]; a longer window than before looks back at what it had left."""
        if window > self._window:
            self._start = self._summed = self._total = 0
        self._window = window
        for offence, weight in self._weighed[self._summed :]:
            self._total += offence.count * weight
        self._summed = len(self._weighed)
        while self._start < self._summed and self._weighed[self._start][0].at <= at - window:
            offence, weight = self._weighed[self._start]
            self._total -= offence.count * weight
            self._start += 1
        return self._total

    def count(self, at: int, span: int) -> int:
        """Count the offences of (at - span, at]."""
        first = bisect_right(self._weighed, at - span, key=lambda weighed: weighed[0].at)
        return sum(offence.count for offence, _ in self._weighed[first:])

    def counted(self) -> list[Weighed]:
        return self._weighed[self._start :]


def _seconds(offences: Iterable[Offence]) -> Iterator[tuple[int, list[Offence]]]:
    for at, second in groupby(offences, key=lambda offence: offence.at):
        yield at, list(second)


def _begin(at: int, total: int, counted: Sequence[int], category: Category, version: Version) -> Decision:
    policy = version.policy
    number = 1 + sum(at - policy.offence_memory <= began < at for began in counted)
    return Decision(
        began=at,
        expires=at + policy.duration(category, number),
        offence=number,
        state="shadow" if policy.rules(category).shadow else "active",
        version=version.id,
        points=total,
    )
