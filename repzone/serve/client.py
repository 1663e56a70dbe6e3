"""A question for a DNS server in, its reply out: by UDP, and by TCP when that was cut or is wanted."""

import secrets
import socket

from repzone.errors import UnavailableError
from repzone.wire.ask import Reply, encode_query, parse_reply

TIMEOUT = 3.0


def ask(
    server: tuple[str, int],
    name: str,
    kind: str,
    *,
    tcp: bool = False,
    recursive: bool = False,
    unchecked: bool = False,
) -> Reply:
    """Ask once; UnavailableError when no usable reply comes within `TIMEOUT` seconds.

    `recursive` and `unchecked` are for resolvers (`encode_query`).
    """
    number = secrets.randbelow(65536)
    query = encode_query(name, kind, number, recursive=recursive, unchecked=unchecked)
    try:
        reply = parse_reply(_by_tcp(server, query) if tcp else _by_udp(server, query), number)
    except (OSError, ValueError) as error:
        way = "TCP" if tcp else "UDP"
        raise UnavailableError(f"{server[0]} port {server[1]} ({way}) gives no answer for {name}: {error}") from None
    if reply.truncated and not tcp:
        return ask(server, name, kind, tcp=True, recursive=recursive, unchecked=unchecked)
    return reply


def _by_udp(server: tuple[str, int], query: bytes) -> bytes:
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(server)
        sock.send(query)
        return sock.recv(65535)


def _by_tcp(server: tuple[str, int], query: bytes) -> bytes:
    """Send with the two octets of length in front (RFC 1035 §4.2.2), read as much as the reply's say."""
    with socket.create_connection(server, TIMEOUT) as sock, sock.makefile("rb") as stream:
        sock.sendall(len(query).to_bytes(2, "big") + query)
        return stream.read(int.from_bytes(stream.read(2), "big"))


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
