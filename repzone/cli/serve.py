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

from repzone.cli.database import open_server, prepare, revive
from repzone.cli.options import ConfigOption
from repzone.cli.output import set_up_logging
from repzone.cli.wall import clock
from repzone.config import Settings, load, load_zones, parse_listen
from repzone.errors import RepzoneError, UnavailableError
from repzone.jobs.refresh import Feed, follow
from repzone.serve.dns import DnsServer
from repzone.store.engine import Engine
from repzone.wire.respond import View
from repzone.zone.definition import Zone, arrange
from repzone.zone.table import MemoryTable

app = typer.Typer(no_args_is_help=True)
log = structlog.get_logger()


@app.callback()
def serve() -> None:
    """Answer the mail servers, until SIGTERM or Ctrl-C."""


@dataclass(slots=True)
class Served:
    """What a server answers from: the zones as last read, the feed of the database."""

    zones: tuple[Zone, ...]
    max_stale: int
    feed: Feed = field(default_factory=lambda: Feed(MemoryTable()))

    def view(self) -> View:
        """Give what is known at this instant."""
        feed = self.feed
        age = feed.age(time.monotonic())
        return View(self.zones, feed.table, feed.serial or 0, age, self.max_stale, feed.paused)


@app.command()
def dns(config: ConfigOption = None) -> None:
    """Serve the zones over DNS, following the database.

    SIGTERM ends it; SIGHUP reads the zone definitions again.

    Example: REPZONE_DNS_LISTEN=0.0.0.0:53 repzone serve dns
    """
    set_up_logging(quiet=False)
    settings = load(config)
    served = Served(arrange(load_zones(settings)), settings.max_stale)
    with open_server(settings) as engine:
        try:
            prepare(engine, settings, clock())
        except UnavailableError as error:  # the test entries are answered all the same, and the rest as soon as it can
            log.error("serve.database_away", error=str(error))
        with following(engine, served.feed, settings):
            asyncio.run(_serve(settings, served))


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


async def _serve(settings: Settings, served: Served) -> None:
    """Answer until SIGTERM or SIGINT."""
    stop = stop_event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, served, settings)
    await DnsServer(listen_addresses(settings), served.view, clock).run(stop)


def stop_event(*more: signal.Signals) -> asyncio.Event:
    """Give an event that SIGTERM, Ctrl-C and the signals named set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _reload(served: Served, settings: Settings) -> None:
    """Read the zone definitions again; faulty ones change nothing."""
    try:
        served.zones = arrange(load_zones(settings))
    except RepzoneError as error:
        log.error("serve.reload_refused", error=str(error))
    else:
        log.info("serve.reloaded", zones=[zone.apex for zone in served.zones])
