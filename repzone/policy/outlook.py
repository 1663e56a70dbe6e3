"""One client's history in, how it stands now and what comes next out: the calculator's own answers, asked in advance.

Nothing of the rules is written here a second time. What would happen is found by asking `calculate` what it decides
on offences that have not happened: one point each, all at one second.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from repzone.model import Client, Listing, State
from repzone.policy.calculator import UNCOUNTED, Decision, Offence, Spared, calculate, free_from
from repzone.policy.rules import CategoryRules, Rulebook
from repzone.reasons import Category

MOST = 1_000_000
"""More offences than anybody waits for; the highest threshold that a policy may have."""

_ANY = ""  # no reason that weights name: it has one point


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a client stands in one category.

    `due` is what the calculator decides once it has looked at everything: all else is as it stands after that.
    `until` is the end of what holds now, a listing of that state in `holding`: what comes before counts for nothing.
    `points` and `reasons` count at `at`, which is now or the first second behind that, for `window` seconds, or from
    `since` on, if the last listing ended within them.
    `more` offences of one point each at `at` list it (None: even a million would be outweighed by clean mail), as its
    offence number `offence`, for `length` seconds, in `state`. Earlier listings are `remembered` until these instants.
    """

    category: Category
    version: int
    rules: CategoryRules
    due: tuple[Decision, ...]
    until: int | None
    holding: State | None
    since: int | None
    at: int
    points: int
    reasons: dict[str, int]
    more: int | None
    offence: int
    length: int
    state: State
    remembered: tuple[int, ...]

    @property
    def outweighed(self) -> bool:
        """Tell whether clean mail would spare a client that has reached the threshold."""
        return self.more is None or self.more > max(1, self.rules.threshold - self.points)


def foresee(
    offences: Sequence[Offence],
    earlier: Sequence[Listing],
    category: Category,
    rulebook: Rulebook,
    now: int,
    clean: Sequence[tuple[int, int]] = (),
    spared: Sequence[Spared] = (),
) -> Outlook:
    """Tell how a client stands at `now`, and what lists it; the arguments are those of `calculate`."""
    decided = calculate(offences, earlier, category, rulebook, clean, [replace(one) for one in spared])
    known = {one.began: one for one in (*spared, *decided.spared)}
    listings = [*earlier, *(_listing(decision, category) for decision in decided.listings)]
    free = free_from(listings)
    at = max(now, free, *(one.last + 1 for one in known.values()))
    before = [offence for offence in offences if offence.at <= at]

    def ask(count: int, clean: Sequence[tuple[int, int]]) -> Decision | None:
        mercies = [replace(one) for one in known.values()]
        more = [*before, Offence(at, _ANY, count)]
        return next(iter(calculate(more, listings, category, rulebook, clean, mercies).listings), None)

    listed = ask(MOST, ())
    assert listed is not None  # noqa: S101 - no threshold is higher, and nothing spares it
    reasons = {reason: seen.count for reason, seen in listed.evidence.items() if reason != _ANY}
    points = listed.points - MOST
    version = rulebook.at(at)
    window = version.policy.rules(category).window
    last = max(listings, key=lambda one: free_from([one]), default=None)
    fewest = max(1, version.policy.rules(category).threshold - points)
    more = fewest
    if ask(fewest, clean) is None:  # clean mail weighs more: how much more?
        more = bisect_left(range(MOST + 1), True, lo=fewest, key=lambda count: ask(count, clean) is not None)
    memory = version.policy.offence_memory
    counted = (one.began for one in listings if one.state not in UNCOUNTED)
    return Outlook(
        category=category,
        version=version.id,
        rules=version.policy.rules(category),
        due=tuple(decided.listings),
        until=free if free > now else None,
        holding=last.state if last is not None and free > now else None,
        since=free if at - window < free <= now else None,
        at=at,
        points=points,
        reasons=reasons,
        more=more if more <= MOST else None,
        offence=listed.offence,
        length=listed.expires - listed.began,
        state=listed.state,
        remembered=tuple(sorted(began + memory for began in counted if began < at <= began + memory)),
    )


def _listing(decision: Decision, category: Category) -> Listing:
    nobody = Client(4, 0, 32)  # the rules look at instants and states only
    return Listing(nobody, category, decision.offence, decision.began, decision.expires, decision.state)
