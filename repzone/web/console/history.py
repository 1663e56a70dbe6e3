"""A client's events and listings in, what the picture of its history shows out: points over time, bands, ticks.

Nothing is decided here: where listings begin and end is what the database says, and only the sum that led there is
drawn. Over MOST events are gathered into bins.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repzone.model import Listing, State
from repzone.policy.outlook import Outlook
from repzone.policy.rules import DAY, HOUR, Rulebook
from repzone.reasons import COUNTED, Category
from repzone.store.dossier import Line
from repzone.web.console.told import LONGEST, Told

MOST = 300
"""Ticks that can be told apart."""

SHORTEST = 6 * HOUR


@dataclass(frozen=True, slots=True)
class Tick:
    """Events at an instant, or of the bin that begins there: how many, their points, those that counted for nothing."""

    at: int
    count: int
    points: int
    void: int


@dataclass(frozen=True, slots=True)
class Band:
    """A listing as it is drawn; `length` is what it was meant to last when it was ended early."""

    began: int
    expires: int
    offence: int
    state: State


@dataclass(frozen=True, slots=True)
class Lane:
    """One category: `steps` are instants and the points that count from then on; `ghost` is what the next would be."""

    category: Category
    threshold: int
    window: int
    steps: tuple[tuple[int, int], ...]
    ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]
    ghost: tuple[int, int] | None
    binned: bool


@dataclass(frozen=True, slots=True)
class History:
    """The lanes of a picture from `begin` to `end`, and the offence memory before it: when each listing began."""

    begin: int
    end: int
    now: int
    memory: int
    lanes: tuple[Lane, ...]
    strip: tuple[Band, ...]
    strip_categories: tuple[Category, ...]


def build(told: Told) -> History:
    """Arrange what is to be drawn."""
    now, rulebook = told.now, told.rulebook
    listings = [one.listing for one in told.dossier.histories]
    begin, end = _span(told.drawn, listings, now)
    policy = rulebook.at(now).policy
    by_category = {one.category: one for one in told.outlooks}
    categories: tuple[Category, ...] = (*COUNTED, "manual")
    lanes = []
    for category in categories:
        events = [line for line in told.drawn if line.category == category]
        bands = [_band(one, now) for one in listings if one.category == category]
        if not events and not any(band.expires > begin for band in bands):
            continue
        ghost = _ghost(by_category.get(category), bands, now)
        steps, weighed = _weigh(events, bands, category, rulebook)
        rules = None if category == "manual" else policy.rules(category)
        ticks, binned = _gather(weighed, begin, end)
        lanes.append(
            Lane(
                category=category,
                threshold=rules.threshold if rules else 0,
                window=rules.window if rules else 0,
                steps=tuple(steps),
                ticks=tuple(ticks),
                bands=tuple(band for band in bands if band.expires > begin),
                ghost=ghost,
                binned=binned or told.gathered,
            )
        )
    strip = [one for one in listings if one.began >= now - policy.offence_memory]
    return History(
        *(begin, end, now, policy.offence_memory, tuple(lanes), tuple(_band(one, now) for one in strip)),
        tuple(one.category for one in strip),
    )


def _span(events: Iterable[Line], listings: Iterable[Listing], now: int) -> tuple[int, int]:
    """Give where the picture begins and ends: all that is known of the last LONGEST, and of what is still to come as
    much as that, a day at least; what ends later is cut.
    """
    seen = [line.at for line in events] + [one.began for one in listings]
    recent = [at for at in seen if at > now - LONGEST]
    begin = min([now - SHORTEST, *recent])
    farthest = now + max(DAY, now - begin)
    coming = max([now, *(min(one.expires, farthest) for one in listings)])
    return begin - (now - begin) // 40, coming + max(HOUR, (coming - begin) // 8)


def _band(one: Listing, now: int) -> Band:
    return Band(one.began, one.expires, one.offence, one.state_at(now))


def _ghost(outlook: Outlook | None, bands: Sequence[Band], now: int) -> tuple[int, int] | None:
    if outlook is None or outlook.more is None or not bands:
        return None
    begin = outlook.until if outlook.until is not None else now
    return begin, begin + outlook.length


def _weigh(
    events: Sequence[Line], bands: Sequence[Band], category: Category, rulebook: Rulebook
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Give the points that count from each instant on; and each event's instant, count and points."""
    ordered = sorted(bands, key=lambda band: band.began)
    starts = [band.began for band in ordered]
    weighed: list[tuple[int, int, int]] = []
    changes: list[tuple[int, int]] = []
    for line in sorted(events, key=lambda line: line.at):
        policy = rulebook.at(line.at).policy
        points = 0 if line.late or line.exempt else policy.weight(line.reason) * line.count
        last = bisect_right(starts, line.at) - 1
        band = ordered[last] if last >= 0 else None
        if band is not None and band.began < line.at < band.expires:
            points = 0
        weighed.append((line.at, line.count, points))
        if points:
            following = next((one.expires for one in ordered if one.began >= line.at), line.at + LONGEST * 3)
            leaves = max(line.at + 1, min(line.at + policy.rules(category).window, following))
            changes += [(line.at, points), (leaves, -points)]
    steps: list[tuple[int, int]] = []
    total = 0
    for at, change in sorted(changes):
        total += change
        if steps and steps[-1][0] == at:
            steps.pop()
        steps.append((at, total))
    return steps, weighed


def _gather(weighed: Sequence[tuple[int, int, int]], begin: int, end: int) -> tuple[list[Tick], bool]:
    inside = [one for one in weighed if one[0] >= begin]
    binned = len(inside) > MOST
    width = max(1, (end - begin) // MOST) if binned else 1
    gathered: dict[int, list[int]] = {}
    for at, count, points in inside:
        sums = gathered.setdefault((at - begin) // width, [at, 0, 0, 0])
        sums[1] += count
        sums[2] += points
        sums[3] += count if not points else 0
    return [Tick(*sums) for sums in gathered.values()], binned
