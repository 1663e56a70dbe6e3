"""The console as an ASGI application: which path is answered by which view."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from repzone.clock import Clock
from repzone.config import Settings, load_console_token
from repzone.jobs.rotation import live_path
from repzone.store.engine import Engine
from repzone.web.console import audit, client, held, listings
from repzone.web.console.access import COOKIE, LASTS, Access
from repzone.web.console.desk import ASSETS, TYPES, Desk, Handler, View, read_form
from repzone.web.console.overview import Front
from repzone.web.console.policy import PolicyRoom
from repzone.web.console.whatif import Trials
from repzone.web.http import Guard, Headed
from repzone.web.site import Site

STREAM = "/events"


def build_console(
    settings: Settings, engine: Callable[[], Engine | None], site: Callable[[], Site], clock: Clock
) -> ASGIApp:
    """Make the application; ConfigError when nothing says who may come in. `engine` gives one that can write."""
    access = Access(load_console_token(settings), settings.console_user_header, settings.trusted_proxies)
    logs = frozenset((settings.host, str(live_path(Path(name).resolve()))) for name in settings.logs)
    desk = Desk(engine, site, clock, access, settings.state_dir, logs)
    front, policy = Front(desk), PolicyRoom(Trials())
    views: dict[str, Handler] = {
        "/": front.show,
        "/overview.json": front.show,
        STREAM: front.events,
        "/listings": listings.show,
        "/listings.json": listings.show,
        "/client/{address:path}": client.show,
        "/held": held.show,
        "/held.json": held.show,
        "/policy": policy.show,
        "/policy.json": policy.show,
        "/policy/what-if/{id}": policy.trial,
        "/audit": audit.show,
        "/audit.json": audit.show,
    }
    acts: dict[str, Handler] = {
        "/client/{address:path}": client.act,
        "/held": held.decide,
        "/policy/what-if": policy.start,
    }
    door = _Door(desk)
    inner = Starlette(
        routes=[
            Route("/static/{name}", _asset, methods=["GET"]),
            Route("/healthz", _health, methods=["GET"]),
            Route("/favicon.ico", _no_icon, methods=["GET"]),
            Route("/login", door.show, methods=["GET"]),
            Route("/login", door.enter, methods=["POST"]),
            Route("/logout", door.leave, methods=["POST"]),
            *(Route(path, desk.open(view), methods=["GET"]) for path, view in views.items()),
            *(Route(path, desk.open(act), methods=["POST"]) for path, act in acts.items()),
        ],
        middleware=[Middleware(_Long), Middleware(Guard), Middleware(GZipMiddleware, minimum_size=500)],
        exception_handlers={HTTPException: desk_fault(desk)},
    )
    inner.router.redirect_slashes = False  # where to would be the Host's to say, and that is the visitor's word
    return Headed(inner)


class _Long:
    """Lets the stream of events last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == STREAM:
            scope["repzone.stream"] = True
        await self._app(scope, receive, send)


class _Door:
    """Lets in whoever has the token."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """Ask for the token."""
        target = local(request.query_params.get("next", ""))
        if self._desk.access.find(request, self._desk.clock()) is not None:
            return RedirectResponse(target, 303)
        return self._form(request, target, "", 200)

    async def enter(self, request: Request) -> Response:
        """Begin a session."""
        desk, form = self._desk, await read_form(request)
        target = local(form.get("next", ""))
        if not desk.access.is_ours(request):
            raise HTTPException(403, "This form did not come from this console.")
        cookie, wait = desk.access.log_in(request, form.get("token", ""), form.get("name", ""), desk.clock())
        if wait:
            return self._form(request, target, f"Too many wrong tokens: wait {wait} s.", 429, str(wait))
        if not cookie:
            return self._form(request, target, "That is not the token.", 403)
        answer = RedirectResponse(target, 303)
        secure = desk.access.is_secure(request)
        answer.set_cookie(COOKIE, cookie, LASTS, httponly=True, samesite="strict", secure=secure)
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session."""
        access = self._desk.access
        person = access.find(request, self._desk.clock())
        if person is not None:
            await self._desk.require_meant(request, person)
            access.log_out(request)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _form(self, request: Request, target: str, problem: str, status: int, wait: str = "") -> Response:
        context = {"target": target, "problem": problem, "by_token": self._desk.access.by_token}
        answer = self._desk.answer(request, None, View("login.html", context, status=status))
        if wait:
            answer.headers["retry-after"] = wait
        return answer


def local(target: str) -> str:
    """Give where to go after the door: a path of ours, never another site's."""
    known = unquote(target)
    plain = known.startswith("/") and known[1:2] not in ("/", "\\") and target.isprintable() and known.isprintable()
    return target if plain and not known.startswith(("/login", STREAM)) else "/"


def desk_fault(desk: Desk) -> Callable[[Request, Exception], Response]:
    """Make the answer that says in one line what cannot be had."""

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - only these come here
        person = None if error.status_code == 401 else desk.access.find(request, desk.clock())
        view = View("fault.html", {"fault": error.detail}, {"error": error.detail}, error.status_code)
        answer = desk.answer(request, person, view)
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer

    return refused


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    octets = ASSETS.get(name)
    if octets is None:
        raise HTTPException(404)
    known = request.query_params.get("v") == hashlib.sha256(octets).hexdigest()[:12]
    kept = "public, max-age=31536000, immutable" if known else "no-cache"
    return Response(octets, headers={"cache-control": kept}, media_type=TYPES[Path(name).suffix])


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204, headers={"cache-control": "public, max-age=86400"})
