"""An address and port in, bound UDP and TCP sockets of one port out; UnavailableError names who is in the way.

What systemd bound for us is taken as it is.
"""

import errno
import os
import socket
from pathlib import Path

from repzone.errors import UnavailableError

BACKLOG = 128
RECEIVE_BUFFER = 4 * 1024 * 1024  # the kernel grants what it allows; a burst must not be lost while Python works
TCP_BUFFER = 64 * 1024
_TRIES = 20  # for port 0: the port that UDP got may be taken on TCP

Pair = tuple[socket.socket, socket.socket]
_FIRST_PASSED = 3  # sd_listen_fds(3)
_passed: dict[tuple[int, str, int], socket.socket] = {}


def take_passed() -> list[tuple[str, int]]:
    """Take over the sockets that systemd has bound (sd_listen_fds(3)), and give their addresses; mostly none.

    `bind_pair` then gives them out. UnavailableError when one is neither UDP nor TCP, or TCP without UDP.
    """
    here = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    number = int(os.environ.pop("LISTEN_FDS", "0")) if here else 0
    for descriptor in range(_FIRST_PASSED, _FIRST_PASSED + number):
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            raise UnavailableError(f"the socket that systemd passed as descriptor {descriptor} is neither UDP nor TCP")
        _passed[sock.type, *sock.getsockname()[:2]] = sock
    addresses = [(host, port) for kind, host, port in _passed if kind == socket.SOCK_DGRAM]
    for kind, host, port in _passed:
        if kind == socket.SOCK_STREAM and (host, port) not in addresses:
            where = format_address(host, port)
            raise UnavailableError(f"systemd passed {where} for TCP alone: the socket unit needs ListenDatagram= too")
    return addresses


def bind_pair(host: str, port: int) -> Pair:
    """Bind UDP and TCP; port 0 is one free port for both."""
    for tries in range(_TRIES if port == 0 else 1, 0, -1):
        udp = _bind(socket.SOCK_DGRAM, host, port)
        try:
            return udp, _bind(socket.SOCK_STREAM, host, udp.getsockname()[1])
        except UnavailableError:
            udp.close()
            if tries == 1:
                raise
    raise AssertionError("there is at least one try")


def _bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    passed = _passed.pop((kind, host, port), None)
    if passed is not None:
        return passed
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With TCP named, asyncio sends each answer at once (TCP_NODELAY), whatever was not acknowledged yet.
    sock = socket.socket(family, kind, socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else 0)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # so that 0.0.0.0 can stand beside ::
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # connections inherit it: else up to megabytes each
                sock.setsockopt(socket.SOL_SOCKET, option, TCP_BUFFER)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind(socket.getaddrinfo(host, port, family, kind, flags=socket.AI_NUMERICHOST)[0][4])
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise UnavailableError(_explain(error, kind, host, port)) from None
    return sock


def format_address(host: str, port: int) -> str:
    """Write `127.0.0.1:5300` or `[::1]:5300`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(error: OSError, kind: socket.SocketKind, host: str, port: int) -> str:
    name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    where = f"cannot listen on {format_address(host, port)} ({name})"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: {holder(name.lower(), port) or 'another process'} has the port; stop it or set dns_listen"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= of the systemd unit)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: no interface of this host has that address"
    return f"{where}: {error.strerror or error}"


def holder(protocol: str, port: int) -> str | None:
    """Name the process that has a local port (Linux, as far as we may look); None when it cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:  # it ended, or is somebody else's
            continue
    return None


def _inodes(protocol: str, port: int) -> list[str]:
    """Give the inodes of the sockets bound to a port, from /proc/net: columns 2 (address:port, hexadecimal) and 10."""
    found = []
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for columns in (line.split() for line in lines):
            listening = protocol == "udp" or columns[3] == "0A"
            if listening and int(columns[1].rpartition(":")[2], 16) == port:
                found.append(columns[9])
    return found
