"""What every view of the console shares: who asks, the database, templates, and the same answer as page or JSON."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from repzone.clock import Clock
from repzone.errors import RepzoneError, UnavailableError
from repzone.policy.rules import DAY, HOUR
from repzone.store.browse import reading
from repzone.store.engine import Connection, Engine
from repzone.store.find import Wanted, stream_listings
from repzone.web.console.access import SAFE, Access, Person
from repzone.web.console.fields import as_json, utc
from repzone.web.console.words import lines, spelled, visible
from repzone.web.site import Site
from repzone.zone.texts import format_instant, format_left, format_span, ordinal

T = TypeVar("T")
STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
ASSETS = {file.name: file.read_bytes() for file in sorted(STATIC.iterdir()) if file.suffix in TYPES}
HELD_SHOWN = 99
"""So many held listings are counted in the navigation."""

REFERRER = {"referrer-policy": "same-origin"}
"""Without it a browser says of a form on a page without HTTPS that it comes from nowhere."""


@dataclass(frozen=True, slots=True)
class View:
    """One answer: a template and what stands in it; `fields` is the same for programs."""

    template: str
    context: Mapping[str, object]
    fields: object = None
    status: int = 200


Handler = Callable[["Desk", Request, Person], Awaitable["View | Response"]]


_WINDOWS = {HOUR: "hour", DAY: "day"}
"""How a window is called behind "the last", where that is not its length: as the commands say it."""


def _unbroken(span: str) -> str:
    """Let no line break between a number and its unit."""
    return span.replace(" ", "\N{NO-BREAK SPACE}")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("repzone.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "iso": utc,
        "instant": format_instant,
        "left": lambda seconds: _unbroken(format_left(seconds)),
        "short": lambda seconds: _unbroken(format_span(seconds)),
        "within": lambda seconds: _WINDOWS.get(seconds) or _unbroken(format_span(seconds)),
        "ordinal": ordinal,
        "visible": visible,
        "spelled": spelled,
        "lines": lines,
        "number": lambda value: f"{value:,}",
        "address": lambda client: quote(str(client), safe="/:."),
    }
    made.globals["asset"] = lambda name: f"/static/{name}?v={hashlib.sha256(ASSETS[name]).hexdigest()[:12]}"
    return made


@dataclass(slots=True)
class Desk:
    """The console at work; `engine` gives None while there is no database; `logs` are the
    configured ones, by host and path."""

    engine: Callable[[], Engine | None]
    site: Callable[[], Site]
    clock: Clock
    access: Access
    folder: Path
    logs: frozenset[tuple[str, str]]
    templates: Environment = field(default_factory=_environment)

    def open(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Make an endpoint of a view: strangers are sent to the door, and acts must come from our own pages."""

        async def endpoint(request: Request) -> Response:
            person = self.access.find(request, self.clock())
            if person is None:
                if request.url.path.endswith(".json") or request.method not in SAFE:
                    detail = "Nobody is logged in here, or no longer. Nothing was done."
                    raise HTTPException(401, detail, {"www-authenticate": "Bearer"})
                target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse("/login?next=" + quote(target, safe="/"), 303)
            if request.method not in SAFE:
                await self.require_meant(request, person)
            try:
                view = await handler(self, request, person)
            except UnavailableError as error:
                fault = f"{error}{'' if request.method in SAFE else '. The audit will say whether it was done.'}"
                view = View("fault.html", {"fault": fault}, {"error": fault}, 503)
            except RepzoneError as error:
                view = View("fault.html", {"fault": str(error)}, {"error": str(error)}, 409)
            if isinstance(view, Response):
                return view
            return self.answer(request, person, view, await self._count_held(request, view))

        return endpoint

    async def require_meant(self, request: Request, person: Person) -> None:
        """Raise HTTPException unless a form came from a page that this person was given."""
        if not (self.access.is_ours(request) and self.access.is_meant(person, await read_form(request))):
            raise HTTPException(403, "This form is too old, or did not come from this console.")

    async def _count_held(self, request: Request, view: View) -> int:
        """Count what the brake holds, one more than HELD_SHOWN at most; 0 where no page can say it."""
        if request.url.path.endswith(".json") or view.status == 503:
            return 0
        wanted = Wanted(state="held")
        try:  # listing_held_idx
            return await self.ask(
                lambda at, now: sum(1 for _ in stream_listings(at, wanted, now, "began", HELD_SHOWN + 1))
            )
        except RepzoneError:
            return 0

    def answer(self, request: Request, person: Person | None, view: View, held: int = 0) -> Response:
        """Write a view as the page or the JSON that is asked for; `held` listings wait for somebody to decide."""
        if request.url.path.endswith(".json"):
            text = json.dumps(as_json(view.fields), separators=(",", ":"))
            return Response(text, view.status, REFERRER, "application/json")
        words = {
            "person": person,
            "site": self.site(),
            "now": self.clock(),
            "path": request.url.path,
            "query": request.url.query,
            "waiting": f" (>{HELD_SHOWN})" if held > HELD_SHOWN else f" ({held})" if held else "",
            "done": request.query_params.get("done", "")[:200],
        }
        text = self.templates.get_template(view.template).render({**words, **view.context})
        return HTMLResponse(text, view.status, REFERRER)

    async def ask(self, question: Callable[[Connection, int], T], patience: int = 500) -> T:
        """Ask the database in a thread; UnavailableError when it does not answer, or not in time."""
        now = self.clock()

        def run() -> T:
            with reading(self.database(), patience) as connection:
                return question(connection, now)

        return await asyncio.to_thread(run)

    def database(self) -> Engine:
        """Give the database; UnavailableError while there is none."""
        engine = self.engine()
        if engine is None:
            raise UnavailableError("the database does not answer yet")
        return engine


async def read_form(request: Request) -> dict[str, str]:
    """Give the last value of each field of a form."""
    return {name: values[-1] for name, values in (await read_lists(request)).items()}


async def read_lists(request: Request) -> dict[str, list[str]]:
    """Give all values of each field of a form."""
    if not hasattr(request.state, "form"):
        body = (await request.body()).decode("utf-8", "replace")
        try:
            request.state.form = parse_qs(body, keep_blank_values=True, max_num_fields=2000)
        except ValueError:
            raise HTTPException(400, "There are too many fields in this form.") from None
    return dict(request.state.form)
