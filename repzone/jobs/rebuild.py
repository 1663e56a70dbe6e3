"""Events that are not what they were in, listings as they should be out: replayed, compared, and on request corrected.

Nobody waits while everything is replayed. Then the clients for which something is different are locked and replayed
once more up to that moment, and what that says is done.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import structlog

from repzone.clock import Clock
from repzone.jobs.simulate import make_question
from repzone.model import Client, Exemptions
from repzone.policy.calculator import Decision, Judgement, gather
from repzone.policy.replay import replay
from repzone.policy.rules import Rulebook
from repzone.reasons import Category
from repzone.store.acts import Act, store_act, utc
from repzone.store.engine import Connection, Engine, answering
from repzone.store.exemptions import load_exemptions
from repzone.store.listings import Made, add_spared
from repzone.store.locks import hold_history, hold_rules, lock_acts
from repzone.store.rebuild import Corrected, correct, lock_keys
from repzone.store.replay import Past, Question, Stored, count_events, keep_days, load_pasts

log = structlog.get_logger()

KINDS = ("missing", "changed", "wrong")


@dataclass(frozen=True, slots=True)
class Difference:
    """A listing that should be and is not, should be another, or should not be; as it is stored, as it should be."""

    client: Client
    category: Category
    stored: Stored | None
    made: Decision | None

    @property
    def kind(self) -> str:
        """Give which of the three it is."""
        return "missing" if self.stored is None else "wrong" if self.made is None else "changed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is different from `since` on, which is later than was asked for where events were pruned."""

    since: int
    differences: list[Difference]


def run(
    engine: Engine,
    since: int,
    clock: Clock,
    act: Act | None = None,
    progress: Callable[[int, int], None] = lambda done, events: None,
) -> Outcome:
    """Find what is different since an instant; with an act, which says who wants it, make it so.

    It is done, and stored as done, at the second at which nobody can change these clients any longer.
    `progress` is told how many events are done, and of how many.
    """
    with answering():
        with engine.connect() as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            keep_days(connection)
            question = make_question(connection, None, since, clock())
            found = _compare(connection, question, progress).differences
        if act is not None and found:
            with engine.begin() as connection:
                found = _correct(connection, since, clock, found, act)
    return Outcome(question.since, found)


@dataclass(frozen=True, slots=True)
class _Compared:
    differences: list[Difference]
    judged: list[tuple[Client, Category, Judgement]]


def _compare(
    connection: Connection, question: Question, progress: Callable[[int, int], None] = lambda done, events: None
) -> _Compared:
    """Replay, and compare; where something is different the judgement is given too."""
    events = count_events(connection, question)
    exemptions = Exemptions(load_exemptions(connection))
    compared = _Compared([], [])
    done = 0
    with closing(load_pasts(connection, question)) as pasts:
        for past in pasts:
            client, category = past.history.client, past.history.category
            judgement = replay(past.history, question.rulebook)
            found = list(_differences(past, judgement, question, exemptions))
            if found:
                compared.differences.extend(found)
                compared.judged.append((client, category, judgement))
            done += len(past.history.offences)
            progress(done, events)
    return compared


def _differences(past: Past, judgement: Judgement, question: Question, exemptions: Exemptions) -> Iterator[Difference]:
    client, category, since = past.history.client, past.history.category, question.since
    stored = {one.began: one for one in past.stored if one.began >= since}
    made = {one.began: one for one in judgement.listings if one.began >= since}
    for began in sorted(stored.keys() | made.keys()):
        old, new = stored.get(began), made.get(began)
        if new is None:
            if old is not None and not old.void and exemptions.find(client, began) is None:
                yield Difference(client, category, old, None)
        elif old is None or _differs(old, new):
            yield Difference(client, category, old, _whole(new, past, question.rulebook))


def _differs(old: Stored, new: Decision) -> bool:
    """Tell whether a listing should be another; more points than it had are more that came of its second."""
    bounds = (old.expires, old.offence, old.state == "shadow") != (new.expires, new.offence, new.state == "shadow")
    return bounds or old.void or new.points < old.points


def _whole(decision: Decision, past: Past, rulebook: Rulebook) -> Decision:
    """Give all evidence of a listing, also what came after somebody did something to it."""
    first = min(seen.first for seen in decision.evidence.values())
    lasting = [one for one in past.history.offences if first <= one[0] < max(decision.expires, decision.began + 1)]
    return replace(decision, evidence=gather(lasting, rulebook))


def _correct(
    connection: Connection, since: int, clock: Clock, found: Sequence[Difference], act: Act
) -> list[Difference]:
    """Compare these clients anew as all is now, which the first look may be long behind, and store what that says."""
    hold_history(connection, [since], clock())
    lock_acts(connection)
    hold_rules(connection)
    keys = sorted({(one.client.to_text(), one.category) for one in found})
    lock_keys(connection, keys, clock())
    now = clock()
    question = replace(make_question(connection, None, since, now), only=keys)
    compared = _compare(connection, question)
    differences = compared.differences
    if differences:
        counts = {kind: sum(one.kind == kind for one in differences) for kind in KINDS}
        done = store_act(connection, replace(act, at=now), **counts)
        add_spared(connection, compared.judged)
        correct(connection, _sort(differences), done, now)
        log.info("rebuild.done", since=utc(question.since), **counts)
    return differences


def _sort(differences: Sequence[Difference]) -> Corrected:
    corrected = Corrected([], [], [])
    for one in differences:
        if one.made is None:
            corrected.wrong.extend([one.stored.id] if one.stored else [])
            continue
        held = one.stored is not None and one.stored.state == "held" and one.made.state == "active"
        decision = replace(one.made, state="held") if held else one.made
        # Created as if it had been decided on time: so many at once are no reason for the brake to hold others.
        made = Made(one.client, one.category, decision, created=decision.began)
        if one.stored is None:
            corrected.missing.append(made)
        else:
            corrected.changed.append((one.stored.id, made))
    return corrected
