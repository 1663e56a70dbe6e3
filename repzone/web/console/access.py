"""A request in, who it comes from out: by the token's session, by the token itself, or by the word of a trusted proxy.

Sessions live in memory, so a restart ends them all. What acts needs a POST from our own pages: the session's token in
the form, and what the browser says of where it comes from (Fetch Metadata, Origin).
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from repzone.model import Client
from repzone.web.visitors import MINUTE, VISITOR_LENGTH, visitor

COOKIE = "repzone_console"
LASTS = 12 * 3600
"""Seconds that a session lasts."""

MOST = 1000
"""Sessions at a time; the oldest ends."""

MOST_WRONG = 5
"""Wrong tokens a minute that an address, or an IPv6 /56, may give; then right ones are refused too."""

MAX_NAME = 64
SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, and the token that their forms carry; `told` says that a proxy told us, so nobody can log out."""

    name: str
    csrf: str
    told: bool = False


@dataclass(frozen=True, slots=True)
class _Session:
    name: str
    expires: int


class Access:
    """Knows who may come in."""

    def __init__(self, token: str | None, header: str | None, trusted: tuple[Client, ...]) -> None:
        self._token = None if token is None else _digest(token)
        self._header, self._trusted = header, trusted
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._wrong: OrderedDict[Client, tuple[int, int]] = OrderedDict()

    @property
    def by_token(self) -> bool:
        """Tell whether a token lets in."""
        return self._token is not None

    def find(self, request: Request, now: int) -> Person | None:
        """Give who asks; None for a stranger."""
        if self._header is not None and self._is_trusted(request):
            names = request.headers.getlist(self._header)
            name = clean_name(names[0]) if len(names) == 1 else ""
            if name:
                return Person(name, self._sign(f"told {name}"), told=True)
        if self._token is None:
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and request.url.path.endswith(".json") and request.method in SAFE:
            return Person("token", "", told=True) if self._tried(request, bearer.strip(), now) == 0 else None
        cookie = request.cookies.get(COOKIE, "")
        session = self._sessions.get(_digest(cookie))
        if session is None or now >= session.expires:
            return None
        return Person(session.name, self._sign(f"session {cookie}"))

    def log_in(self, request: Request, token: str, name: str, now: int) -> tuple[str, int]:
        """Give a session's cookie, or "" and the seconds after which to try again (0: at once)."""
        wait = self._tried(request, token, now)
        if wait:
            return "", max(0, wait)
        cookie = secrets.token_urlsafe(32)
        self._sessions[_digest(cookie)] = _Session(clean_name(name) or "operator", now + LASTS)
        while len(self._sessions) > MOST:
            self._sessions.popitem(last=False)
        return cookie, 0

    def log_out(self, request: Request) -> None:
        """End the session."""
        self._sessions.pop(_digest(request.cookies.get(COOKIE, "")), None)

    def is_secure(self, request: Request) -> bool:
        """Tell whether the browser speaks HTTPS, to us or to a trusted proxy."""
        forwarded = request.headers.get("x-forwarded-proto", "")
        return request.url.scheme == "https" or (self._is_trusted(request) and forwarded == "https")

    def is_ours(self, request: Request) -> bool:
        """Tell whether the browser says that this comes from one of our own pages."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = request.headers.get("origin")
        return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")

    def is_meant(self, person: Person, form: Mapping[str, str]) -> bool:
        """Tell whether a form came from a page that this person was given."""
        return bool(person.csrf) and hmac.compare_digest(person.csrf.encode(), form.get("csrf", "").encode())

    def _tried(self, request: Request, token: str, now: int) -> int:
        """Give 0 when the token is right, the seconds to wait after too many wrong ones, else -1."""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        who = visitor(request.client.host if request.client else "", forwarded, self._trusted)
        key = who.truncate(VISITOR_LENGTH[who.version])
        minute, wrong = self._wrong.get(key, (0, 0))
        if minute == now // MINUTE and wrong >= MOST_WRONG:
            return MINUTE - now % MINUTE
        if self._token is not None and hmac.compare_digest(self._token, _digest(token)):
            return 0
        self._wrong[key] = (now // MINUTE, wrong + 1 if minute == now // MINUTE else 1)
        self._wrong.move_to_end(key)
        while len(self._wrong) > MOST:
            self._wrong.popitem(last=False)
        return -1

    def _is_trusted(self, request: Request) -> bool:
        try:
            peer = Client.from_text(request.client.host if request.client else "")
        except ValueError:
            return False
        return any(network.covers(peer) for network in self._trusted)

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()


def clean_name(text: str) -> str:
    """Give a name as the audit keeps it: one line of what can be seen."""
    return "".join(one for one in text.strip() if one.isprintable())[:MAX_NAME].strip()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
