"""Bring the tables to another revision, by the Alembic migrations in a folder: the only way in which they change."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

from repzone.store.engine import Engine, Schema, answering, schema
from repzone.store.reader import make_reader


def upgrade(engine: Engine, scripts: Path) -> Schema:
    """Bring the tables to the newest revision; several at once wait for each other. Give where it stands then."""
    _migrate(engine, scripts, command.upgrade, "head")
    with answering(), engine.begin() as connection:
        make_reader(connection)
    return schema(engine, scripts)


def downgrade(engine: Engine, scripts: Path, revision: str) -> None:
    """Take the tables back to a revision, or with `base` away."""
    _migrate(engine, scripts, command.downgrade, revision)


def _migrate(engine: Engine, scripts: Path, run: Callable[[Config, str], None], revision: str) -> None:
    config = _config(scripts)
    with answering(), engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.migrations'))")
        config.attributes["connection"] = connection
        run(config, revision)


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
