"""Values in, fields of PostgreSQL's binary COPY out (COPY, "Binary Format"): much cheaper for both sides than text.

A row is `row(columns)` and then one field for each column. Instants are seconds since 1970.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from struct import Struct

import sqlalchemy as sa
from psycopg import sql

from repzone.model import V4, Client

TRUE, FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_EPOCH = 946_684_800  # 2000-01-01, where PostgreSQL's instants count from, in microseconds
_INET = Struct(">iBBBB")
_UUID = (16).to_bytes(4, "big")
_ROW, _INT2, _INT4, _INT8 = Struct(">h"), Struct(">ih"), Struct(">ii"), Struct(">iq")


def row(columns: int) -> bytes:
    """Begin a row of that many fields."""
    return _ROW.pack(columns)


def smallint(number: int) -> bytes:
    """Give the field of a `smallint`."""
    return _INT2.pack(2, number)


def integer(number: int) -> bytes:
    """Give the field of an `integer`."""
    return _INT4.pack(4, number)


def instant(at: int) -> bytes:
    """Give the field of a `timestamptz`."""
    return _INT8.pack(8, (at - _EPOCH) * 1_000_000)


def text(value: str) -> bytes:
    """Give the field of a `text` or an enumeration; what no text in the database can hold is replaced."""
    octets = value.replace("\0", "\ufffd").encode("utf-8", "replace")
    return len(octets).to_bytes(4, "big") + octets


def uuid(digits: str) -> bytes:
    """Give the field of a `uuid` of 32 hex digits."""
    return _UUID + bytes.fromhex(digits)


def inet(client: Client) -> bytes:
    """Give the field of an `inet`: family (2 or 3, PostgreSQL's own), prefix length, no cidr, octets of the address."""
    family, size = (2, 4) if client.version == V4 else (3, 16)
    return _INET.pack(4 + size, family, client.length, 0, size) + client.value.to_bytes(size, "big")


def copy(connection: sa.Connection, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
    """COPY rows into a table, on the connection's own transaction; the server takes some while others are made."""
    raw = connection.connection.driver_connection
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with raw.cursor() as cursor, cursor.copy(statement) as stream:  # type: ignore[union-attr]
        stream.write(_BEGIN)
        rows = iter(rows)
        while block := b"".join(islice(rows, _BLOCK)):
            stream.write(block)
        stream.write(_END)


_BLOCK = 300
"""Rows that are sent at once: about 32 KiB, as the driver buffers."""
