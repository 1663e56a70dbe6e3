"""An address and port in, bound UDP and TCP sockets of one port out; UnavailableError names who is in the way."""

import errno
import socket
from pathlib import Path

from repzone.errors import UnavailableError

BACKLOG = 128
RECEIVE_BUFFER = 4 * 1024 * 1024  # the kernel grants what it allows; a burst must not be lost while Python works
TCP_BUFFER = 64 * 1024
_TRIES = 20  # for port 0: the port that UDP got may be taken on TCP

Pair = tuple[socket.socket, socket.socket]


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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
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
