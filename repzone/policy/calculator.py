"""One client's offences of one category in, the listings that follow out: the only implementation of the rules.

The rules, with t an event's own second and `policy` the one in force at t:

- An event inside a listing (began <= t < expires) is evidence and counts for nothing.
- Otherwise the points of the events in (t - window, t] that came at or after the end of the last listing add up;
  an event adds weight x count, by the policy in force at its own time. Events of one second count together.
- When the sum reaches the threshold at a second that holds an event of weight above 0, a listing begins at t.
- Unless the client is spared: the category has `max_clean`, and the client's accepted messages, in the whole hours
  within (t - span, t], outnumber its offences in (t - span, t] by more than that factor, both counted from the end of
  the last listing for the offences, and span being the window, or a day if that is longer. Being spared ends nothing
  and begins nothing: the next second that holds an offence is judged again. The same second is not, unless it is the
  last and more offences of it have come.
- Its offence number is 1 + the earlier listings that began in [t - offence_memory, t), neither shadow nor reversed or
  dropped before t, or at t if that ended them; its length is the ladder's for that number.
- When the client becomes exempt while the listing lasts, it is reversed at that second (a shadow one just ends).

Nothing here depends on when it is called: the same events give the same listings in one call or in many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import NamedTuple

from repzone.model import Listing, State
from repzone.policy.rules import HOUR, CategoryRules, Rulebook, Version
from repzone.reasons import Category

UNCOUNTED: frozenset[State] = frozenset({"reversed", "dropped", "shadow"})
"""States of listings that do not make the next one longer."""

_NONE: Mapping[int, int] = MappingProxyType({})


class Offence(NamedTuple):
    """What a client did in one second: a reason and how many times."""

    at: int
    reason: str
    count: int = 1  # type: ignore[assignment]  # hides the method of tuples


@dataclass(slots=True)
class Evidence:
    """How often a reason was seen, and its first and last instant."""

    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A listing that the rules ask for, with the policy version and the points that led to it.

    `evidence` is what weighed, by reason: what led to it, and what came while it lasted. If it is reversed or dropped,
    `counts_until` is the last second at which it makes a next one longer.
    """

    began: int
    expires: int
    offence: int
    state: State
    version: int
    points: int
    evidence: dict[str, Evidence] = field(default_factory=dict)
    counts_until: int | None = None


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
    offences: Sequence[Offence],
    earlier: Sequence[Listing],
    category: Category,
    rulebook: Rulebook,
    clean: Sequence[tuple[int, int]] = (),
    spared: Sequence[Spared] = (),
    *,
    lifted: Sequence[int] = (),
    listed: Mapping[int, int] = _NONE,
) -> Judgement:
    """Decide which listings begin.

    `offences` are in order of time, neither late nor exempt; those before the end of the last of `earlier` (the
    client's listings of that category, in any state and order) are passed over. What came before the first
    offence given must not matter: give those back to `rulebook.reach(category)` before anything new. `clean` is the
    client's accepted messages, (begin of the hour, messages) in order of time; `spared` is where it was spared before.

    `lifted` are the seconds at which the client became exempt. `listed` has, by their begin, the points of listings
    that were decided before: clean mail that became known later does not spare them.
    """
    counted = [_Counted.of(one) for one in earlier]
    free = free_from(earlier)
    mercy = _Mercy(clean, spared, listed)
    decisions: list[Decision] = []
    index = bisect_left(offences, free, key=_AT)
    while (reached := _reach(offences, index, free, category, rulebook, mercy)) is not None:
        decision = _begin(reached, counted, category, lifted)
        decisions.append(decision)
        counted.append(_Counted.of(decision))
        free = decision.expires
        index = bisect_left(offences, free, reached.first, key=_AT)
        decision.evidence.update(gather(offences[reached.first : index], rulebook))
    return Judgement(decisions, mercy.found)


def free_from(listings: Iterable[Listing]) -> int:
    """Give the second from which offences count again: the end of the last listing, and behind its begin."""
    return max((max(one.expires, one.began + 1) for one in listings), default=0)


_AT = itemgetter(0)
_BEGAN = attrgetter("began")


def gather(offences: Iterable[Offence], rulebook: Rulebook) -> dict[str, Evidence]:
    """Count what weighs, by reason; the offences are in order of time."""
    evidence: dict[str, Evidence] = {}
    changes = 0
    for at, reason, count in offences:
        if at >= changes:
            version, changes = rulebook.in_force(at)
            weights = version.policy.weights
        if weights.get(reason, 1):
            seen = evidence.get(reason)
            if seen is None:
                evidence[reason] = Evidence(count, at, at)
            else:
                seen.count += count
                seen.last = at
    return evidence


class Recent:
    """The weighed offences since the last listing, as running sums: the points of any window cost one search."""

    __slots__ = ("_counts", "_points", "_seconds")

    def __init__(self) -> None:
        self._seconds: list[int] = []
        self._points = [0]
        self._counts = [0]

    def add(self, at: int, points: int, count: int) -> int:
        """Add what one offence weighs, in order of time; give the sum of all points."""
        self._seconds.append(at)
        self._counts.append(self._counts[-1] + count)
        total = self._points[-1] + points
        self._points.append(total)
        return total

    @property
    def newest(self) -> int | None:
        """The second of the last offence, if there was one."""
        return self._seconds[-1] if self._seconds else None

    def points(self, at: int, window: int) -> int:
        """Sum the points of (at - window, at], which has the newest offence."""
        return self._points[-1] - self._points[bisect_right(self._seconds, at - window)]

    def count(self, at: int, span: int) -> int:
        """Count the offences of (at - span, at], which has the newest offence."""
        return self._counts[-1] - self._counts[bisect_right(self._seconds, at - span)]


class _Counted(NamedTuple):
    """When a listing began, and the last second at which it makes a next one longer; None: while remembered."""

    began: int
    until: int | None

    @classmethod
    def of(cls, one: Listing | Decision) -> _Counted:
        return cls(one.began, (one.counts_until or 0) if one.state in UNCOUNTED else None)


class _Reached(NamedTuple):
    """Where the threshold was reached: second, version in force, points, place of the first offence that counted."""

    at: int
    version: Version
    points: int
    first: int


def _reach(
    offences: Sequence[Offence], start: int, free: int, category: Category, rulebook: Rulebook, mercy: _Mercy
) -> _Reached | None:
    """Find the first second, from an offence on, at which a listing is earned and not spared."""
    recent = Recent()
    total = changes = 0
    for index in range(start, len(offences)):
        at, reason, count = offences[index]
        if at >= changes:
            version, changes = rulebook.in_force(at)
            rules, weights = version.policy.rules(category), version.policy.weights
            threshold, window = rules.threshold, rules.window
        weight = weights.get(reason, 1)
        if weight:
            total = recent.add(at, weight * count, count)
        if total < threshold or (index + 1 < len(offences) and offences[index + 1][0] == at):
            continue  # not even all of them are enough, or this second goes on
        points = recent.points(at, window)
        if points < threshold or recent.newest != at or mercy.spares(at, points, rules, version, recent, free):
            continue
        return _Reached(at, version, points, bisect_right(offences, at - window, start, key=_AT))
    return None


def _begin(reached: _Reached, counted: Sequence[_Counted], category: Category, lifted: Sequence[int]) -> Decision:
    at, version, points, _ = reached
    policy = version.policy
    since = at - policy.offence_memory
    number = 1 + sum(since <= began < at and (until is None or at <= until) for began, until in counted)
    expires = at + policy.duration(category, number)
    lift = min((lift for lift in lifted if at < lift < expires), default=None)
    if policy.rules(category).shadow:
        return Decision(at, lift or expires, number, "shadow", version.id, points)
    if lift is not None:
        return Decision(at, lift, number, "reversed", version.id, points, counts_until=lift - 1)
    return Decision(at, expires, number, "active", version.id, points)


class _Mercy:
    """Weighs clean mail against offences, and knows where that was done before."""

    def __init__(self, clean: Sequence[tuple[int, int]], spared: Sequence[Spared], listed: Mapping[int, int]) -> None:
        self.found: list[Spared] = []
        self._clean_mail = clean
        self._sums: list[int] = []
        self._hours: list[int] = []
        self._spared = sorted(spared, key=_BEGAN)
        self._listed = listed

    def spares(self, at: int, points: int, rules: CategoryRules, version: Version, recent: Recent, free: int) -> bool:
        """Tell whether a client that has earned a listing at that second is spared it, and note so."""
        last = next((one for one in reversed(self._spared) if one.began <= at), None)
        if last is not None and (at < last.last or (at == last.last and points <= last.points)):
            return True
        if rules.max_clean is None or points >= self._listed.get(at, points + 1):
            return False
        clean, offences = self._clean(at, rules.span), recent.count(at, rules.span)
        if clean <= rules.max_clean * offences:
            return False
        if last is None or last.version != version.id or free > last.last or at - last.last > rules.window:
            last = Spared(at, at, version.id, 0, 0, 0)
            insort(self._spared, last, key=_BEGAN)  # an older log may come after a newer one
        last.last, last.points, last.offences, last.clean = at, points, offences, clean
        if not self.found or self.found[-1] is not last:
            self.found.append(last)
        return True

    def _clean(self, at: int, span: int) -> int:
        """Give the messages of the whole hours within (at - span, at]."""
        if not self._sums:
            self._hours = [hour for hour, _ in self._clean_mail]
            self._sums = [0, *accumulate(messages for _, messages in self._clean_mail)]
        first, behind = bisect_left(self._hours, at - span), bisect_right(self._hours, at - HOUR)
        return self._sums[behind] - self._sums[first] if first < behind else 0
