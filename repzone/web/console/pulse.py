"""A question that is dear in, its latest answer out to all who want it: asked once a tick, however many look on."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from repzone.errors import UnavailableError
from repzone.web.console.fields import as_json

T = TypeVar("T")
TICK = 5.0
MOST = 16
"""Streams at a time."""


class Pulse(Generic[T]):
    """Asks at most once in `tick` seconds."""

    def __init__(self, ask: Callable[[], Awaitable[T]], tick: float = TICK) -> None:
        self._ask, self._tick = ask, tick
        self._lock = asyncio.Lock()
        self._held: tuple[float, T] | None = None

    async def now(self) -> T:
        """Give an answer that is no older than a tick."""
        async with self._lock:
            present = asyncio.get_running_loop().time()
            if self._held is None or present - self._held[0] >= self._tick:
                self._held = (present, await self._ask())
            return self._held[1]


class Streams:
    """Server-sent events of a pulse, MOST streams at a time (WHATWG HTML §9.2)."""

    def __init__(self, pulse: Pulse[T], fields: Callable[[T], object], most: int = MOST, tick: float = TICK) -> None:
        self._pulse, self._fields, self._most, self._tick = pulse, fields, most, tick
        self.open = 0

    @property
    def full(self) -> bool:
        """Tell whether there is no room for another one."""
        return self.open >= self._most

    async def stream(self, allowed: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield events for as long as somebody listens who still may."""
        self.open += 1
        try:
            yield f"retry: {int(self._tick * 1000)}\n\n"
            while allowed():
                try:
                    data = json.dumps(as_json(self._fields(await self._pulse.now())), separators=(",", ":"))
                    yield f"data: {data}\n\n"
                except UnavailableError:
                    yield "event: away\ndata: {}\n\n"
                await asyncio.sleep(self._tick)
        finally:
            self.open -= 1
