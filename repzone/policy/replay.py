"""All that one client did, and what was done for it by hand, in; the listings that follow under some policies out.

Nothing of the rules is written here: `calculate` is asked up to each act of an operator, the act is done to what then
stands, and `calculate` is asked on from there, as it is when a log comes in pieces.

An act was done to a listing of the real world. Here it means the client's listings that lasted at some second at which
the real one did: those that still run end at the second of the act; a reversal or drop holds for those that have ended,
too. What begins later is not touched, as it was not in the real world; nor is one of the real world that was not meant.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from repzone.model import Client, Listing, State
from repzone.policy.calculator import UNCOUNTED, Decision, Judgement, Offence, Spared, calculate
from repzone.policy.rules import Rulebook
from repzone.reasons import Category


@dataclass(frozen=True, slots=True)
class Act:
    """What was done at a second to a listing that since then stands in [began, ended).

    `state` is what it became; reversed or dropped it counts for what begins up to `counts_until`, if that is known.
    """

    at: int
    state: State
    began: int
    ended: int
    counts_until: int | None = None

    def counted_until(self, one: Decision) -> int:
        """Give the last second for which a listing counts that this reverses or drops.

        That of the act, in which the calculator may have come first, or the one before where the act ends it.
        """
        if self.counts_until is not None and self.began == one.began:
            return self.counts_until
        return self.at - (one.expires > self.at)


@dataclass(frozen=True, slots=True)
class History:
    """What there is of a client and category; all but the acts, which are in order of time, as `calculate` takes it.

    `earlier` are the listings that are given: of the time before the replay. `unmeant` are the begins of those that
    there are in the real world, and that no act means but one to themselves.
    """

    client: Client
    category: Category
    offences: Sequence[Offence]
    earlier: Sequence[Listing] = ()
    acts: Sequence[Act] = ()
    clean: Sequence[tuple[int, int]] = ()
    spared: Sequence[Spared] = ()
    lifted: Sequence[int] = ()
    listed: Mapping[int, int] = field(default_factory=dict)
    unmeant: frozenset[int] = frozenset()


def replay(history: History, rulebook: Rulebook) -> Judgement:
    """Give the listings as they stand after all acts, and where the client was spared."""
    if not history.acts:
        return _judge(history, rulebook, history.offences, history.earlier, history.spared)
    made: dict[int, Decision] = {}
    spared = {one.began: one for one in history.spared}
    found: dict[int, Spared] = {}
    for act in (*history.acts, None):
        behind = _seen(history.offences, act) if act else len(history.offences)
        earlier = [*history.earlier, *(_listing(history, one) for one in made.values())]
        judgement = _judge(history, rulebook, history.offences[:behind], earlier, list(spared.values()))
        made |= {one.began: one for one in judgement.listings}
        found |= {one.began: one for one in judgement.spared}
        spared |= found
        if act is not None:
            _do(act, made, history.unmeant)
    return Judgement(list(made.values()), list(found.values()))


def _seen(offences: Sequence[Offence], act: Act) -> int:
    """Give how many offences come before an act: not those of its second, unless the listing began at that."""
    return bisect_left(offences, act.at + (act.began == act.at), key=itemgetter(0))


def _judge(
    history: History,
    rulebook: Rulebook,
    offences: Sequence[Offence],
    earlier: Sequence[Listing],
    spared: Sequence[Spared],
) -> Judgement:
    known = offences, earlier, history.category, rulebook, history.clean, spared
    return calculate(*known, lifted=history.lifted, listed=history.listed)


def _do(act: Act, made: dict[int, Decision], unmeant: frozenset[int]) -> None:
    """Do an act to the listings that it means."""
    for one in made.values():
        lasted = one.began < act.ended and one.expires > act.began and one.began not in unmeant
        ended = one.expires < act.at or (one.expires == act.at and one.began != act.began)
        gone = act.state == "released" and ended
        if gone or not (lasted or one.began == act.began):
            continue
        expires = min(one.expires, act.at)
        # Not undone yet: by an exemption that is still to come. What was done to a listing itself is known.
        undone = one.state in UNCOUNTED and one.expires <= act.at and one.began != act.began
        if undone or one.state == "shadow":
            made[one.began] = replace(one, expires=expires)
        else:
            until = act.counted_until(one) if act.state in UNCOUNTED else None
            made[one.began] = replace(one, expires=expires, state=act.state, counts_until=until)


def _listing(history: History, one: Decision) -> Listing:
    listing = history.client, history.category, one.offence, one.began, one.expires, one.state
    return Listing(*listing, counts_until=one.counts_until)
