"""Fixtures and words for tests of the private PostgreSQL: state folders, other processes that use them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from repzone.errors import EmbeddedError
from repzone.store import postmaster
from repzone.store.embedded import running, status

USE = """
import signal, sys
from pathlib import Path
from repzone.store.embedded import running
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, when the tests run in the background of a shell
with running(Path(sys.argv[1]), durable=False) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""
Users = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter; servers of state folders in it are ended, and it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="repzone-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for data in folder.rglob("pg"):
            if (data / "PG_VERSION").exists():
                postmaster.stop(data)
        shutil.rmtree(folder)


@pytest.fixture
def fresh(folder: Path) -> Path:
    """A state folder that does not exist yet."""
    return folder / "state"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A state folder whose server has run once."""
    with tempfile.TemporaryDirectory(prefix="repzone-") as name:
        Path(name).chmod(0o755)
        use(Path(name) / "state")
        yield Path(name) / "state"


@pytest.fixture
def state(made: Path) -> Iterator[Path]:
    """A state folder that others have used and will use, with nothing running before and after."""
    yield made
    postmaster.stop(made / "pg")


@pytest.fixture
def copied(fresh: Path, made: Path) -> Path:
    """A state folder that has been used, for this test alone."""
    subprocess.run(["cp", "-a", made, fresh], check=True)
    (fresh / "pg.log").unlink()
    return fresh


@pytest.fixture
def users() -> Iterator[Users]:
    """Start other processes that use the server until a line or a signal comes; all are ended."""
    started: list[subprocess.Popen[str]] = []

    def start(state: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", USE, str(state)]
        pipe = subprocess.PIPE
        user = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        started.append(user)
        return user

    try:
        yield start
    finally:
        for user in started:
            with user:
                user.kill()


def use(state: Path, bin_dir: Path | None = None) -> str:
    """Use the server once and give its version."""
    with running(state, bin_dir, durable=False) as url:
        return ask(url, "SHOW server_version")


def ask(url: str, query: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else ""


def do(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def url_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def leave(user: subprocess.Popen[str]) -> None:
    user.communicate("\n", timeout=30)
    assert user.returncode == 0


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def server(state: Path) -> int:
    pid = status(state).pid
    assert pid is not None
    return pid


def is_gone(state: Path) -> bool:
    return not status(state).running and postmaster.processes(state / "pg") == []


def refused(state: Path, bin_dir: Path | None = None) -> str:
    """Give the line with which the server is refused."""
    with pytest.raises(EmbeddedError) as caught, running(state, bin_dir, durable=False):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)
