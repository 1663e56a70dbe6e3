"""The rules once more, slow and obvious: every second is looked at, every sum is made anew.

Written from the wording of the rules and sharing nothing with the calculator but its values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from repzone.model import Listing, State
from repzone.policy.calculator import Offence
from repzone.policy.rules import Rulebook
from repzone.reasons import Category


@dataclass(frozen=True)
class Ban:
    began: int
    expires: int
    offence: int
    state: State
    reasons: dict[str, int]


def bans(
    offences: Sequence[Offence],
    earlier: Sequence[Listing],
    category: Category,
    rulebook: Rulebook,
    clean: Sequence[tuple[int, int]] = (),
    lifted: Sequence[int] = (),
) -> list[Ban]:
    made: list[Ban] = []
    for t in sorted({offence.at for offence in offences}):
        listings = [(old.began, old.expires, old.state, old.counts_until) for old in earlier]
        listings += [(ban.began, ban.expires, ban.state, ban.expires - 1) for ban in made]
        if any(t < expires or t <= began for began, expires, _, _ in listings):
            continue  # inside a listing, or before one: it counts for nothing
        version = rulebook.at(t)
        policy = version.policy
        rules = policy.rules(category)
        last_end = max((expires for _, expires, _, _ in listings), default=0)
        weights = [(offence, rulebook.at(offence.at).policy.weight(offence.reason)) for offence in offences]
        counting = [
            (offence, weight)
            for offence, weight in weights
            if weight > 0 and t - rules.window < offence.at <= t and offence.at >= last_end
        ]
        holds_weight = any(offence.at == t for offence, _ in counting)
        if not holds_weight or sum(offence.count * weight for offence, weight in counting) < rules.threshold:
            continue
        if rules.max_clean is not None:
            span = max(rules.window, 86400)
            messages = sum(n for hour, n in clean if t - span <= hour and hour + 3600 <= t)
            guilt = sum(o.count for o, weight in weights if weight > 0 and t - span < o.at <= t and o.at >= last_end)
            if messages > rules.max_clean * guilt:
                continue
        remembered = [
            began
            for began, _, state, until in listings
            if t - policy.offence_memory <= began < t
            and (state not in ("reversed", "dropped", "shadow") or (state != "shadow" and until and t <= until))
        ]
        number = 1 + len(remembered)
        length = rules.durations[min(number, len(rules.durations)) - 1]
        length = max(policy.min_duration, min(policy.max_duration, length))
        state: State = "shadow" if rules.shadow else "active"
        for lift in sorted(lifted):
            if t < lift < t + length:
                length, state = lift - t, "shadow" if state == "shadow" else "reversed"
        evidence = [offence for offence, _ in counting]
        evidence += [o for o, weight in weights if weight > 0 and t < o.at < t + length]
        reasons: dict[str, int] = {}
        for offence in evidence:
            reasons[offence.reason] = reasons.get(offence.reason, 0) + offence.count
        made.append(Ban(t, t + length, number, state, reasons))
    return made
