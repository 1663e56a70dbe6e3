"""`repzone serve web`: the page for blocked senders."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from repzone.cli.database import open_server, prepare_server, revive
from repzone.cli.wall import clock
from repzone.config import Settings, load, parse_listen
from repzone.errors import RepzoneError
from repzone.jobs import last_good
from repzone.serve.notify import keep_alive, notify, reloading
from repzone.store.engine import Engine, answering
from repzone.store.reader import ROLE, connect_reading
from repzone.web.app import PublicPage
from repzone.web.console.app import build_console
from repzone.web.knowledge import Knowledge
from repzone.web.run import Bound, Listener, serve
from repzone.web.site import Site, build

RETRY = 1.0
"""Seconds between two tries to open the database."""

CONSOLE = ("console_listen", "console_token", "console_token_file", "console_user_header")
NEEDS_RESTART = ("web_listen", "database_url", "state_dir", "postgres_bin_dir", "trusted_proxies", *CONSOLE)
"""Keys that a hangup does not put in force."""

log = structlog.get_logger()


class WebService:
    """The pages, and the thread that keeps their database open."""

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        """`engine` is a database that is open already; without one, it is opened as soon as it can be."""
        self._settings, self._engine, self._given = settings, engine, engine is not None
        self._acting = engine  # the console's, which may write
        self._site = build(settings, None if engine else last_good.load(settings)[0])
        self._ending = threading.Event()
        self._opener = threading.Thread(target=self._hold, name="database", daemon=True)

    def listeners(self) -> list[Listener]:
        """Give what is to be served where."""
        settings = self._settings
        again = partial(revive, settings)
        knowledge = Knowledge(lambda: self._engine, settings.state_dir, time.monotonic, again)
        page = PublicPage(lambda: self._site, knowledge, clock, settings.trusted_proxies)
        found = [Listener(page.app(), [parse_listen(text) for text in settings.web_listen], "web_listen")]
        if settings.console_listen:
            console = build_console(settings, lambda: self._acting, lambda: self._site, clock)
            addresses = [parse_listen(text) for text in settings.console_listen]
            found.append(Listener(console, addresses, "console_listen"))
        return found

    async def run(self, stop: asyncio.Event, ready: Callable[[Sequence[Bound]], None] = lambda bound: None) -> None:
        """Answer until `stop` is set; `ready` is told once where it does: of the page, then of the console."""
        if not self._given:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
            self._opener.start()
        life: list[asyncio.Task[None]] = []

        def tell(bound: Sequence[Bound]) -> None:
            if not self._given:
                words = [[f"{host}:{port}" for host, port in addresses] for addresses in bound]
                log.info("web.ready", **dict(zip(("listen", "console"), words, strict=False)))
                notify("READY=1")
                life.append(asyncio.create_task(keep_alive(lambda: True)))
            ready(bound)

        try:
            await serve(self.listeners(), stop, tell)
            if not self._given:
                notify("STOPPING=1")
        finally:
            for task in life:
                task.cancel()
            self._ending.set()
            if self._opener.is_alive():
                await asyncio.to_thread(self._opener.join, RETRY)

    def _hold(self) -> None:
        """Open the database as soon as it can be, and hold it open; until then the snapshot answers."""
        said = ""
        while not self._ending.is_set():
            try:
                with open_server(self._settings) as engine:
                    prepare_server(engine, self._settings, clock())
                    with answering():
                        reading, confined = connect_reading(engine)
                    if not confined:
                        log.warning("web.role_missing", role=ROLE, mend="repzone db upgrade, as a role with CREATEROLE")
                    engine.dispose()
                    self._engine, self._acting = reading, engine
                    self._ending.wait()
                    reading.dispose()
            except RepzoneError as error:
                if str(error) != said:
                    log.error("web.database_away", error=str(error))
                said = str(error)
            finally:
                self._engine = self._acting = None
            self._ending.wait(RETRY)

    def _reload(self) -> None:
        """Read configuration, policy and zones again; faulty ones change nothing."""
        reloading()
        try:
            settings = load(self._settings.file)
            site: Site = build(settings, last_good.renew(settings))
        except RepzoneError as error:
            log.error("web.reload_refused", error=str(error))
        else:
            keys = [key for key in NEEDS_RESTART if getattr(settings, key) != getattr(self._settings, key)]
            if keys:
                log.warning("web.restart_needed", keys=keys)
            kept = {key: getattr(self._settings, key) for key in NEEDS_RESTART}
            self._settings, self._site = settings.model_copy(update=kept), site
            log.info("web.reloaded", zones=[zone.apex for zone in site.zones])
        notify("READY=1")
