"""Commands in, each kept running as a child until it is time to end.

A child that dies is started again, after a delay that grows from one second to a minute while it does not last. All
end with the supervisor, also when that is killed: the kernel then sends them SIGTERM (prctl(2), PR_SET_PDEATHSIG). A
child says that it is ready by NOTIFY_SOCKET, as it would to systemd (sd_notify(3)), and, where that is wanted of it,
that it is alive: one that hangs is killed and started again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from struct import Struct

import structlog

log = structlog.get_logger()

GRACE = 8.0
"""Seconds that a child has to end after SIGTERM; then it is killed. A DNS server takes up to `cli.serve.END`."""

LASTED = 60.0
"""Seconds after which a child that dies is started again at once."""

DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between the death of a child and its next start, as often as it did not last."""

SILENCE = 30.0
"""Seconds for which a child that gives signs of life may give none."""

_PR_SET_PDEATHSIG = 1
_CREDENTIALS = Struct("=iII")  # pid, uid and gid: unix(7), SCM_CREDENTIALS
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Child:
    """What is to run: its name for people and its command.

    `reloads`: SIGHUP lets it reload, else it is started anew. `tells`: it gives signs of life, as to a watchdog.
    `awaited`: all are ready only once it is.
    """

    name: str
    command: Sequence[str]
    reloads: bool = False
    tells: bool = False
    awaited: bool = True


async def supervise(
    children: Sequence[Child],
    stop: asyncio.Event,
    reload: asyncio.Event,
    ready: Callable[[], None] = lambda: None,
    sound: Callable[[], bool] = lambda: True,
) -> None:
    """Keep the children running until `stop` is set, then end them.

    `ready` is called once all that are awaited have been ready. Whenever `reload` is set they get to read their
    configuration anew; but unless it is `sound` none is started anew for that.
    """
    waiting = {child.name for child in children if child.awaited}
    loop = asyncio.get_running_loop()
    with ExitStack() as sockets:
        running = [_Running(child, sockets.enter_context(_listening())) for child in children]
        for one in running:
            loop.add_reader(one.heard_at, partial(_hear, one, waiting, ready))
            sockets.callback(loop.remove_reader, one.heard_at)
        tasks = [loop.create_task(one.run(stop)) for one in running]
        others = [loop.create_task(_pass_on(running, reload, sound)), loop.create_task(_watch(running))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for other in others:
                other.cancel()


def _listening() -> socket.socket:
    """Give a socket that hears what is sent to its address, which the kernel picks."""
    heard_at = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard_at.setblocking(False)
    heard_at.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    heard_at.bind("")  # Linux picks an abstract name (unix(7), autobind)
    return heard_at


def _hear(one: _Running, waiting: set[str], ready: Callable[[], None]) -> None:
    """Note that a child is alive or ready, if its process says so, which the kernel tells.

    A process may be quicker to say it than we are to learn which it is: then its address and its user must do.
    """
    with suppress(BlockingIOError):
        text, about, _, _ = one.heard_at.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        sender, user, _ = next((_CREDENTIALS.unpack(data) for *_, data in about), (0, -1, 0))
        trusted = sender == one.process.pid if one.process else user == os.getuid()
        if not trusted:
            return
        one.heard = asyncio.get_running_loop().time()
        if b"READY=1" not in text.split(b"\n"):
            return
        log.info("run.ready", child=one.child.name)
        if one.child.name in waiting:
            waiting.remove(one.child.name)
            if not waiting:
                ready()


async def _watch(running: Sequence[_Running]) -> None:
    """Kill who has given a sign of life and then none for too long; it is started again as one that died."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SILENCE / 10)
        for one in running:
            if one.process and one.child.tells and one.heard and loop.time() - one.heard > SILENCE:
                log.error("run.silent", child=one.child.name, seconds=SILENCE)
                one.heard = None
                _signal(one.process, signal.SIGKILL)


async def _pass_on(running: Sequence[_Running], reload: asyncio.Event, sound: Callable[[], bool]) -> None:
    while True:
        await reload.wait()
        reload.clear()
        start_anew = sound()
        for one in running:
            if start_anew or one.child.reloads:
                one.reload()


@dataclass(slots=True)
class _Running:
    """A child and its process, when it has one."""

    child: Child
    heard_at: socket.socket
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0  # without having lasted
    anew: bool = False  # it was told to end, to be started again
    heard: float | None = None  # when this process last told something
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def reload(self) -> None:
        """Let the child read its configuration anew; one that waits to be started is started now."""
        if self.process is None:
            self.woken.set()
        elif self.child.reloads:
            _signal(self.process, signal.SIGHUP)
        else:
            self.anew = True
            _signal(self.process, signal.SIGTERM)

    async def run(self, stop: asyncio.Event) -> None:
        """Start the child again and again until it is time to end."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            began, self.heard = loop.time(), None
            process = self.process = await asyncio.create_subprocess_exec(
                *self.child.command,
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(self.heard_at, self.child.tells),
                preexec_fn=partial(_end_with, os.getpid()),
            )
            log.info("run.started", child=self.child.name, pid=process.pid)
            await _first(process.wait(), stop.wait())
            if stop.is_set():
                await self._end(process)
            self.process = None
            if stop.is_set() or self.anew:
                self.anew = False
                continue
            self.deaths = 0 if loop.time() - began >= LASTED else self.deaths + 1
            delay = DELAYS[min(self.deaths, len(DELAYS)) - 1] if self.deaths else 0.0
            log.error("run.died", child=self.child.name, how=_how(process.returncode), restart_in=delay)
            self.woken.clear()
            await _first(asyncio.sleep(delay), stop.wait(), self.woken.wait())

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        _signal(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except TimeoutError:
            log.warning("run.killed", child=self.child.name, after=GRACE)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _environment(heard_at: socket.socket, tells: bool) -> dict[str, str]:
    """Give a child's variables: what systemd told us of its socket and watchdog is not meant for the child."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WATCHDOG_")}
    watchdog = {"WATCHDOG_USEC": str(round(SILENCE * 1_000_000))} if tells else {}
    return {**ours, **watchdog, "NOTIFY_SOCKET": "@" + heard_at.getsockname()[1:].decode()}


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _end_with(parent: int) -> None:
    """Ask the kernel, in the child, for SIGTERM when the parent dies; end if it just did."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _how(code: int | None) -> str:
    """Say how a process ended."""
    return f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name


async def _first(*waits: object) -> None:
    """Wait for the first of these, and for the others no longer."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
