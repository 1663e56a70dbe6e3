"""ASGI middleware around every page: headers that keep browsers safe, and bounds on what a request may cost."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

MAX_BODY = 65_536
"""Octets of a request's body."""

TIME = 30.0
"""Seconds that a request may take, its body included."""


class Headed:
    """Puts the headers on every answer; outside of all else, so that they are on the answer to a fault of ours too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, _headed(send) if scope["type"] == "http" else send)


def _headed(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "private, no-store")
        await send(message)

    return headed


class Guard:
    """Puts the headers on every answer, refuses bodies that are too long, and ends what takes too long.

    So does a request with two lengths end its connection: what comes behind it could be taken for another's (RFC 9112
    section 6.1). Who hangs up in the middle of a body is not answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, headed = False, _headed(send)

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            await headed(message)

        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            answer = PlainTextResponse("The request has two lengths.\n", 400, {"connection": "close"})
            await answer(scope, receive, guarded)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise TooLongError
            return message

        try:
            async with asyncio.timeout(None if scope.get("repzone.stream") else TIME):
                await self._app(scope, bounded, guarded)
        except ClientDisconnect:
            return
        except TooLongError:
            if not begun:
                await PlainTextResponse("The request is too long.\n", 413)(scope, receive, guarded)
        except TimeoutError:
            if not begun:
                await PlainTextResponse("The request took too long.\n", 408)(scope, receive, guarded)


class TooLongError(Exception):
    """A body is longer than is read."""
