"""The public page as an ASGI application: which path is answered how. Nothing that it does changes anything."""

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from repzone.clock import Clock
from repzone.model import Client
from repzone.web import api, page, rejection
from repzone.web.calendar import reminder
from repzone.web.http import Guard, Headed
from repzone.web.knowledge import Knowledge
from repzone.web.messages import Language, choose
from repzone.web.messages import marked as N_
from repzone.web.site import Site
from repzone.web.verdict import Kind, Verdict, judge
from repzone.web.visitors import Limits, visitor

NO_ADDRESS = N_("There is no address in what you entered. Enter one such as 192.0.2.10, or the line of the rejection.")
SEVERAL = N_("There are several addresses in what you entered. Which one is your server?")

LATER = {"retry-after": "60"}
"""When to ask again if nobody can say at the moment."""

KEPT = 10
"""Seconds for which a program may keep an answer."""


class PublicPage:
    """Answers visitors; `site` is what is in force now."""

    def __init__(
        self, site: Callable[[], Site], knowledge: Knowledge, clock: Clock, trusted: tuple[Client, ...]
    ) -> None:
        self._site, self._knowledge, self._clock, self._trusted = site, knowledge, clock, trusted
        self._limits = Limits()

    def app(self) -> ASGIApp:
        """Give the application."""
        inner = Starlette(
            routes=[
                Route("/", self.show, methods=["GET"]),
                Route("/", self.find, methods=["POST"]),
                Route("/static/{name}", self.asset, methods=["GET"]),
                Route("/api/v1/openapi.json", self.document, methods=["GET"]),
                Route("/api/v1/ip/{address:path}", self.ask, methods=["GET"]),
                Route("/robots.txt", self.robots, methods=["GET"]),
                Route("/healthz", self.health, methods=["GET"]),
            ],
            middleware=[Middleware(Guard), Middleware(GZipMiddleware, minimum_size=500)],
            exception_handlers={HTTPException: _refused},
        )
        inner.router.redirect_slashes = False  # where to would be the Host's to say, and that is the visitor's word
        return Headed(inner)

    async def show(self, request: Request) -> Response:
        """Write the page, with the verdict when an address is asked for."""
        t, now = self._language(request), self._clock()
        text = request.query_params.get("ip", "")[: rejection.MOST]
        if not text.strip():
            return self._page(t, now, page.Asked(), None, await self._knowledge.counts(now))
        try:
            subject = rejection.parse(text)
        except rejection.UnclearError as unclear:
            problem = SEVERAL if unclear.found else NO_ADDRESS
            return self._page(t, now, page.Asked(text[:200], found=unclear.found, problem=problem), None, None, 400)
        wait = self._wait(request, now)
        if wait:
            asked = page.Asked(str(subject.client), wait=wait)
            return self._page(t, now, asked, None, None, 429, {"retry-after": str(wait)})
        zone = rejection.read_zone(request.query_params.get("zone", subject.zone))
        verdict = await self._judge(subject.client, now)
        asked, counts = page.Asked(str(subject.client), zone), await self._knowledge.counts(now)
        if verdict.kind is Kind.unknown:
            return self._page(t, now, asked, verdict, counts, 503, LATER)
        return self._page(t, now, asked, verdict, counts)

    async def find(self, request: Request) -> Response:
        """Take the address out of what was entered and lead to its answer: what was pasted stays in no log."""
        text = _field((await request.body()).decode("utf-8", "replace"), "ip")
        t, now = self._language(request), self._clock()
        try:
            subject = rejection.parse(text)
        except rejection.UnclearError as unclear:
            problem = SEVERAL if unclear.found else NO_ADDRESS
            return self._page(t, now, page.Asked(text[:200], found=unclear.found, problem=problem), None, None, 400)
        lang = request.query_params.get("lang", "")
        return RedirectResponse(page.link(subject.client, subject.zone, lang), 303)

    async def ask(self, request: Request) -> Response:
        """Answer programs: JSON, plain text, or a reminder."""
        words, _, suffix = request.path_params["address"].rpartition(".")
        name = words if suffix in ("txt", "ics") else request.path_params["address"]
        client = rejection.read_address(name)
        if client is None:
            return _problem(404, "It is no address", f"{name[:64]!r} is no IPv4 or IPv6 address")
        now = self._clock()
        wait = self._wait(request, now)
        if wait:
            return _problem(429, "Asked too often", f"ask again in {wait} s", {"retry-after": str(wait)})
        verdict = await self._judge(client, now)
        if verdict.kind is Kind.unknown:
            return _problem(503, "Nobody can say at the moment", "the list does not answer", LATER)
        return self._told(request, verdict, suffix if suffix in ("txt", "ics") else "json")

    def _told(self, request: Request, verdict: Verdict, form: str) -> Response:
        t, site = self._language(request), self._site()
        left = min((block.listing.expires - verdict.now for block in verdict.blocks), default=KEPT)
        headers = {"cache-control": f"private, max-age={min(KEPT, left)}", "vary": "Accept-Language, Accept"}
        if form == "ics":
            if not verdict.blocks:
                return _problem(404, "There is nothing to remind of", f"{verdict.client} is not blocked")
            # Behind a proxy only the zone's own URL is surely what the world calls this page.
            here = str(request.base_url).rstrip("/") + page.link(verdict.client, "", t.code)
            url = next((zone.url for zone in site.zones if zone.url), "").format(client=verdict.client) or here
            headers["content-disposition"] = 'attachment; filename="release.ics"'
            return Response(reminder(verdict, t, site.name, url), 200, headers, "text/calendar; charset=utf-8")
        accepts = request.headers.get("accept", "").lower()
        if form == "txt" or (accepts.startswith("text/plain") and form == "json"):
            return PlainTextResponse(page.render_text(site, t, verdict), headers=headers)
        return JSONResponse(api.fields(site, verdict), headers=headers)

    async def document(self, request: Request) -> Response:
        """Give the OpenAPI document."""
        return JSONResponse(api.document(self._site()), headers={"cache-control": "public, max-age=60"})

    async def asset(self, request: Request) -> Response:
        """Give a file of the pages; one that is asked for by its digest may be kept for ever."""
        found = self._site().assets.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        known = request.query_params.get("v") == found.digest
        kept = "public, max-age=31536000, immutable" if known else "no-cache"
        return Response(found.octets, headers={"cache-control": kept}, media_type=found.type)

    async def robots(self, request: Request) -> Response:
        """Keep robots out of the answers."""
        return PlainTextResponse("User-agent: *\nDisallow: /api/\nDisallow: /*?\n")

    async def health(self, request: Request) -> Response:
        """Say that it lives."""
        return PlainTextResponse("ok\n")

    def _language(self, request: Request) -> Language:
        accepted = request.headers.get("accept-language", "")
        return choose(request.query_params.get("lang", ""), accepted, self._site().operator.language)

    def _wait(self, request: Request, now: int) -> int:
        peer = request.client.host if request.client else ""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        return self._limits.ask(visitor(peer, forwarded, self._trusted), now)

    async def _judge(self, client: Client, now: int) -> Verdict:
        site = self._site()
        return judge(client, now, await self._knowledge.look_up(client, now), site.zones, site.max_stale)

    def _page(
        self,
        t: Language,
        now: int,
        asked: page.Asked,
        verdict: Verdict | None,
        counts: dict[int, int] | None,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        text = page.render(self._site(), t, now, asked, verdict, counts)
        return HTMLResponse(text, status, {"vary": "Accept-Language", "content-language": t.code, **(headers or {})})


def _field(form: str, name: str) -> str:
    """Give a field of a form; "" when it is not there, or among too many to be a form of ours."""
    try:
        return parse_qs(form, max_num_fields=20).get(name, [""])[0]
    except ValueError:
        return ""


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Write an error for a program (RFC 9457)."""
    content = {"title": title, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, "application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    """Say in one line what cannot be had."""
    assert isinstance(error, HTTPException)  # noqa: S101 - only these come here
    if request.url.path.startswith("/api/"):
        return _problem(error.status_code, error.detail, request.url.path[:200], dict(error.headers or {}))
    headers = dict(error.headers or {})
    if error.status_code == 405 and request.url.path == "/":
        headers["allow"] = "GET, HEAD, POST"  # two routes, of which the first one knows of itself only
    return PlainTextResponse(f"{error.status_code} {error.detail}\n", error.status_code, headers)
