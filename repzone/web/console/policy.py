"""The policy: its rules in words, its versions, and what another one would have changed."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from repzone.errors import ConfigError
from repzone.jobs.simulate import KINDS, Outcome, Tally
from repzone.policy.rules import DAY, Policy, Rulebook, differences, parse, to_text
from repzone.reasons import CATALOGUE, COUNTED
from repzone.store.engine import Connection
from repzone.store.policies import load_rulebook
from repzone.toml import parse_duration
from repzone.web.console.access import Person
from repzone.web.console.chart import draw_lines
from repzone.web.console.desk import Desk, View, read_form
from repzone.web.console.whatif import Trial, Trials, new_id

FARTHEST = 400 * DAY


class PolicyRoom:
    """The pages about the policy, and the simulations that they started."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    async def show(self, desk: Desk, request: Request, person: Person) -> View:
        """Show the rules in force, and the versions."""
        return await self._rules(desk)

    async def start(self, desk: Desk, request: Request, person: Person) -> View | Response:
        """Begin a simulation."""
        form = await read_form(request)
        text, since, now = form.get("policy", ""), form.get("since", "").strip() or "30d", desk.clock()
        try:
            policy = parse(text, "the policy")
            length = parse_duration(since)
            if not 1 <= length <= FARTHEST:
                raise ValueError(f"{since!r} is not between 1s and 400d")
        except (ConfigError, ValueError) as error:
            return await self._rules(desk, text, since, str(error))
        if self._trials.busy:
            return await self._rules(desk, text, since, "another simulation runs at this moment; try again later")
        trial = Trial(new_id(), text, since, person.name)
        self._trials.start(desk.database(), policy, now - length, now, trial)
        return RedirectResponse(f"/policy/what-if/{trial.id}", 303)

    async def trial(self, desk: Desk, request: Request, person: Person) -> View:
        """Show how far a simulation is, or what came of it."""
        trial = self._trials.get(request.path_params["id"].removesuffix(".json"))
        if trial is None:
            raise HTTPException(404, "Nobody remembers this simulation.")
        outcome = trial.outcome
        context = {"trial": trial, "outcome": outcome, "picture": _draw(outcome) if outcome else ""}
        words = {"kinds": KINDS, "words": WORDS, "categories": COUNTED}
        return View("whatif.html", {**context, **words}, _fields(trial))

    async def _rules(self, desk: Desk, text: str = "", since: str = "30d", problem: str = "") -> View:
        def load(connection: Connection, now: int) -> tuple[Rulebook, Policy]:
            rulebook = load_rulebook(connection)
            return rulebook, rulebook.at(now).policy

        try:
            rulebook, policy = await desk.ask(load)
        except ValueError:
            raise HTTPException(404, "No policy was ever in force.") from None
        context = {
            **{"policy": policy, "rulebook": rulebook, "categories": COUNTED, "versions": _versions(rulebook)},
            **{"weights": _weights(policy), "text": text or to_text(policy), "since": since, "problem": problem},
        }
        fields = {"policy": policy.model_dump(mode="json"), "versions": _versions(rulebook)}
        return View("policy.html", context, fields, 422 if problem else 200)


WORDS = {
    "newly": "newly listed",
    "more": "listed more often",
    "longer": "as often, for longer",
    "same": "the same",
    "shorter": "as often, for less long",
    "fewer": "listed less often",
    "never": "not listed any more",
}


def _versions(rulebook: Rulebook) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    before: Policy | None = None
    for version in rulebook.versions:
        changed = [
            {"key": key, "old": old, "new": new}
            for key, old, new in (differences(before, version.policy) if before else ())
        ]
        found.append({"id": version.id, "effective_from": version.effective_from, "changed": changed})
        before = version.policy
    return found[::-1]


def _weights(policy: Policy) -> list[tuple[int, list[str]]]:
    points: dict[int, list[str]] = {}
    for reason in CATALOGUE:
        points.setdefault(policy.weight(reason), []).append(reason)
    return sorted(points.items(), reverse=True)


def _draw(outcome: Outcome) -> object:
    counts = {side: active.counts() for side, active in outcome.active.items()}
    what = " ".join(f"{side}: {max(row, default=0):,} at most." for side, row in counts.items())
    return draw_lines("Listings in force: old and new", what, outcome.active["old"].instants, counts)


def _fields(trial: Trial) -> dict[str, object]:
    outcome = trial.outcome
    fields: dict[str, object] = {"running": trial.running, "done": trial.done, "events": trial.events}
    fields |= {"progress": trial.progress if trial.running else "", "fault": trial.fault}
    if outcome is None:
        return fields
    return fields | {
        **{"since": outcome.since, "until": outcome.until, "clients": dict(outcome.kinds)},
        "categories": {
            side: {category: _tally(tally) for category, tally in tallies.items()}
            for side, tallies in outcome.tallies.items()
        },
        "most": [
            {"client": one.client, "change": one.kind, "old": _tally(one.old), "new": _tally(one.new)}
            for one in outcome.most
        ],
        "active": {side: {"instants": one.instants, "counts": one.counts()} for side, one in outcome.active.items()},
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"listings": tally.listings, "seconds": tally.seconds, "clients": tally.clients}
