"""A bound UDP socket and a handler in, replies sent from the address that was asked.

A socket on one address answers from it by itself. One on 0.0.0.0 or :: would answer from whichever address the
route prefers, and clients throw that away: there the kernel tells the address (IP_PKTINFO, RFC 3542 §6) and is told it.
"""

import asyncio
import socket
from typing import Any

from repzone.serve.handler import Handler

BATCH = 64  # packets read before TCP and timers get their turn
LARGEST = 4096  # of a longer datagram the rest is cut off, and what is left is malformed
IP_PKTINFO = 8  # Linux; the socket module names it from Python 3.12 on
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_PKTINFO = {(socket.IPPROTO_IP, IP_PKTINFO), (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)}
_SPACE = socket.CMSG_SPACE(20)


def ask_for_destination(sock: socket.socket) -> None:
    """Have the kernel tell which address each packet was sent to."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


class UdpServer:
    """Reads a non-blocking socket whenever the loop says that there is something."""

    def __init__(self, sock: socket.socket, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._sock, self._handler, self._loop = sock, handler, loop
        self._wildcard = sock.getsockname()[0] in WILDCARDS
        if self._wildcard:
            ask_for_destination(sock)
        loop.add_reader(sock, self._read)

    def _read(self) -> None:
        read = self._answer_by_message if self._wildcard else self._answer
        for _ in range(BATCH):
            try:
                read()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # A client's port that is closed, a network that is down, a full buffer: this reply is lost, and its
                # client asks again.
                continue

    def _answer(self) -> None:
        packet, address = self._sock.recvfrom(LARGEST)
        reply = self._handler.handle(packet, address[0], udp=True)
        if reply is not None:
            self._sock.sendto(reply, address)

    def _answer_by_message(self) -> None:
        packet, control, _, address = self._sock.recvmsg(LARGEST, _SPACE)
        reply = self._handler.handle(packet, address[0], udp=True)
        if reply is not None:
            self._sock.sendmsg([reply], _source(control), 0, address)

    def close(self) -> None:
        """Answer what has arrived, one batch at most, then stop."""
        self._loop.remove_reader(self._sock)
        self._read()
        self._sock.close()


def _source(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, Any]]:
    """Turn where a packet was sent to into where its reply comes from."""
    source = []
    for level, kind, data in control:
        if (level, kind) in _PKTINFO:
            if level == socket.IPPROTO_IP:  # interface 0: the route decides; the address is the local one
                data = bytes(4) + data[4:8] + bytes(4)
            source.append((level, kind, data))
    return source
