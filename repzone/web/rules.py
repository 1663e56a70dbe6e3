"""The running policy and zones in, what the page tells of them out: the texts are made from what decides.

So page and behaviour cannot differ: who changes the policy changes the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from repzone.model import Client, Listing
from repzone.policy.rules import Policy
from repzone.reasons import CATALOGUE, CATEGORIES, COUNTED, Category
from repzone.web.advice import NAMES
from repzone.zone.definition import Zone

EXAMPLE = Client.from_text("192.0.2.10")


@dataclass(frozen=True, slots=True)
class Criterion:
    """What counts, as a message, and the points of one time."""

    name: str
    points: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One category: when it lists and for how long, in seconds; what counts; and the text of a refusal."""

    category: Category
    threshold: int
    window: int
    ladder: tuple[int, ...]
    criteria: tuple[Criterion, ...]
    reply: str


def describe(policy: Policy, zones: Sequence[Zone]) -> tuple[Rule, ...]:
    """Give the rules of the categories that are published; those in shadow concern nobody outside."""
    return tuple(
        _rule(policy, zones, category)
        for category in COUNTED
        if not policy.rules(category).shadow and any(category in zone.categories for zone in zones)
    )


def published(zones: Sequence[Zone]) -> tuple[Category, ...]:
    """Give the categories that some block zone publishes."""
    return tuple(category for category in CATEGORIES if any(category in zone.categories for zone in zones))


def ladder(policy: Policy, category: Category) -> tuple[int, ...]:
    """Give the lengths of the first, second … listing; the last holds for every further one."""
    steps = [policy.duration(category, number + 1) for number in range(len(policy.rules(category).durations))]
    while len(steps) > 1 and steps[-1] == steps[-2]:
        del steps[-1]
    return tuple(steps)


def _rule(policy: Policy, zones: Sequence[Zone], category: Category) -> Rule:
    rules = policy.rules(category)
    weighed = [
        reason
        for reason, of in CATALOGUE.items()
        if of == category and policy.weight(reason) and reason != "spamtrap"  # it goes by the name of spam
    ]
    criteria = dict.fromkeys(Criterion(NAMES[reason], policy.weight(reason)) for reason in weighed)
    return Rule(
        category=category,
        threshold=rules.threshold,
        window=rules.window,
        ladder=ladder(policy, category),
        criteria=tuple(sorted(criteria, key=lambda one: -one.points)),
        reply=_reply(policy, zones, category),
    )


def _reply(policy: Policy, zones: Sequence[Zone], category: Category) -> str:
    """Write how a refusal reads whose end is three hours off, as Postfix puts it."""
    zone = next(zone for zone in zones if category in zone.categories)
    now = 1_785_000_000
    listing = Listing(EXAMPLE, category, 1, now, now + policy.duration(category, 1))
    text = zone.texts[category].render(EXAMPLE, listing, now).decode("ascii")
    return f"Service unavailable; Client host [{EXAMPLE}] blocked using {zone.apex}; {text}"
