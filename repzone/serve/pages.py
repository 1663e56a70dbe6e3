"""Pages in, an HTTP/1.1 server of them out, for monitors: GET and HEAD, one request a connection, strict bounds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from repzone.errors import UnavailableError
from repzone.serve.bind import format_address

REQUEST_OCTETS = 8192
SECONDS = 5.0
CONNECTIONS = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Page:
    """What a request gets."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


class PageServer:
    """Serves pages by their path; they are made in the loop, so they must be quick."""

    def __init__(self, listen: Sequence[tuple[str, int]], pages: Mapping[str, Callable[[], Page]]) -> None:
        """`listen` holds address literals and ports (0: any free one)."""
        self._listen, self._pages = listen, pages
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The addresses and ports that are bound."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    async def start(self) -> None:
        """Bind; UnavailableError names the address that cannot be bound."""
        for host, port in self._listen:
            try:
                self._servers.append(await asyncio.start_server(self._serve, host, port, limit=REQUEST_OCTETS))
            except OSError as error:
                await self.close()
                where = format_address(host, port)
                raise UnavailableError(f"cannot listen on {where} (metrics_listen): {error.strerror}") from None
        if self._servers:
            log.info("metrics.listening", addresses=[format_address(*address) for address in self.addresses])

    async def close(self) -> None:
        """Take no more, and cut off whoever is still there."""
        for server in self._servers:
            server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        self._servers = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(self._reply(await _read_request(reader)))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    def _reply(self, request: tuple[str, str] | HTTPStatus) -> bytes:
        if isinstance(request, HTTPStatus):
            return _write(Page(b"", request))
        method, path = request
        if method not in ("GET", "HEAD"):
            return _write(Page(b"", HTTPStatus.METHOD_NOT_ALLOWED))
        make = self._pages.get(path.partition("?")[0])
        if make is None:
            return _write(Page(b"", HTTPStatus.NOT_FOUND))
        try:
            page = make()
        except Exception:  # our own bug: this page is lost, the server goes on
            log.exception("metrics.failed", path=path)
            page = Page(b"", HTTPStatus.INTERNAL_SERVER_ERROR)
        return _write(page, with_body=method == "GET")


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str] | HTTPStatus:
    """Read a request's head (RFC 9112 §3) and give its method and target, or the status that it deserves."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST
    return words[0], words[1]


def _write(page: Page, *, with_body: bool = True) -> bytes:
    body = page.body or f"{page.status.phrase}\n".encode()
    lines = (
        f"HTTP/1.1 {page.status} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        *(("Allow: GET, HEAD",) if page.status is HTTPStatus.METHOD_NOT_ALLOWED else ()),
        "Cache-Control: no-store",
        "Connection: close",
    )
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode() + (body if with_body else b"")
