"""Real sockets: what listens where, who is hung up on, and that answers are finished before the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from repzone.errors import UnavailableError
from repzone.web import run
from repzone.web.http import Guard
from repzone.web.run import Listener, serve

Address = tuple[str, int]
ANYWHERE = [("127.0.0.1", 0)]


def app(text: str, wait: asyncio.Event | None = None, begun: asyncio.Event | None = None) -> ASGIApp:
    """Make an application that answers one text, once it may."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if begun is not None:
            begun.set()
        if wait is not None:
            await wait.wait()
        await PlainTextResponse(text)(scope, receive, send)

    return answer


async def ask(address: Address, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") -> bytes:
    """Send octets and give everything that comes until the other side hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    said = await reader.read()
    writer.close()
    return said


def during(listeners: list[Listener], act: Callable[[list[list[Address]]], Awaitable[None]]) -> None:
    """Serve, do something with the addresses that the system gave, and end."""

    async def whole() -> None:
        stop = asyncio.Event()
        ready: asyncio.Future[list[list[Address]]] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(listeners, stop, lambda bound: ready.set_result([list(addresses) for addresses in bound]))
        )
        await act(await ready)
        stop.set()
        await serving

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_each_application_answers_where_it_listens() -> None:
    async def act(bound: list[list[Address]]) -> None:
        assert len(bound[0]) == 2
        for addresses, text in zip(bound, (b"one", b"two"), strict=True):
            for address in addresses:
                said = await ask(address)
                assert said.startswith(b"HTTP/1.1 200")
                assert said.endswith(text)
                assert b"server:" not in said.lower()

    during([Listener(app("one"), ANYWHERE * 2, "web_listen"), Listener(app("two"), ANYWHERE, "console_listen")], act)


def test_no_answer_waits_for_its_header_to_be_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, made = [], run._Protocol.connection_made

    def connection_made(protocol: run._Protocol, transport: asyncio.Transport) -> None:
        at_once.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(protocol, transport)

    monkeypatch.setattr(run._Protocol, "connection_made", connection_made)

    async def act(bound: list[list[Address]]) -> None:
        assert (await ask(bound[0][0])).endswith(b"one")

    during([Listener(app("one"), ANYWHERE, "web_listen")], act)
    assert at_once
    assert all(at_once)


def test_a_request_whose_header_does_not_come_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "HEADER_TIME", 0.05)

    async def act(bound: list[list[Address]]) -> None:
        for request in (b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HT"):
            assert await ask(bound[0][0], request) == b""

    during([Listener(app("one"), ANYWHERE, "web_listen")], act)


def test_a_header_that_is_too_long_and_what_is_no_http_are_refused() -> None:
    async def act(bound: list[list[Address]]) -> None:
        for request in (b"GET / HTTP/1.1\r\nX: " + b"x" * run.MAX_HEADER * 2 + b"\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
            assert (await ask(bound[0][0], request)).startswith(b"HTTP/1.1 400")

    during([Listener(app("one"), ANYWHERE, "web_listen")], act)


def test_an_answer_that_has_begun_is_finished_before_the_end() -> None:
    async def whole() -> bytes:
        stop, may, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
        ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        listener = Listener(app("late", may, begun), ANYWHERE, "web_listen")
        serving = asyncio.create_task(serve([listener], stop, lambda bound: ready.set_result(bound[0][0])))
        asking = asyncio.create_task(ask(await ready))
        await begun.wait()
        stop.set()
        await asyncio.sleep(0.2)
        may.set()
        await serving
        return await asking

    assert asyncio.run(asyncio.wait_for(whole(), 60)).endswith(b"late")


def test_where_all_are_being_answered_a_further_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AT_ONCE", 3)
    may, begun = asyncio.Event(), asyncio.Event()

    async def act(bound: list[list[Address]]) -> None:
        asking = []
        for _ in range(2):
            begun.clear()
            asking.append(asyncio.create_task(ask(bound[0][0])))
            await begun.wait()
        assert (await ask(bound[0][0])).startswith(b"HTTP/1.1 503")
        may.set()
        assert all([(await one).startswith(b"HTTP/1.1 200") for one in asking])

    during([Listener(app("one", may, begun), ANYWHERE, "web_listen")], act)


def test_the_silent_make_room_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AT_ONCE", 4)

    async def act(bound: list[list[Address]]) -> None:
        silent = [await asyncio.open_connection(*bound[0][0]) for _ in range(12)]
        assert (await ask(bound[0][0])).startswith(b"HTTP/1.1 200")
        assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.close()

    during([Listener(app("one"), ANYWHERE, "web_listen")], act)


def test_so_do_those_whose_body_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AT_ONCE", 4)
    begun = asyncio.Event()

    async def body(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await Request(scope, receive).body()
        await PlainTextResponse("one")(scope, receive, send)

    async def act(bound: list[list[Address]]) -> None:
        slow = []
        for _ in range(3):
            begun.clear()
            slow.append(await asyncio.open_connection(*bound[0][0]))
            slow[-1][1].write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nip=")
            await begun.wait()
        for n in range(3):
            assert (await ask(bound[0][0])).startswith(b"HTTP/1.1 200"), n
        assert await slow[0][0].read() == b""
        for _, writer in slow:
            writer.close()

    during([Listener(Guard(body), ANYWHERE, "web_listen")], act)


def test_a_port_that_is_taken_is_said_with_the_key_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = taken.getsockname()
        listeners = [Listener(app("one"), ANYWHERE, "web_listen"), Listener(app("two"), [address], "console_listen")]
        with pytest.raises(UnavailableError) as said:
            asyncio.run(serve(listeners, asyncio.Event()))
    where = f"127.0.0.1:{address[1]}"
    wanted = f"cannot listen on {where} (TCP): another process has the port; stop it or set console_listen"
    assert str(said.value) == wanted
