"""One question a tick, however many look on; and streams that are bounded and end."""

from __future__ import annotations

import asyncio
import json

import pytest

from repzone.errors import UnavailableError
from repzone.web.console import pulse
from repzone.web.console.pulse import Pulse, Streams
from tests.store.samples import add_listings
from tests.web.console.stage import Stage, listing


class Asked:
    """Counts how often it is asked."""

    def __init__(self, fault: bool = False) -> None:
        self.times, self._fault = 0, fault

    async def __call__(self) -> int:
        self.times += 1
        await asyncio.sleep(0)
        if self._fault:
            raise UnavailableError("away")
        return self.times


def test_many_who_ask_at_once_get_one_answer() -> None:
    asked = Asked()

    async def ask() -> list[int]:
        found: Pulse[int] = Pulse(asked, tick=60)
        return await asyncio.gather(*(found.now() for _ in range(50)))

    assert set(asyncio.run(ask())) == {1}
    assert asked.times == 1


def test_after_a_tick_it_is_asked_again() -> None:
    asked = Asked()

    async def ask() -> list[int]:
        found: Pulse[int] = Pulse(asked, tick=0)
        return [await found.now() for _ in range(3)]

    assert asyncio.run(ask()) == [1, 2, 3]


def test_streams_are_counted_end_when_nobody_listens_and_say_when_there_is_no_answer() -> None:
    async def look(fault: bool) -> list[str]:
        streams = Streams(Pulse(Asked(fault), 0), lambda number: {"n": number}, most=1, tick=0)
        stream = streams.stream(lambda: True)
        found = [await anext(stream) for _ in range(3)]
        assert streams.open == 1
        await stream.aclose()  # type: ignore[attr-defined]
        assert streams.open == 0
        return found

    assert asyncio.run(look(False))[1:] == ['data: {"n":1}\n\n', 'data: {"n":2}\n\n']
    assert asyncio.run(look(True))[1].startswith("event: away\n")


def test_a_stream_ends_with_the_session() -> None:
    async def look() -> list[str]:
        allowed = iter([True, False])
        streams = Streams(Pulse(Asked(), 0), lambda number: number, tick=0)
        return [one async for one in streams.stream(lambda: next(allowed))]

    assert len(asyncio.run(look())) == 2


def test_the_overview_is_live(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    add_listings(stage.engine, listing("192.0.2.1"))
    ends = iter([True, False])
    monkeypatch.setattr(Streams, "stream", _bounded(Streams.stream, ends))
    monkeypatch.setattr(pulse, "TICK", 0)
    answer = stage.browser().get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    data = next(line for line in answer.text.splitlines() if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["active"] == 1


def _bounded(stream: object, ends: object) -> object:
    def bounded(self: object, allowed: object) -> object:
        self._tick = 0  # type: ignore[attr-defined]
        return stream(self, lambda: next(ends))  # type: ignore[operator, call-overload]

    return bounded


def test_too_many_streams_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Streams, "full", True)
    answer = stage.browser().get("/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
