"""`repzone run`: read the logs, decide, answer; all of it under one command."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import structlog

from repzone.cli.database import open_server, prepare_server
from repzone.cli.options import ConfigOption
from repzone.cli.output import set_up_logging
from repzone.cli.wall import clock
from repzone.config import Settings, load
from repzone.definitions import load_zones
from repzone.errors import RepzoneError, UnavailableError
from repzone.jobs import last_good
from repzone.serve.notify import keep_alive, notify
from repzone.serve.supervise import Child, supervise

log = structlog.get_logger()


COMMANDS = {"worker": ("ingest", "--follow"), "dns": ("serve", "dns"), "web": ("serve", "web")}
"""The processes that can be run together, and how each is started alone."""

SERVERS = ("dns", "web")


def run(config: ConfigOption = None) -> None:
    """Follow the logs, decide at once, serve the zones over DNS and the page for blocked senders.

    Worker, DNS server and web server are processes of their own: one that dies is started again. SIGHUP reads
    configuration, policy and zones anew; SIGTERM or Ctrl-C ends all.

    Example: REPZONE_DNS_LISTEN=127.0.0.1:53 repzone run
    """
    run_together(("worker", *SERVERS), config)


def run_together(names: Sequence[str], config: Path | None) -> None:
    """Run some of COMMANDS, each kept running, until SIGTERM or Ctrl-C."""
    set_up_logging(quiet=False)
    settings = _load(names, config)
    _, fault = last_good.load(settings)
    with _held(settings):
        asyncio.run(_run(_children(names, settings, config, sound=not fault), names, config))
    log.info("run.stopped")


def _load(names: Sequence[str], config: Path | None) -> Settings:
    settings = load(config)
    if "worker" in names and not settings.logs:
        raise RepzoneError("nothing to follow: set `logs` in the configuration, or use `repzone serve`")
    return settings


@contextmanager
def _held(settings: Settings) -> Iterator[None]:
    """Keep the private PostgreSQL while children come and go; one of the operator's own, and tables, may come later."""
    with open_server(settings) as engine:
        try:
            prepare_server(engine, settings, clock())
        except UnavailableError as error:
            log.error("run.database_away", error=str(error))
        engine.dispose()
        yield


def _children(names: Sequence[str], settings: Settings, config: Path | None, *, sound: bool) -> list[Child]:
    """Give what is to run. Unless the files are sound nobody waits for the worker, which decides by them alone."""
    command = (sys.executable, "-P", "-m", "repzone")
    options = ("--config", str(config)) if config else ()
    wanted = [name for name in names if name != "web" or settings.web_listen]
    return [
        Child(
            name,
            (*command, *COMMANDS[name], *options),
            reloads=name in SERVERS,
            tells=name in SERVERS,
            awaited=sound or name in SERVERS,
        )
        for name in wanted
    ]


async def _run(children: Sequence[Child], names: Sequence[str], config: Path | None) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    alive = loop.create_task(keep_alive(lambda: True))
    ready = partial(notify, "READY=1", f"MAINPID={os.getpid()}")
    await supervise(children, stop, reload, ready, partial(_is_sound, names, config))
    alive.cancel()
    notify("STOPPING=1")


def _is_sound(names: Sequence[str], config: Path | None) -> bool:
    """Tell whether the worker could start on what is to be read anew. The servers find that out for themselves: they go
    on with what they have, and say so where they are asked.
    """
    try:
        load_zones(_load(names, config))
    except RepzoneError as error:
        log.error("run.reload_refused", error=str(error))
        return False
    log.info("run.reload")
    return True
