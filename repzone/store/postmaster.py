"""The server process of one data folder: found, started, waited for, stopped; under the locks of `embedded`.

What is believed: a process is the folder's when it is called postgres and the folder is its working folder, by
device and inode. postmaster.pid alone is not: its number may since have gone to another process, and then
PostgreSQL itself would refuse to start. A folder is given as a path that stays right when it is renamed or
removed (/proc/PID/fd/N).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from repzone.errors import EmbeddedError
from repzone.store.account import Account
from repzone.store.binaries import Binaries, last_line
from repzone.store.cluster import inherited

SOCKET = ".s.PGSQL.5432"
PIDFILE = "postmaster.pid"
START_SECONDS = 600  # recovery after a crash takes what it takes; a server that died is seen at once
STOP_SECONDS = 60  # a fast shutdown with its checkpoint; then without
KILL_SECONDS = 10
_PAUSE = 0.01

_HERE = "/proc/self/cwd"  # where the server lives, once it runs

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": _HERE,
    "unix_socket_permissions": "0700",
    "cluster_name": "repzone",
    "hba_file": f"{_HERE}/pg_hba.conf",
    "ident_file": f"{_HERE}/pg_ident.conf",
}
_CARELESS = {"fsync": "off", "full_page_writes": "off"}


def processes(data: Path) -> list[int]:
    """Give the numbers of all PostgreSQL processes that work in the folder, zombies not counted."""
    home = data.stat()
    numbers = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal())
    return [number for number in numbers if _works_in(number, home)]


def pid(data: Path) -> int | None:
    """Give the number of the folder's living server, None when there is none."""
    number, _ = _pidfile(data)
    return number if number is not None and _works_in(number, data.stat()) else None


def is_ready(data: Path) -> bool:
    """Tell whether the server has said that it takes connections (line 8 of postmaster.pid)."""
    return _pidfile(data)[1] == "ready"


def listens(data: Path) -> bool:
    """Tell whether somebody accepts on the socket: even a server that cannot be seen (another container's)."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(data / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):
            return True
    return True


def settles(data: Path) -> bool:
    """Wait for a server that is just starting or ending: True when it takes connections, False when it is gone."""
    settled = _wait(lambda: pid(data) is None or is_ready(data), START_SECONDS)
    if not settled:
        raise EmbeddedError(f"the PostgreSQL of {data} (process {pid(data)}) takes no connections")
    return pid(data) is not None


def start(
    data: Path, binaries: Binaries, account: Account, log: Path, *, durable: bool, name: str
) -> subprocess.Popen[bytes]:
    """Start the server and wait until it takes connections; `name` is what `ps` shows as its state folder.

    Give the child, to be reaped by who stops it. EmbeddedError carries the server's own last error.
    """
    _clear(data)
    settings = {**_SETTINGS, "repzone.state": name, **({} if durable else _CARELESS)}
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with log.open("rb") as reader:
        reader.seek(0, os.SEEK_END)
        writer = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            command = [str(binaries.folder / "postgres"), "-D", inherited(folder), *options]
            child = account.launch(command, writer, folder)
        finally:
            os.close(writer)
            os.close(folder)
        try:
            _wait(lambda: is_ready(data) or child.poll() is not None, START_SECONDS)
            if child.poll() is None and is_ready(data):
                return child
            stop(data, child)
        except BaseException:  # Ctrl-C: whoever holds the lock stops it
            disown(child)
            raise
        said = last_line(reader.read().decode(errors="replace"))
    raise EmbeddedError(f"PostgreSQL {binaries.version} does not start: {said or 'it says nothing'} ({log})")


def disown(child: subprocess.Popen[bytes] | None) -> None:
    """Leave a server that others still use: it is reaped when it ends, or by init when we have ended before."""
    if child is not None and child.poll() is None:
        child.returncode = 0  # else Popen warns of a child that was not waited for
        threading.Thread(target=_reap, args=(child.pid,), name="reaper", daemon=True).start()


def _reap(number: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(number, 0)


def stop(data: Path, child: subprocess.Popen[bytes] | None = None) -> None:
    """End the folder's server and wait for it: fast, after a minute without checkpoint, then by force.

    `child` is the server, or an earlier one, if we started it: it is reaped.
    """
    try:
        _stop(data)
        if child is not None:
            child.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"the PostgreSQL of {data} (process {child and child.pid}) does not end") from None
    finally:
        disown(child)


def _stop(data: Path) -> None:
    server, home = pid(data), data.stat()
    ways = [(signal.SIGINT, STOP_SECONDS)] if server is not None else []
    for way, seconds in [*ways, (signal.SIGQUIT, KILL_SECONDS), (signal.SIGKILL, KILL_SECONDS)]:
        left = processes(data)
        if not left:
            return
        for number in [server] if server in left and way != signal.SIGKILL else left:
            _kill(number, way, home)
        _wait(partial(_are_gone, left, home), seconds)
    if left := processes(data):
        raise EmbeddedError(f"the PostgreSQL of {data} cannot be stopped: processes {left}")


def _clear(data: Path) -> None:
    """Remove what a dead server left: its orphans, which would keep the memory, and files that name its number."""
    if listens(data):
        raise EmbeddedError(f"{data}: a server listens whose process cannot be seen here (another container?)")
    _wait(partial(_are_gone, processes(data), data.stat()), 2)  # a backend sees soon that its server has died
    stop(data)
    for name in (PIDFILE, f"{SOCKET}.lock"):
        (data / name).unlink(missing_ok=True)


def _pidfile(data: Path) -> tuple[int | None, str]:
    try:
        lines = (data / PIDFILE).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None, ""
    number = lines[0].strip() if lines else ""
    return (int(number) if number.isdecimal() else None), (lines[7].strip() if len(lines) > 7 else "")


def _works_in(number: int, home: os.stat_result) -> bool:
    try:
        where = os.stat(f"/proc/{number}/cwd")
        name = Path(f"/proc/{number}/comm").read_text(errors="replace")
    except OSError:  # gone, a zombie, or somebody else's
        return False
    return os.path.samestat(where, home) and name.startswith("postgres")


def _are_gone(numbers: list[int], home: os.stat_result) -> bool:
    return not any(_works_in(number, home) for number in numbers)


def _kill(number: int, way: signal.Signals, home: os.stat_result) -> None:
    """Signal a process, if it still is the folder's and runs under its owner, which is never root as root calls."""
    with suppress(FileNotFoundError, ProcessLookupError):
        if os.stat(f"/proc/{number}").st_uid == home.st_uid and _works_in(number, home):
            os.kill(number, way)


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return True
