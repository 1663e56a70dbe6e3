"""What the brake holds: reviewed, and released or dropped in bulk, with a preview."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from repzone.model import Client, Listing
from repzone.reasons import CATEGORIES, Category
from repzone.store.acts import Act
from repzone.store.browse import MOST, Counts, Held, Search, count, load_held, undone
from repzone.store.engine import Connection, Engine
from repzone.store.find import Wanted, stream_listings
from repzone.store.held import drop_held, release_held
from repzone.store.locks import lock_acts
from repzone.web.console.access import Person
from repzone.web.console.deed import MAX_REASON, RefusedError
from repzone.web.console.desk import Desk, View, read_form, read_lists
from repzone.web.console.words import one_line

SHOWN = 500
"""So many can be chosen one by one; more are decided by the filter."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done to which held listings: those of `keys`, or all of a category (None: all that are held)."""

    verb: str
    keys: frozenset[Client] | None
    category: Category | None
    reason: str
    author: str

    @property
    def subject(self) -> str:
        """Say which they are, as the command says it in the audit."""
        if self.keys is None:
            return f"all of {self.category}" if self.category else "all"
        return ", ".join(str(key) for key in sorted(self.keys))


def _category(text: str | None) -> Category | None:
    return next((one for one in CATEGORIES if one == text), None)


async def show(desk: Desk, request: Request, person: Person, problem: str = "") -> View:
    """Show what is held; programs get up to MOST."""
    category = _category(request.query_params.get("category"))
    most = MOST if request.url.path.endswith(".json") else SHOWN

    def load(connection: Connection, now: int) -> tuple[list[Listing], Counts]:
        wanted = Wanted(state="held", category=category)
        found = list(stream_listings(connection, wanted, now, "began", most))
        return found, count(connection, Search(state="held"), now)

    found, counts = await desk.ask(load)
    context = {
        **{"found": found, "more": counts.of("held", category) > len(found), "counts": counts, "category": category},
        **{"categories": [one for one in CATEGORIES if counts.of("held", one)], "problem": problem},
    }
    return View("held.html", context, found, 422 if problem else 200)


async def decide(desk: Desk, request: Request, person: Person) -> View | Response:
    """Show what a decision would mean; a second POST takes it, if it still means the same."""
    form, lists = await read_form(request), await read_lists(request)
    try:
        decision = _parse(person, form, lists.get("key", []))
    except RefusedError as refused:
        return await show(desk, request, person, str(refused))
    seen = form.get("seen", "")
    held, ended, done = await asyncio.to_thread(_take, desk.database(), decision, desk.clock(), seen)
    if done:
        return RedirectResponse(f"/held?done={decision.verb}", 303)
    if not held.total:
        return await show(desk, request, person, "Nothing that you chose is held any more.")
    context = {"decision": decision, "held": held, "ended": ended, "lists": lists, "changed": bool(seen)}
    return View("decide.html", context)


def _parse(person: Person, form: dict[str, str], keys: Sequence[str]) -> Decision:
    verb, reason = form.get("act", ""), one_line(form.get("why", ""))
    scope, _, what = verb.partition("-")
    if scope not in ("some", "all") or what not in ("release", "drop"):
        raise RefusedError("Choose what is to be done.")
    if not 0 < len(reason) <= MAX_REASON:
        raise RefusedError(f"Say why, in at most {MAX_REASON} characters: it is kept in the audit.")
    try:
        chosen = frozenset(Client.from_text(key) for key in keys)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    if scope == "some" and not chosen:
        raise RefusedError("Choose at least one listing.")
    category = _category(form.get("category"))
    return Decision(what, chosen if scope == "some" else None, category, reason, person.name)


def _take(engine: Engine, decision: Decision, now: int, seen: str) -> tuple[Held, int, bool]:
    """Decide if that is about what was seen; give what it is about, how many of it have ended, whether it is done."""
    with undone(engine, 0) if seen else undone(engine) as connection:
        lock_acts(connection)
        held = load_held(connection, decision.keys, decision.category)
        ended = sum(_do(connection, decision, now).values())
        if held.total and held.mark == seen:
            connection.commit()
            return held, ended, True
    return held, ended, False


def _do(connection: Connection, decision: Decision, now: int) -> dict[Category, int]:
    """Do it; give how many had ended meanwhile and are not published, by category."""
    act = Act(now, decision.author, f"held {decision.verb}", decision.subject, decision.reason)
    if decision.verb == "release":
        return dict(release_held(connection, decision.keys, decision.category, act).expired)
    drop_held(connection, decision.keys, decision.category, act)
    return {}
