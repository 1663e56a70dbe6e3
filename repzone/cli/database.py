"""Settings in, an open database out: the private PostgreSQL or the operator's own, with its tables up to date."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import typer

from repzone import shipped
from repzone.clock import Clock
from repzone.config import EMBEDDED, Settings
from repzone.definitions import load_policy
from repzone.errors import ConfigError
from repzone.store.embedded import running
from repzone.store.engine import Engine, answering, connect, require_current
from repzone.store.exemptions import store_own_networks
from repzone.store.policies import has_policy
from repzone.store.policies import load_policy as store_policy

log = structlog.get_logger()


@contextmanager
def open_server(settings: Settings) -> Iterator[Engine]:
    """Give an engine for the configured database, whatever its tables are."""
    if settings.file is None and not settings.model_fields_set & {"database_url", "state_dir"}:
        raise ConfigError("repzone.toml", "", "there is none in /etc/repzone or here; `repzone init` writes one")
    if settings.database_url != EMBEDDED:
        with _disposed(connect(settings.database_url)) as engine:
            yield engine
        return
    with running(settings.state_dir, settings.postgres_bin_dir) as url, _disposed(connect(url)) as engine:
        yield engine


def revive(settings: Settings) -> None:
    """Start the private PostgreSQL again if it has died; for those who have it open and get no answer.

    Coming in a second time does it: who is already in keeps it from being stopped on the way out.
    """
    if settings.database_url == EMBEDDED:
        with running(settings.state_dir, settings.postgres_bin_dir):
            pass


@contextmanager
def open_database(settings: Settings, clock: Clock, *, deciding: bool = False) -> Iterator[Engine]:
    """Give an engine whose tables are up to date and whose policy and own networks are the configured ones.

    Whoever is `deciding` by the policy needs a sound one. Who looks or acts by hand goes on with the one in force, and
    is told: a zone can be paused, and a client released, by him who has just broken the policy.
    """
    if deciding:
        load_policy(settings)
    with open_server(settings) as engine:
        prepare(engine, settings, clock(), refused=None if deciding else _warn)
        yield engine


def prepare(
    engine: Engine,
    settings: Settings,
    now: int,
    *,
    serving: bool = False,
    refused: Callable[[ConfigError], None] | None = None,
) -> None:
    """Check the tables, and put the configured policy and own networks in force where they differ.

    A faulty policy leaves the one in force, if there is one, and `refused` is told; without that it is an error.
    Whoever is `serving` what was decided needs none, and can wait for tables that are still to be made: to him that is
    a database that is away (UnavailableError).
    """
    require_current(engine, shipped.folder("migrations"), waiting=serving)
    try:
        text, source = load_policy(settings)
    except ConfigError as error:
        with answering(), engine.connect() as connection:
            if refused is None or not (serving or has_policy(connection)):
                raise
        refused(error)
    else:
        with answering(), engine.begin() as connection:
            store_policy(connection, text, source, now)
    with answering(), engine.begin() as connection:
        store_own_networks(connection, settings.own_networks, now)


def prepare_server(engine: Engine, settings: Settings, now: int) -> None:
    """Do so for whoever only serves what was decided."""
    prepare(engine, settings, now, serving=True, refused=lambda error: log.error("policy.refused", error=str(error)))


def _warn(error: ConfigError) -> None:
    typer.echo(f"repzone: {error}; the policy in force goes on", err=True)


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()
