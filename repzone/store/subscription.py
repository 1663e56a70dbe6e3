"""A connection that listens, and that never waits longer than it is told: how a server follows the database.

A database that is gone says so by itself; one that hangs, whose host is frozen or whose disk is, does not. So whoever
asks says how long that may take, and then the socket is shut down under libpq, which no statement timeout of the
server's own could do.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import sqlalchemy as sa

from repzone.errors import UnavailableError
from repzone.store.engine import answering


class Subscription:
    """A connection of its own, in AUTOCOMMIT, that was told to listen; `database` is which one of all there are."""

    def __init__(self, connection: sa.Connection, raw: psycopg.Connection) -> None:
        self._connection, self._raw = connection, raw
        self.database = ""

    def wait(self, seconds: float) -> None:
        """Return when something was notified, at the latest after that many seconds."""
        for _ in self._raw.notifies(timeout=seconds, stop_after=1):
            pass

    @contextmanager
    def within(self, seconds: float) -> Iterator[sa.Connection]:
        """Lend the connection for so long; UnavailableError when the answer is not there by then."""
        cut = _Cut(self._raw.fileno())
        timer = threading.Timer(seconds, cut.shut_down)
        timer.daemon = True
        timer.start()
        try:
            yield self._connection
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            if cut.done:
                raise UnavailableError(f"the database does not answer: nothing came in {seconds:g} s") from error
            raise
        finally:
            cut.call_off()
            timer.cancel()


@contextmanager
def subscribe(engine: sa.Engine, channel: str) -> Iterator[Subscription]:
    """Connect anew and listen; UnavailableError when the connection cannot be made or is lost."""
    # From a pool of its own: of one that lay in the engine's it would be tried first whether it lives, without end.
    own = sa.Engine(engine.pool.recreate(), engine.dialect, engine.url)
    with answering():
        connection = own.connect().execution_options(isolation_level="AUTOCOMMIT")
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the driver that engine.connect names
        connection.detach()  # not to be lent to others while it still listens
        with closing(raw), connection:  # of one that was lost only the former closes the socket
            subscription = Subscription(connection, raw)
            with subscription.within(_LISTEN):
                connection.exec_driver_sql(f"LISTEN {channel}")
                subscription.database = str(connection.exec_driver_sql(_IDENTITY).scalar_one())
            yield subscription


_LISTEN = 10.0

# Of the server since initdb, of the database in it, and of its tables: a restored dump and a server of another host are
# others, also when the dump came into this very database.
_IDENTITY = """
SELECT concat_ws('/', system_identifier, pg_database.oid, to_regclass('change_serial')::oid)
FROM pg_control_system(), pg_database WHERE datname = current_database()"""


class _Cut:
    """A socket to be shut down, unless that was called off before: its number may be another's by then."""

    def __init__(self, number: int) -> None:
        self._number, self._lock = number, threading.Lock()
        self._off = self.done = False

    def shut_down(self) -> None:
        with self._lock:
            if self._off:
                return
            self.done = True
            with socket.socket(fileno=os.dup(self._number)) as sock:
                sock.shutdown(socket.SHUT_RDWR)

    def call_off(self) -> None:
        with self._lock:
            self._off = True
