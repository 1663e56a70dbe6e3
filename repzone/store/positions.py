"""Where the reading of each log stands: how far in which of its files, and what its join remembers.

A source is a host's log by its name. Its files are known again by a digest of their first octets; device and
inode are hints for people. Positions are octets of the (uncompressed) text, behind the last whole line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.tables import source, source_file

BUSY = 60
"""Seconds to wait for another reader of the same source."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """How far one file of a source has been read: octets and lines; fingerprint of its first octets."""

    id: int
    fingerprint: bytes
    fingerprint_length: int
    position: int
    lines: int


def open_source(connection: sa.Connection, host: str, path: str) -> int:
    """Give the number of the source, which is made when it is new."""
    statement = insert(source).values(host=host, path=path)
    statement = statement.on_conflict_do_update(constraint="source_host_path_key", set_={"path": path})
    return int(connection.execute(statement.returning(source.c.id)).scalar_one())


def find_source(connection: sa.Connection, host: str, path: str) -> int:
    """Give the number of the source, 0 when there is none."""
    query = sa.select(source.c.id).where(source.c.host == host, source.c.path == path)
    return connection.execute(query).scalar_one_or_none() or 0


@contextmanager
def reading(engine: sa.Engine, source_id: int, wait: int = BUSY) -> Iterator[sa.Connection | None]:
    """Hold the source for this reader alone; gives None when another still has it after `wait` seconds.

    Use the connection that it gives to store what was read: when it is lost, so is the source.
    """
    with engine.connect() as connection:
        lock = {"class": _LOCK_CLASS, "id": source_id}
        try:
            with connection.begin():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait}s'")
                connection.execute(sa.text("SELECT pg_advisory_lock(:class, :id)"), lock)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
                raise
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.invalidated:  # else it would be made anew
                with connection.begin():
                    connection.execute(sa.text("SELECT pg_advisory_unlock(:class, :id)"), lock)


def held_sources(connection: sa.Connection) -> set[int]:
    """Give the numbers of the sources that somebody reads now."""
    return set(connection.scalars(_FIND_HELD, {"class": _LOCK_CLASS}))


_LOCK_CLASS = 0x72657A6F  # "rezo", apart from other programs' advisory locks

_FIND_HELD = sa.text("""
SELECT objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = CAST(:class AS oid) AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")


def load_state(connection: sa.Connection, source_id: int) -> tuple[dict[str, Any] | None, int]:
    """Give what the source's join remembered at the end of the last transaction, and when that was (0: never)."""
    query = sa.select(source.c.state, seconds(source.c.seen)).where(source.c.id == source_id)
    state, seen = connection.execute(query).one_or_none() or (None, None)
    return state, seen or 0


def store_state(
    connection: sa.Connection, source_id: int, state: dict[str, Any], now: int, logged: int | None = None
) -> None:
    """Keep what the join remembers, that the source was read now, and the newest stamp that was read.

    A stamp that is further ahead than FUTURE is a fault of its line, and does not move the log time so far.
    """
    values: dict[str, Any] = {"state": state, "seen": instant(now)}
    if logged is not None:
        values["logged"] = sa.func.greatest(source.c.logged, instant(min(logged, now + FUTURE)))
    connection.execute(source.update().where(source.c.id == source_id).values(values))


def load_files(connection: sa.Connection, source_id: int) -> list[FileRow]:
    """Give the files of the source that have been read so far, newest first."""
    query = (
        sa.select(
            *(source_file.c.id, source_file.c.fingerprint, source_file.c.fingerprint_length),
            *(source_file.c.position, source_file.c.lines),
        )
        .where(source_file.c.source_id == source_id)
        .order_by(source_file.c.id.desc())
    )
    return [FileRow(*row) for row in connection.execute(query)]


def add_file(
    connection: sa.Connection, source_id: int, fingerprint: bytes, length: int, hints: tuple[int, int], now: int
) -> int:
    """Begin a new file of the source at position 0; `hints` are device and inode."""
    values = {
        "source_id": source_id,
        "fingerprint": fingerprint,
        "fingerprint_length": length,
        "position": 0,
        "lines": 0,
        "device": hints[0],
        "inode": hints[1],
        "began": instant(now),
    }
    return int(connection.execute(source_file.insert().values(values).returning(source_file.c.id)).scalar_one())


def store_position(
    connection: sa.Connection, file_id: int, position: int, lines: int, fingerprint: bytes, length: int
) -> None:
    """Note how far the file has been read; its fingerprint covers more octets as it grows."""
    connection.execute(
        source_file.update()
        .where(source_file.c.id == file_id)
        .values(position=position, lines=lines, fingerprint=fingerprint, fingerprint_length=length)
    )
