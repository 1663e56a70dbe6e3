"""Another policy in, what it would have changed out: simulated in a process of its own, one at a time.

So nobody waits for it who looks at another page, and it can be ended when it takes TOO_LONG.
"""

import asyncio
import multiprocessing
import os
import resource
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

from repzone.errors import RepzoneError
from repzone.jobs.simulate import Outcome, run
from repzone.policy.rules import Policy
from repzone.store.engine import Engine, connect

TOO_LONG = 300.0
"""Seconds that a simulation may take."""

MEMORY = 2 << 30
"""Octets of memory that it may have."""

KEPT = 8
"""Simulations that are remembered."""

NICE = 10


@dataclass(slots=True)
class Trial:
    """One simulation: what was asked, how far it is, and what came of it."""

    id: str
    text: str
    since: str
    author: str
    done: int = 0
    events: int = 0
    outcome: Outcome | None = None
    fault: str = ""

    @property
    def running(self) -> bool:
        """Tell whether it is not through."""
        return self.outcome is None and not self.fault

    @property
    def progress(self) -> str:
        """Say how far it is; how many events there are is not known at once."""
        return f"It runs: {self.done:,} of {self.events:,} events." if self.events else "It is being prepared."


class Trials:
    """Runs simulations, and remembers the last few."""

    def __init__(self) -> None:
        self._trials: OrderedDict[str, Trial] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def get(self, number: str) -> Trial | None:
        """Give one that is remembered."""
        return self._trials.get(number)

    @property
    def busy(self) -> bool:
        """Tell whether one runs."""
        return self._task is not None and not self._task.done()

    def start(self, engine: Engine, policy: Policy, start: int, now: int, trial: Trial) -> None:
        """Begin one; RepzoneError while another runs."""
        if self.busy:
            raise RepzoneError("another simulation runs at this moment; try again when it is through")
        self._trials[trial.id] = trial
        while len(self._trials) > KEPT:
            self._trials.popitem(last=False)
        url = engine.url.render_as_string(hide_password=False)
        arguments = (url, policy, start, now)
        self._task = asyncio.get_running_loop().create_task(_follow(trial, arguments))


def new_id() -> str:
    """Give a number for a trial that nobody guesses."""
    return secrets.token_urlsafe(12)


async def _follow(trial: Trial, arguments: tuple[Any, ...]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_simulate, args=(theirs, *arguments), daemon=True, name="simulation")
    try:
        await asyncio.to_thread(process.start)
        theirs.close()
        async with asyncio.timeout(TOO_LONG):
            while trial.running:
                if await asyncio.to_thread(ours.poll, 0.2):
                    _take(trial, ours.recv())
    except TimeoutError:
        trial.fault = f"it took longer than {TOO_LONG:.0f} s: choose a shorter time"
    except (EOFError, OSError):
        trial.fault = "it was ended before it was through"
    except asyncio.CancelledError:
        trial.fault = "it was ended"
        raise
    finally:
        if process.is_alive():
            process.terminate()
        ours.close()
        await asyncio.to_thread(process.join, 2.0)


def _take(trial: Trial, said: tuple[str, Any]) -> None:
    kind, what = said
    if kind == "progress":
        trial.done, trial.events = what
    elif kind == "outcome":
        trial.outcome = what
    else:
        trial.fault = what


def _simulate(pipe: Pipe, url: str, policy: Policy, start: int, now: int) -> None:
    """Simulate, in a process of its own that yields to all others."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    engine = connect(url)
    try:
        pipe.send(("outcome", run(engine, policy, start, now, _every(pipe))))
    except RepzoneError as error:
        pipe.send(("fault", str(error)))
    except MemoryError:
        pipe.send(("fault", "it needs too much memory: choose a shorter time"))
    finally:
        engine.dispose()


def _every(pipe: Pipe, step: int = 200) -> Callable[[int, int], None]:
    told = 0

    def progress(done: int, events: int) -> None:
        nonlocal told
        if done >= told:
            told = done + max(step, events // 200)
            pipe.send(("progress", (done, events)))

    return progress
