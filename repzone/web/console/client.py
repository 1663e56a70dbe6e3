"""One client's page: how it stands, its history as picture and table, evidence, exemptions; and acts, previewed."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from repzone.errors import RepzoneError, UnavailableError
from repzone.model import WIDTH, Client
from repzone.store.dossier import Dossier, Line
from repzone.web.console import deed as deeds
from repzone.web.console import history
from repzone.web.console.access import Person
from repzone.web.console.desk import Desk, View, read_form
from repzone.web.console.picture import draw
from repzone.web.console.told import Told, tell
from repzone.web.verdict import is_test_entry

SHOWN = 20
"""So many listings are shown with their evidence."""

EVENTS = 300
"""So many events stand in the table."""


def read_client(request: Request) -> Client:
    """Give the client that a URL names."""
    name = request.path_params["address"].removesuffix(".json")
    try:
        return Client.from_text(name[:64])
    except ValueError:
        raise HTTPException(404, "That is no address and no network.") from None


async def show(desk: Desk, request: Request, person: Person) -> View:
    """Show all that is known of a client."""
    client = read_client(request)
    return _view(desk, await desk.ask(lambda connection, now: tell(connection, client, now)))


async def act(desk: Desk, request: Request, person: Person) -> View | Response:
    """Show what an act would mean; a second POST does it, if it still means the same."""
    client, form = read_client(request), await read_form(request)
    seen = form.get("seen", "")
    try:
        deed = deeds.parse_deed(client, person.name, form)
        effect, done = await asyncio.to_thread(deeds.carry_out, desk.database(), deed, desk.clock, seen)
    except UnavailableError:
        raise
    except RepzoneError as refused:
        told = await desk.ask(lambda connection, now: tell(connection, client, now))
        view = _view(desk, told, form, str(refused))
        return replace(view, status=422)
    if done:
        return RedirectResponse(f"/client/{client}?" + urlencode({"done": deed.verb}), 303)
    problem = ""
    if seen:
        changed = "Since you looked, this has changed: here is what it would mean now."
        problem = changed if seen != effect.mark else "Say that you mean all of them."
    context = {"deed": deed, "effect": effect, "client": client, "form": form, "problem": problem}
    return View("preview.html", context, status=422 if problem else 200)


def _view(desk: Desk, told: Told, form: dict[str, str] | None = None, problem: str = "") -> View:
    drawn = history.build(told)
    dossier = told.dossier
    context = {
        **{"told": told, "client": dossier.client, "history": drawn, "form": form or {}, "problem": problem},
        "picture": draw(drawn, str(dossier.client)) if drawn.lanes else "",
        **{"histories": dossier.histories[:SHOWN], "events": dossier.events[:EVENTS], "alike": alike},
        "versions": {version.id: version.policy for version in told.rulebook.versions},
        "cut": len(dossier.events) > EVENTS or dossier.listings > SHOWN,
        "public": _public(desk, dossier.client),
        "test": _is_test(desk, dossier.client),
    }
    return View("client.html", context, {**_fields(told), "test": context["test"]})


def alike(lines: Iterable[Line], dossier: Dossier) -> list[Line]:
    """Give lines, those that tell the same one after the other as one."""

    def kind(line: Line) -> tuple[object, ...]:
        return line.client, line.reason, dossier.why_vain(line), line.component, line.detail

    groups = (list(group) for _, group in groupby(lines, key=kind))
    return [replace(group[0], count=sum(line.count for line in group)) for group in groups]


def _public(desk: Desk, client: Client) -> str:
    """Give the page that a blocked sender sees, of a network that of its first address; "" when no zone names it."""
    url = next((zone.url for zone in desk.site().zones if zone.url), "")
    return (
        url.format(client=replace(client, length=WIDTH[client.version]))
        if url.startswith(("https://", "http://"))
        else ""
    )


def _is_test(desk: Desk, client: Client) -> bool:
    return client.is_address and is_test_entry(client, [zone for zone in desk.site().zones if zone.kind == "block"])


def _fields(told: Told) -> dict[str, object]:
    dossier = told.dossier
    standing = [
        {
            **{"category": one.category, "points": one.points, "threshold": one.rules.threshold},
            **{"window": one.rules.window, "reasons": one.reasons, "more": one.more, "offence": one.offence},
            **{"length": one.length, "until": one.until, "remembered": one.remembered},
        }
        for one in told.outlooks
    ]
    return {
        "client": dossier.client,
        "key": dossier.key,
        "listed": [
            {"category": one.category, "offence": one.offence, "began": one.began, "expires": one.expires}
            for one in told.found.listings
        ],
        "inside": told.counts and told.counts.text("active", None),
        "exempt": told.found.exemption is not None or told.found.reserved,
        "standing": standing,
        "history": dossier.histories[:SHOWN],
        "spared": [{"category": category, **_spared(one)} for category, one in dossier.spared],
        "exemptions": told.exemptions,
        "reasons": [{"reason": reason, "seen": seen} for reason, seen in dossier.reasons.items()],
        "events": dossier.events[:EVENTS],
        "clean": {"connections": dossier.connections, "messages": dossier.messages},
        "hits": dossier.hits,
    }


def _spared(one: object) -> dict[str, object]:
    names = ("began", "last", "points", "offences", "clean")
    return {name: getattr(one, name) for name in names}
