"""`repzone serve`: answer the mail servers."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog
import typer

from repzone.cli.database import open_server, prepare, prepare_server, revive
from repzone.cli.options import ConfigOption
from repzone.cli.output import set_up_logging
from repzone.cli.run import SERVERS, run_together
from repzone.cli.wall import clock
from repzone.config import Settings, load, parse_listen
from repzone.definitions import parse_zones
from repzone.errors import RepzoneError, UnavailableError
from repzone.fastpath import make_table
from repzone.jobs import last_good
from repzone.jobs.keep import Keeper, restore
from repzone.jobs.refresh import Feed, follow
from repzone.serve.bind import take_passed
from repzone.serve.dns import DnsServer
from repzone.serve.meter import Meter
from repzone.serve.metrics import make_pages, unready
from repzone.serve.notify import keep_alive, notify, reloading
from repzone.serve.pages import PageServer
from repzone.store.engine import Engine
from repzone.wire.respond import View
from repzone.zone.definition import Zone, arrange

RETRY = 1.0
"""Seconds between two tries to open the database."""

READY_POLL = 0.01
"""Seconds between two looks at whether there is something to answer from, until there is."""

STUCK = 300.0
"""Seconds without a turn after which the thread that follows the database is taken for dead."""

END = 4.0
"""Seconds from SIGTERM on that connections and threads have to end."""

RELOAD_PAUSE = 1.0
"""Seconds between two readings of the configuration: they take the loop from those who ask."""

NEEDS_RESTART = ("dns_listen", "metrics_listen", "database_url", "state_dir", "postgres_bin_dir")
"""Keys that a hangup does not put in force."""

app = typer.Typer(add_completion=False)
log = structlog.get_logger()


@app.callback(invoke_without_command=True)
def serve(context: typer.Context, config: ConfigOption = None) -> None:
    """Answer the mail servers and show the page for blocked senders, until SIGTERM or Ctrl-C.

    Without a word behind it: all.

    Example: repzone serve
    """
    if context.invoked_subcommand is None:
        everything(config)


@dataclass(slots=True)
class Served:
    """What a server answers from: the zones as last read, the feed of the database; and what it counts."""

    zones: tuple[Zone, ...]
    max_stale: int
    feed: Feed = field(default_factory=lambda: Feed(make_table()))
    meter: Meter = field(default_factory=Meter)
    fault: str = ""  # why the zones are not as the files have them now

    def view(self) -> View:
        """Give what is known at this instant."""
        feed, zones = self.feed, self.zones
        return View(
            zones,
            feed.table,
            feed.serial or 0,
            feed.age(time.monotonic()),
            self.max_stale,
            feed.paused,
            feed.held is not None,
            self.meter.begin(zones),
            feed.exempt,
        )


@app.command()
def dns(config: ConfigOption = None) -> None:
    """Serve the zones over DNS, following the database.

    It answers at once from the snapshot in state_dir, whether the database is there or not. SIGTERM ends it; SIGHUP
    reads configuration, policy and zone definitions again: what is faulty changes nothing. Where policy or zones are
    faulty at the start, the last good ones serve, which it has kept in state_dir.

    Example: REPZONE_DNS_LISTEN=0.0.0.0:53 repzone serve dns
    """
    began = time.monotonic()
    set_up_logging(quiet=False)
    settings = load(config)
    definitions, fault = last_good.load(settings)
    zones = arrange(parse_zones(definitions, settings))
    served = Served(zones, settings.max_stale, meter=Meter(settings.query_log), fault=fault)
    served.feed.folder = settings.state_dir
    restore(served.feed, settings.state_dir, clock(), time.monotonic())
    asyncio.run(_Service(settings, served, began).run())


@app.command()
def web(config: ConfigOption = None) -> None:
    """Show the page for blocked senders, by HTTP on web_listen.

    Without its database it answers from the snapshot in state_dir, and says how old that is. SIGTERM ends it; SIGHUP
    reads configuration, policy and zone definitions again.

    Example: REPZONE_WEB_LISTEN=127.0.0.1:8053 repzone serve web
    """
    from repzone.cli.web import WebService  # imported here: a DNS server needs none of it

    set_up_logging(quiet=False)
    service = WebService(load(config))

    async def until_told() -> None:
        await service.run(stop_event())

    asyncio.run(until_told())


@app.command(name="all")
def everything(config: ConfigOption = None) -> None:
    """Serve the zones over DNS, and the page for blocked senders.

    Each is a process of its own: one that dies is started again.

    Example: repzone serve all
    """
    run_together(SERVERS, config)


class _Service:
    """A server with the threads behind it: one follows the database, one writes snapshots."""

    def __init__(self, settings: Settings, served: Served, began: float) -> None:
        self._settings, self._served, self._began = settings, served, began
        self._engine: Engine | None = None
        self._failure: RepzoneError | None = None
        self._hung_up: asyncio.TimerHandle | None = None
        self._reloaded = -RELOAD_PAUSE
        self._asked, self._said = 0.0, ""  # since when the database is being opened; what became of it the last time
        self._ending = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="database", daemon=True)
        keeper = Keeper(served.feed, settings.state_dir, clock, time.monotonic)
        self._keeper = threading.Thread(target=keeper.run, args=(self._ending,), name="snapshot", daemon=True)

    async def run(self) -> None:
        """Answer until SIGTERM or SIGINT; RepzoneError when there is nothing to answer from and never will be."""
        self._stop, self._loop = stop_event(), asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        served = self._served
        listen = take_passed() or listen_addresses(self._settings)
        server = self._server = DnsServer(listen, served.view, clock, table=served.feed.table)
        monitor = PageServer(
            [parse_listen(text) for text in self._settings.metrics_listen],
            make_pages(server, served.view, served.meter, clock, self._is_alive, self._away, lambda: served.fault),
        )
        try:
            await server.start()
            self._sample(server)
            await monitor.start()
            for thread in (self._follower, self._keeper):
                thread.start()
            notify("READY=1", f"STATUS={self._status()}")
            tasks = [self._loop.create_task(task) for task in (keep_alive(self._is_alive), self._tell_ready())]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            notify("STOPPING=1")
        finally:
            self._ending.set()
            end = time.monotonic() + END
            await monitor.close()
            await server.close()
            await asyncio.to_thread(self._join, end)
        if self._failure is not None:
            raise self._failure

    async def _tell_ready(self) -> None:
        """Tell the log when listings are answered, and how many seconds after the start that is."""
        while unready(self._served.view()):
            await asyncio.sleep(READY_POLL)
        log.info("dns.ready", serial=self._served.feed.serial, seconds=round(time.monotonic() - self._began, 3))

    def _sample(self, server: DnsServer) -> None:
        """Have hits logged, whichever core answers them."""
        meter = self._served.meter
        if server.core is not None:
            meter.chosen = True
            server.core.sample(meter.share)

    def _join(self, end: float) -> None:
        """Wait for the threads until a monotonic instant; a database that hangs is left to itself."""
        for thread in (self._keeper, self._follower):
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))
        if self._keeper.is_alive():
            log.error("zone.snapshot_failed", error=f"not written within {END:.0f} s of the end: the last one stays")

    def _is_alive(self) -> bool:
        turned = self._served.feed.turned
        return self._follower.is_alive() and (turned == 0 or time.monotonic() - turned < STUCK)

    def _away(self) -> str:
        """Say why the database is not open; nothing when it is."""
        if self._engine is not None:
            return ""
        return self._said or f"the database has not answered for {time.monotonic() - self._asked:.0f} s"

    def _status(self) -> str:
        feed = self._served.feed
        status = unready(self._served.view()) or f"answering at serial {feed.serial}"
        return f"{status}, from the last good files: {self._served.fault}" if self._served.fault else status

    def _follow(self) -> None:
        """Open the database as soon as it can be, and follow it.

        Whoever watches sees a turn begin: one that never ends is felt, also where the database has stopped to answer.
        """
        while not self._ending.is_set():
            self._asked = self._served.feed.turned = time.monotonic()
            try:
                with open_server(self._settings) as engine:
                    prepare_server(engine, self._settings, clock())
                    self._engine, self._said = engine, ""
                    feed, again = self._served.feed, partial(revive, self._settings)
                    follow(engine, feed, clock, time.monotonic, self._ending, again)
            except RepzoneError as error:
                if self._served.feed.serial is None and not isinstance(error, UnavailableError):
                    self._fail(error)
                    return
                if str(error) != self._said:
                    log.error("serve.database_away", error=str(error))
                self._said = str(error)
            finally:
                self._engine = None
            self._ending.wait(RETRY)

    def _fail(self, error: RepzoneError) -> None:
        self._failure = error
        self._loop.call_soon_threadsafe(self._stop.set)

    def _hang_up(self) -> None:
        """Read everything again, at once or after a pause: of many hangups the last one counts."""
        if self._hung_up is None:
            pause = max(0.0, self._reloaded + RELOAD_PAUSE - time.monotonic())
            self._hung_up = self._loop.call_later(pause, self._reload)

    def _reload(self) -> None:
        """Read configuration and zones again; faulty ones change nothing."""
        self._hung_up, self._reloaded = None, time.monotonic()
        reloading()
        try:
            settings = load(self._settings.file)
            zones = arrange(parse_zones(last_good.renew(settings), settings))
        except RepzoneError as error:
            self._served.fault = str(error)
            log.error("serve.reload_refused", error=str(error))
        else:
            keys = [key for key in NEEDS_RESTART if getattr(settings, key) != getattr(self._settings, key)]
            if keys:
                log.warning("serve.restart_needed", keys=keys)
            self._served.zones, self._served.max_stale, self._served.fault = zones, settings.max_stale, ""
            self._served.meter.share = settings.query_log
            self._sample(self._server)
            kept = {key: getattr(self._settings, key) for key in NEEDS_RESTART}
            self._settings = settings.model_copy(update=kept)
            threading.Thread(target=self._prepare, args=(self._settings,), name="prepare", daemon=True).start()
            log.info("serve.reloaded", zones=[zone.apex for zone in zones])
        notify("READY=1", f"STATUS={self._status()}")

    def _prepare(self, settings: Settings) -> None:
        """Tell the database the policy and the own networks, as soon as it answers."""
        while not self._ending.is_set() and self._settings is settings:
            try:
                if self._engine is not None:
                    prepare(self._engine, settings, clock())
                return  # without an engine `_follow` will do it
            except UnavailableError:
                self._ending.wait(RETRY)
            except RepzoneError as error:
                log.error("serve.reload_unfinished", error=str(error))
                return


@contextmanager
def following(engine: Engine, feed: Feed, settings: Settings) -> Iterator[None]:
    """Follow the database in a thread of its own; ends within a second or two."""

    stop = threading.Event()
    thread = threading.Thread(
        target=follow,
        args=(engine, feed, clock, time.monotonic, stop, partial(revive, settings)),
        name="refresh",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def listen_addresses(settings: Settings) -> Sequence[tuple[str, int]]:
    """Give the configured addresses and ports."""
    return [parse_listen(text) for text in settings.dns_listen]


def stop_event(*more: signal.Signals) -> asyncio.Event:
    """Give an event that SIGTERM, Ctrl-C and the signals named set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
