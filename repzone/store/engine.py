"""A database URL in, an engine out; the schema's version, and bringing it up to date.

Everything that talks to PostgreSQL gets its connections here, so that "it does not answer" is one kind of error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import sqlalchemy as sa

from repzone.errors import RepzoneError, UnavailableError
from repzone.shipped import newest_revision

Engine = sa.Engine
Connection = sa.Connection
CONNECT_ARGS = {
    "connect_timeout": 10,
    "application_name": "repzone",
    "options": "-c timezone=UTC",
    # A host that is gone without a word is noticed within a minute (seconds, milliseconds); sockets have no use for it.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
OLDEST = 15  # NULLS NOT DISTINCT, and what Debian 12 has


def connect(url: str) -> sa.Engine:
    """Make an engine for a `postgresql://` URL; no connection is made yet."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UnavailableError(f"database_url: {url!r} is no URL; write postgresql://user@host/name") from None
    if parsed.get_backend_name() != "postgresql":
        raise UnavailableError(f"database_url: {parsed.drivername!r} is not postgresql")
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        native_inet_types=False,
        pool_pre_ping=True,
        max_overflow=-1,  # each log that is followed holds a connection of its own
        connect_args=CONNECT_ARGS,
    )


@contextmanager
def answering() -> Iterator[None]:
    """Turn "the server does not answer" into UnavailableError, naming what it said in one line."""
    try:
        yield
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        orig = getattr(error, "orig", error)
        answers = str(getattr(orig, "sqlstate", None)).startswith(_ANSWERS)
        if not answers and not isinstance(orig, psycopg.OperationalError):
            raise
        lead = "the database reports" if answers else "the database does not answer"
        said = str(orig).strip().splitlines()
        raise UnavailableError(f"{lead}: {said[0] if said else error}") from error


_ANSWERS = ("53", "42501", "42P01")
"""It answers, and has no room, or lets us not see a table or has none: it is being restored (Appendix A of PostgreSQL's
manual)."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Where a database stands: server version, revision of its tables (None: no tables), revision wanted."""

    server: str
    revision: str | None
    wanted: str

    @property
    def current(self) -> bool:
        """Tell whether the tables are what this repzone needs."""
        return self.revision == self.wanted


def schema(engine: sa.Engine, scripts: Path) -> Schema:
    """Look at the server's version and the tables' revision; `scripts` is the folder of the migrations."""
    with answering(), engine.connect() as connection:
        number = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
        version = connection.exec_driver_sql("SELECT current_setting('server_version')").scalar_one()
        if number < OLDEST * 10000:
            raise UnavailableError(f"the database is PostgreSQL {version}; repzone needs {OLDEST} or newer")
        made = connection.exec_driver_sql("SELECT to_regclass('alembic_version') IS NOT NULL").scalar_one()
        revision = connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar() if made else None
    return Schema(str(version).split()[0], revision, newest_revision(scripts))


def require_current(engine: sa.Engine, scripts: Path, *, waiting: bool = False) -> None:
    """Raise RepzoneError with the way out unless the tables are what this repzone needs.

    To who can be `waiting` until they are made or brought up to date, that is a database that is away
    (UnavailableError).
    """
    found = schema(engine, scripts)
    if found.current:
        return
    have = f"at revision {found.revision}" if found.revision else "not made yet"
    newer = (found.revision or "") > found.wanted
    way = "install a newer repzone" if newer else "run `repzone db upgrade`"
    kind = UnavailableError if waiting and not newer else RepzoneError
    raise kind(f"the tables are {have}, revision {found.wanted} is needed: {way}")


def database_clock(connection: sa.Connection) -> int:
    """Give the present instant by the server's clock, in whole seconds."""
    return int(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::bigint").scalar_one())


def instant(at: int) -> datetime:
    """Give the `timestamptz` of an instant in seconds."""
    return datetime.fromtimestamp(at, UTC)


def seconds(column: sa.ColumnElement[datetime] | sa.Column[datetime]) -> sa.ColumnElement[int]:
    """Give the instant in whole seconds that a `timestamptz` column holds."""
    return sa.cast(sa.extract("epoch", column), sa.BigInteger)
