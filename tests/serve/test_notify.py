"""What systemd is told, and the sockets that it passes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repzone.serve.notify import keep_alive, notify, reloading, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of whoever started us."""
    abstract = request.param == "abstract"
    name = f"repzone-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name if abstract else name)
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        yield sock


def test_states_arrive_in_one_datagram(systemd: socket.socket) -> None:
    notify("READY=1", "STATUS=answering")
    assert systemd.recv(200) == b"READY=1\nSTATUS=answering"
    reloading()
    first, second = systemd.recv(200).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        (None, None, None),
        ("30000000", None, 30.0),
        ("30000000", os.getpid(), 30.0),
        ("30000000", 1, None),
        ("0", None, None),
    ],
    ids=["not set", "for anybody", "for us", "for another", "off"],
)
def test_the_watchdog_is_the_one_that_systemd_set_for_this_process(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, pid: int | None, seconds: float | None
) -> None:
    for name, value in {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(value))
    assert watchdog_interval() == seconds


def test_signs_of_life_come_as_long_as_there_is_life(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    answers = iter([True, True, False, True])

    async def main() -> None:
        with pytest.raises(RuntimeError):
            await keep_alive(lambda: next(answers))

    asyncio.run(main())
    notify("the end")
    assert [systemd.recv(200) for _ in range(4)] == [b"WATCHDOG=1"] * 3 + [b"the end"]


PASSED = """
import os, sys
pid, number, code = os.getpid(), int(sys.argv[1]), sys.argv[2]
os.environ.update(LISTEN_PID=str(pid), LISTEN_FDS=str(number))
exec(code)
"""
TAKE = """
import socket
from repzone.serve.bind import bind_pair, take_passed
addresses = take_passed()
print(addresses, os.environ.get("LISTEN_FDS"))
for host, port in addresses:
    udp, tcp = bind_pair(host, port)
    print(udp.fileno(), tcp.fileno(), os.get_inheritable(3))
"""


def take(*socks: socket.socket) -> subprocess.CompletedProcess[str]:
    """Take sockets over in a process that has them from descriptor 3 on."""

    def place() -> None:
        copies = [os.dup(sock.fileno()) for sock in socks]
        for number, copy in enumerate(copies):
            high = os.dup2(copy, 100 + number)
            os.set_inheritable(high, True)
        for number in range(len(socks)):
            os.dup2(100 + number, 3 + number)

    return subprocess.run(
        [sys.executable, "-c", PASSED, str(len(socks)), TAKE],
        close_fds=False,
        preexec_fn=place,
        capture_output=True,
        text=True,
        check=False,
    )


def test_sockets_that_systemd_bound_are_used() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        host, port = udp.getsockname()
        tcp.bind((host, port))
        tcp.listen()
        done = take(udp, tcp)
    assert done.stdout.splitlines() == [f"[('{host}', {port})] None", "3 4 False"], done.stderr


def test_a_port_for_udp_alone_gets_its_tcp_and_one_for_tcp_alone_is_an_error() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        assert take(udp).stdout.splitlines()[1].startswith("3 ")
        tcp.bind(("127.0.0.1", 0))
        assert "for TCP alone: the socket unit needs ListenDatagram= too" in take(tcp).stderr
    with socket.socket(socket.AF_UNIX) as other:
        assert "descriptor 3 is neither UDP nor TCP" in take(other).stderr
