"""An address in, what is known of it out: from the database, or from the zone's snapshot while that does not answer.

A database that hangs costs the first visitor PATIENCE seconds; then nobody asks it for REST seconds.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import structlog

from repzone.errors import RepzoneError
from repzone.fastpath import make_table
from repzone.model import Client
from repzone.policy.outlook import foresee
from repzone.store import snapshot
from repzone.store.engine import Engine, answering
from repzone.store.sender import count_listed, load_sender
from repzone.web.verdict import Known
from repzone.zone import rows
from repzone.zone.table import MemoryTable, Table

PATIENCE = 1.5
REST = 5.0
MOMENT = 0.2
"""Seconds that a visitor waits for the numbers of listed addresses."""

COUNTS_HOLD = 60.0
"""Seconds for which the numbers of listed addresses are shown without counting them anew."""

AT_ONCE = 8
"""Look-ups in the database at a time; more wait, and those that hang are no more than these."""

log = structlog.get_logger()
T = TypeVar("T")


class Knowledge:
    """Looks addresses up."""

    def __init__(
        self,
        engine: Callable[[], Engine | None],
        folder: Path,
        steady: Callable[[], float],
        revive: Callable[[], None] = lambda: None,
    ) -> None:
        """`engine` gives the database once there is one; the snapshot is in `folder`; `steady` never goes back.

        `revive` is called, in a thread, when the database has stopped answering.
        """
        self._revive, self._reviving = revive, threading.Lock()
        self._engine, self._file, self._steady = engine, folder / snapshot.NAME, steady
        self._places = asyncio.Semaphore(AT_ONCE)
        self._rest_until = 0.0
        self._said = ""
        self._kept: tuple[int, snapshot.Snapshot, Table] | None = None
        self._loading = threading.Lock()
        self._counts: tuple[float, dict[int, int]] | None = None
        self._counting: asyncio.Task[None] | None = None

    async def look_up(self, client: Client, now: int) -> Known:
        """Give what is known of one address at that instant."""
        known = await self._ask(lambda engine: self._load(engine, client, now))
        if known is not None:
            return known
        return await asyncio.to_thread(self._from_snapshot, client, now)

    async def counts(self, now: int) -> dict[int, int] | None:
        """Give how many addresses and networks are listed by IP version; None as long as nobody could count them.

        Counting a million takes a second: a visitor waits for it a moment, and only if there is no older number.
        """
        held = self._counts
        if held is None or self._steady() - held[0] > COUNTS_HOLD:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._recount(now))
            if held is None:
                await asyncio.wait([self._counting], timeout=MOMENT)
        return self._counts[1] if self._counts else None

    async def _recount(self, now: int) -> None:
        engine = self._engine()
        if engine is None or self._steady() < self._rest_until:
            return
        await self._places.acquire()
        try:
            found = await self._in_thread(lambda: self._count(engine, now))
        except RepzoneError as error:
            log.warning("web.not_counted", error=str(error))
            found = self._counts[1] if self._counts else {}
        self._counts = (self._steady(), found)

    async def _ask(self, question: Callable[[Engine], T]) -> T | None:
        """Ask the database in a thread; None when it does not answer in time, or did not a moment ago."""
        engine = self._engine()
        if engine is None or self._steady() < self._rest_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
                answer = await self._in_thread(lambda: question(engine))
        except (TimeoutError, RepzoneError) as error:
            self._rest_until = self._steady() + REST
            threading.Thread(target=self._try_to_revive, name="revive", daemon=True).start()
            said = str(error) or f"the database did not answer within {PATIENCE} s"
            if said != self._said:
                log.error("web.database_away", error=said)
            self._said = said
            return None
        self._said = ""
        return answer

    def _try_to_revive(self) -> None:
        if self._reviving.acquire(blocking=False):
            try:
                with suppress(RepzoneError):  # it was said already that it does not answer
                    self._revive()
            finally:
                self._reviving.release()

    def _in_thread(self, question: Callable[[], T]) -> "asyncio.Future[T]":
        """Let a thread answer that keeps nobody from ending, however long it hangs; its place is free once it ends."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._places.release()
            if answer.cancelled():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(cast("T", result))

        def run() -> None:
            result, error = None, None
            try:
                result = question()
            except Exception as raised:  # whoever waits gets it
                error = raised
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=run, name="database", daemon=True).start()
        return answer

    def _load(self, engine: Engine, client: Client, now: int) -> Known:
        with answering(), engine.connect() as connection:
            sender = load_sender(connection, client, now)
        found = MemoryTable((one.listing for one in sender.listings), sender.exemptions).lookup(client, now)
        exempt = found.reserved or found.exemption is not None
        rulebook = sender.rulebook
        return Known(
            found,
            sender.paused,
            sender.serial,
            age=0,
            live=True,
            counted=sender.listings,
            policies={version.id: version.policy for version in rulebook.versions},
            outlooks=[
                foresee(case.offences, case.earlier, case.category, rulebook, now, case.clean, case.spared)
                for case in sender.cases
                if not exempt and any(one.category == case.category for one in found.listings)
            ],
            ended=sender.ended,
        )

    def _count(self, engine: Engine, now: int) -> dict[int, int]:
        with answering(), engine.begin() as connection:
            return count_listed(connection, now)

    def _from_snapshot(self, client: Client, now: int) -> Known:
        kept = self._read()
        if kept is None:
            return Known(MemoryTable().lookup(client, now), frozenset(), 0, age=None, live=False)
        file, table = kept
        return Known(table.lookup(client, now), file.paused, file.serial, age=now - file.at, live=False)

    def _read(self) -> tuple[snapshot.Snapshot, Table] | None:
        """Give the snapshot and a table of it, read anew when the file is another one."""
        with self._loading:
            try:
                changed = self._file.stat().st_mtime_ns
                if self._kept is None or self._kept[0] != changed:
                    found = snapshot.read(self._file)
                    if found is None:
                        return None
                    table = make_table()
                    rows.load(table, found.rows)
                    self._kept = changed, replace(found, rows=b""), table
            except FileNotFoundError:
                return None
            except (RepzoneError, ValueError) as error:
                log.error("web.snapshot_refused", error=str(error))
                return None
            return self._kept[1:]
