"""Children are started again when they die, end with their supervisor, and say when they are ready."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from repzone.serve import supervise as module
from repzone.serve.supervise import Child, supervise
from tests.fix_embedded import wait_for

SAY = """
import os, signal, sys, time
from pathlib import Path
from repzone.serve.notify import notify
out = Path(sys.argv[1])
def told(number, frame):
    with out.open("a") as file: file.write(f"{signal.Signals(number).name}\\n")
    if number == signal.SIGTERM and "stubborn" not in sys.argv: sys.exit(0)
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, told)
with out.open("a") as file: file.write(f"{os.getpid()}\\n")
notify("READY=1")
while True: time.sleep(0.01)
"""


def child(out: Path, *words: str, reloads: bool = False) -> Child:
    return Child(out.name, (sys.executable, "-c", SAY, str(out), *words), reloads)


def said(out: Path) -> list[str]:
    return out.read_text().split() if out.exists() else []


def is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def supervised(
    children: list[Child], play: Callable[[asyncio.Event, list[str]], Awaitable[None]], *, sound: bool = True
) -> None:
    """Supervise while `play` plays, which gets the event of a reload and what was told when all were ready."""

    async def both() -> None:
        stop, reload, told = asyncio.Event(), asyncio.Event(), list[str]()
        task = asyncio.create_task(supervise(children, stop, reload, lambda: told.append("ready"), lambda: sound))
        try:
            await play(reload, told)
        finally:
            stop.set()
            await task

    asyncio.run(both())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds where an operator waits seconds."""
    monkeypatch.setattr(module, "DELAYS", (0.01, 0.02))


def test_all_are_ready_once_each_was_and_end_when_told(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def play(reload: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])
        assert len(said(one)) == len(said(two)) == 1

    supervised([child(one), child(two)], play)
    for out in (one, two):
        pid, last = said(out)
        assert last == "SIGTERM"
        assert not is_there(pid)


def test_one_that_dies_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def play(reload: asyncio.Event, told: list[str]) -> None:
        for times in (1, 2, 3):
            await until(lambda: len(said(one)) == times)  # noqa: B023 - called at once
            os.kill(int(said(one)[-1]), signal.SIGKILL)
        await until(lambda: len(said(one)) == 4)
        assert told == ["ready"]
        assert len(said(two)) == 1

    supervised([child(one), child(two)], play)


def test_a_reload_reaches_who_can_and_starts_the_others_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAYS", (60.0,))  # no death is counted
    one, two = tmp_path / "one", tmp_path / "two"

    async def play(reload: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])
        reload.set()
        await until(lambda: len(said(one)) == 2 and len(said(two)) == 3)
        assert said(one)[1] == "SIGHUP"
        assert said(two)[1] == "SIGTERM"

    supervised([child(one, reloads=True), child(two)], play)


def test_what_is_faulty_reaches_who_can_refuse_it_and_nobody_is_started_anew(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def play(reload: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])
        reload.set()
        await until(lambda: len(said(one)) == 2)
        assert said(one)[1] == "SIGHUP"

    supervised([child(two), child(one, reloads=True)], play, sound=False)
    assert len(said(two)) == 2  # its end


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    one = tmp_path / "one"

    async def play(reload: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])

    supervised([child(one, "stubborn")], play)
    pid, last = said(one)
    assert (last, is_there(pid)) == ("SIGTERM", False)


RUN = """
import asyncio, sys
from tests.serve.test_supervise import child
from pathlib import Path
from repzone.serve.supervise import supervise
asyncio.run(supervise([child(Path(sys.argv[1]))], asyncio.Event(), asyncio.Event()))
"""


def test_children_of_a_supervisor_that_was_killed_end_too(tmp_path: Path) -> None:
    one = tmp_path / "one"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(one)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as supervisor:
        wait_for(lambda: len(said(one)) == 1)
        supervisor.kill()
    wait_for(lambda: said(one)[1:] == ["SIGTERM"] and not is_there(said(one)[0]))


def test_one_that_is_ready_before_its_process_is_known_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, start = tmp_path / "one", asyncio.create_subprocess_exec

    async def slow(*command: str, **how: object) -> asyncio.subprocess.Process:
        process = await start(*command, **how)  # type: ignore[arg-type]
        await until(lambda: bool(said(one)))
        await asyncio.sleep(0.2)
        return process

    async def play(_: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
    supervised([child(one)], play)


FORGED = """
import subprocess, sys, time
from pathlib import Path
forge = "from repzone.serve.notify import notify; notify('READY=1')"
subprocess.run([sys.executable, "-c", forge], check=True)
Path(sys.argv[1]).write_text("forged")
while True: time.sleep(10)
"""


def test_what_another_process_says_in_a_child_s_name_is_not_believed(tmp_path: Path) -> None:
    one = tmp_path / "one"

    async def play(_: asyncio.Event, told: list[str]) -> None:
        await until(lambda: said(one) == ["forged"])
        await asyncio.sleep(0.05)
        assert told == []

    supervised([Child("one", (sys.executable, "-c", FORGED, str(one)))], play)


def test_all_are_ready_without_one_that_nobody_awaits(tmp_path: Path) -> None:
    one = tmp_path / "one"
    fails = Child("fails", (sys.executable, "-c", "raise SystemExit(78)"), awaited=False)

    async def play(_: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])

    supervised([child(one), fails], play)


HANG = """
import sys, time
from pathlib import Path
from repzone.serve.notify import notify, watchdog_interval
with Path(sys.argv[1]).open("a") as file: file.write(f"{watchdog_interval()}\\n")
notify("READY=1")
while True: time.sleep(10)
"""


@pytest.mark.parametrize(("tells", "starts"), [(True, 2), (False, 1)])
def test_one_that_gives_no_sign_of_life_is_started_again_if_it_was_to_give_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells: bool, starts: int
) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.1)
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    hanging, other = tmp_path / "hanging", tmp_path / "other"

    async def play(_: asyncio.Event, told: list[str]) -> None:
        await until(lambda: told == ["ready"])
        await until(lambda: len(said(hanging)) >= starts)
        await asyncio.sleep(0.3)

    command = (sys.executable, "-c", HANG, str(hanging))
    supervised([Child("hanging", command, tells=tells), child(other)], play)
    assert len(said(hanging)) >= 2 if tells else len(said(hanging)) == 1
    assert set(said(hanging)) == {"0.1" if tells else "None"}, "and not what systemd told the supervisor"
    assert len([line for line in said(other) if line.isdecimal()]) == 1
