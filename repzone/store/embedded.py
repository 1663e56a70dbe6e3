"""The private PostgreSQL: a state folder in, the URL of a running server out, for as long as somebody uses it.

In the state folder lie `pg` (data and socket, one owner: see `account`, `cluster`), `pg.log` and two locks:

- `pg.users`: everyone who uses the server holds it shared. Who leaves and gets it exclusively was the last, and
  stops the server before letting go. The kernel lets go of a killed user's lock: the next one finds the server
  running, uses it, and stops it.
- `pg.start`: whoever finds no server starts one under it, holding `pg.users` as well. So nobody stops what is just
  being started, and four who come at once start one.

A child made by fork shares its parent's lock and does not count: let it enter `running` itself.
"""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg

from repzone.errors import EmbeddedError
from repzone.store import account as accounts
from repzone.store import binaries, cluster, postmaster

USERS, START, LOG = "pg.users", "pg.start", "pg.log"
LOG_BYTES = 1 << 20
WAIT_SECONDS = 900  # for another to start or stop it: more than both may take
CONNECT_SECONDS = 10
SUN_PATH = 107  # octets, unix(7)
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Status:
    """What there is: the folder's major version and owner when it exists, the server's number when it runs."""

    running: bool
    pid: int | None
    version: int | None
    owner: str | None
    data: Path
    socket: Path
    log: Path


@contextmanager
def running(state_dir: Path, bin_dir: Path | None = None, *, durable: bool = True) -> Iterator[str]:
    """Give the URL of the state folder's server, started when there is none, stopped after the last user.

    The URL is libpq's, `postgresql://repzone@/repzone?host=FOLDER&port=5432`; SQLAlchemy takes it as
    `postgresql+psycopg://`. FOLDER is the data folder; where that is too long for a socket (107 octets) it is
    /proc/PID/fd/N, good while this lasts. `bin_dir` is where PostgreSQL's programs lie, None to search. Without
    `durable` a power cut may cost the data: for tests. EmbeddedError says what is wrong in one line.
    """
    with _entered(state_dir.absolute(), bin_dir, durable=durable) as server:
        yield server.url()


def hold(
    state_dir: Path,
    stopped: threading.Event,
    bin_dir: Path | None = None,
    *,
    every: float = 1.0,
    durable: bool = True,
) -> None:
    """Keep the server running until `stopped` is set, starting it again if it dies: `repzone db run`."""
    with _entered(state_dir.absolute(), bin_dir, durable=durable) as server:
        while not stopped.wait(every):
            if not server.lives():
                with _told(server.state):
                    server.join()


def status(state_dir: Path) -> Status:
    """Tell what is there and whether it runs; starts nothing, takes no lock, makes no file."""
    state = state_dir.absolute()
    data = state / cluster.FOLDER
    with _told(state):
        version = cluster.version_of(data)
        pid = postmaster.pid(data) if version is not None else None
        owner = accounts.named(data.stat().st_uid) if version is not None else None
        return Status(
            running=pid is not None and postmaster.is_ready(data),
            pid=pid,
            version=version,
            owner=owner,
            data=data,
            socket=data / postmaster.SOCKET,
            log=state / LOG,
        )


@contextmanager
def _entered(state: Path, bin_dir: Path | None, *, durable: bool) -> Iterator[_Server]:
    """Be one of the server's users."""
    with _told(state):
        _make(state)
        users = _open(state, USERS, os.O_RDWR)
    server = _Server(state, bin_dir, durable)
    try:
        _lock(users, fcntl.LOCK_SH, state / USERS)
        try:
            with _told(state):
                server.join()
            yield server
        finally:
            with _told(state):
                server.leave(users)
    finally:
        server.close()
        os.close(users)


class _Server:
    """One user's view of the server: the folder, kept open, and the child if this user started it."""

    def __init__(self, state: Path, bin_dir: Path | None, durable: bool) -> None:
        self.state = state
        self.data = state / cluster.FOLDER
        self._bin_dir = bin_dir
        self._durable = durable
        self._folder = -1
        self._child: subprocess.Popen[bytes] | None = None

    def join(self) -> None:
        """Find the server or start it. The caller holds `pg.users` shared."""
        if self._folder < 0:
            self._open_folder()
        if self._folder >= 0 and self._ask() is None:
            return
        lock = _open(self.state, START, os.O_RDWR)
        try:
            _lock(lock, fcntl.LOCK_EX, self.state / START)
            self._start()
        finally:
            os.close(lock)

    def lives(self) -> bool:
        """Tell, without asking it, whether the server is there and takes connections."""
        return postmaster.pid(self._path()) is not None and postmaster.is_ready(self._path())

    def leave(self, users: int) -> None:
        """Stop the server if nobody else uses it, keeping everybody out until it has ended."""
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if self._folder >= 0:
            postmaster.stop(self._path(), self._child)

    def close(self) -> None:
        """Let go of the folder, and of a server that others still use."""
        postmaster.disown(self._child)
        if self._folder >= 0:
            os.close(self._folder)

    def url(self) -> str:
        """Give libpq's URL of the database."""
        host = quote(os.fsencode(self._host()), safe="")
        return f"postgresql://{cluster.ROLE}@/{cluster.DATABASE}?host={host}&port=5432"

    def _start(self) -> None:
        """Under `pg.start`: make the folder, start the server, make the database, whichever is missing."""
        account = accounts.choose(self.state, self.data)
        version = cluster.version_of(self.data)
        programs = None
        if version is None:
            programs = binaries.prepare(binaries.choose(self._bin_dir, self.data, None), account)
            cluster.create(self.state, programs, account, partial(_log, self.state), durable=self._durable)
        self._open_folder()  # again: it may be another than the one we found
        if self._ask() is not None and not postmaster.settles(self._path()):
            if programs is None:
                programs = binaries.prepare(binaries.choose(self._bin_dir, self.data, version), account)
            self._launch(programs, account)
        trouble = self._ask(create=True)
        if trouble is not None:
            raise EmbeddedError(f"the PostgreSQL of {self.data} runs and refuses us: {trouble}")

    def _launch(self, programs: binaries.Binaries, account: accounts.Account) -> None:
        _log(self.state)
        cluster.write_access(self.data, account)
        postmaster.disown(self._child)
        self._child = postmaster.start(
            self._path(), programs, account, self.state / LOG, durable=self._durable, name=str(self.state)
        )

    def _ask(self, *, create: bool = False) -> str | None:
        """Connect, and see that the database exists, or make it; give None, or what is in the way."""
        try:
            with psycopg.connect(
                host=self._host(),
                port=5432,
                user=cluster.ROLE,
                dbname="postgres",
                connect_timeout=CONNECT_SECONDS,
                autocommit=True,
            ) as connection:
                found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [cluster.DATABASE])
                if found.rowcount:
                    return None
                if not create:
                    return f"it has no database {cluster.DATABASE}"
                connection.execute(f'CREATE DATABASE "{cluster.DATABASE}"')
        except psycopg.errors.ConnectionTimeout:
            raise EmbeddedError(
                f"the PostgreSQL of {self.data} does not answer: nothing came in {CONNECT_SECONDS} s"
            ) from None
        except psycopg.Error as error:
            return str(error).partition("\n")[0]
        return None

    def _host(self) -> str:
        """Give the folder of the socket; one too long for it, or with libpq's separator in it, by way of /proc."""
        path = str(self.data / postmaster.SOCKET)
        return str(self.data if len(os.fsencode(path)) <= SUN_PATH and "," not in path else self._path())

    def _path(self) -> Path:
        return Path(f"/proc/{os.getpid()}/fd/{self._folder}")

    def _open_folder(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
        with suppress(FileNotFoundError):
            self._folder = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY)


def _make(state: Path) -> None:
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    if os.geteuid() == 0 and state.stat().st_mode & stat.S_IWOTH:
        raise EmbeddedError(f"{state}: everybody can write this folder; root keeps no database in it")


def _open(state: Path, name: str, flags: int) -> int:
    """Open a file of the state folder; one that root makes there belongs to the owner of the folder."""
    path = state / name
    flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        descriptor = os.open(path, flags)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(descriptor)
            raise EmbeddedError(f"{path}: is not a plain file; move it away") from None
    else:
        if os.geteuid() == 0:
            owner = state.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _log(state: Path, text: str = "") -> None:
    """Append to the log, made if it is missing, put aside when it has grown long."""
    log = state / LOG
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(state / f"{LOG}.1")
    descriptor = _open(state, LOG, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, path: Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise EmbeddedError(f"{path}: another process has held it for {WAIT_SECONDS} s") from None
            time.sleep(_PAUSE)


@contextmanager
def _told(state: Path) -> Iterator[None]:
    """Turn what the operating system refuses into the one line for the operator."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else state
        remedy = "the private PostgreSQL cannot use it"
        if isinstance(error, PermissionError):
            owner = state.stat().st_uid if os.path.exists(state) else 0
            remedy = f"run repzone as {accounts.named(owner)} or as root" if owner else "run repzone as root"
        raise EmbeddedError(f"{where}: {error.strerror}: {remedy}") from error
