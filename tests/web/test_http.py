"""What a request may cost: its body has a length, and it has a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from repzone.web import http
from repzone.web.http import HEADERS, MAX_BODY, Guard


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the length of the body; a path `/own` has a header of its own."""
    body = await Request(scope, receive).body()
    own = {"cache-control": "public"} if scope["path"] == "/own" else None
    answer: Response = PlainTextResponse(str(len(body)), headers=own)
    await answer(scope, receive, send)


def ask(
    parts: Iterable[bytes], path: str = "/", *, ends: bool = True, headed: tuple[str, ...] = ()
) -> tuple[int, dict[str, str], bytes]:
    """Send a body in parts, which does not end if `ends` is not set; give status, headers and body of the answer."""
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        if not ends:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    scope["headers"] = [(name.encode(), b"7") for name in headed]
    asyncio.run(Guard(echo)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


def test_a_body_is_read_as_far_as_is_allowed() -> None:
    status, headers, body = ask([b"x" * 1000] * (MAX_BODY // 1000))
    assert (status, int(body)) == (200, MAX_BODY // 1000 * 1000)
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert headers["cache-control"] == "private, no-store"


def test_a_body_that_is_too_long_is_refused_in_the_middle() -> None:
    left = iter([b"x" * 40_000] * 50)
    status, headers, _ = ask([next(left), next(left), *left])
    assert status == 413
    assert {name: headers[name] for name in HEADERS} == HEADERS


def test_a_body_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIME", 0.05)
    assert ask([b"ip=192"], ends=False)[0] == 408


def test_a_request_with_two_lengths_is_the_last_of_its_connection() -> None:
    status, headers, _ = ask([b"ip=192"], headed=("content-length", "transfer-encoding"))
    assert (status, headers["connection"]) == (400, "close")
    assert ask([b"ip=192"], headed=("content-length",))[0] == 200


def test_who_hangs_up_in_the_middle_is_no_fault_of_ours() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(Guard(echo)(scope, receive, send))


def test_an_answer_that_may_be_kept_says_so_itself() -> None:
    assert ask([], "/own")[1]["cache-control"] == "public"


def test_no_directive_lets_in_what_is_not_ours() -> None:
    for directive in http.POLICY.split("; "):
        assert directive.split()[1:] in (["'none'"], ["'self'"])
