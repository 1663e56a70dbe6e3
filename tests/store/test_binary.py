"""PostgreSQL reads what we write in its binary format."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.model import WIDTH, Client
from repzone.store import binary
from repzone.store.engine import Engine


@st.composite
def clients(draw: st.DrawFn) -> Client:
    version = draw(st.sampled_from((4, 6)))
    width = WIDTH[version]
    return Client(version, draw(st.integers(0, 2**width - 1)), width).truncate(draw(st.integers(0, width)))


TABLE = "CREATE TABLE IF NOT EXISTS read (a timestamptz, b smallint, c integer, d text, e inet, f boolean)"
values = st.tuples(
    st.integers(0, 4_102_444_800),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    clients(),
    st.booleans(),
)


@given(st.lists(values, max_size=20))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_database_reads_back_what_was_written(
    fresh_engine: Callable[[], Engine], written: list[tuple[int, int, int, str, Client, bool]]
) -> None:
    rows = [
        b"".join(
            (
                *(binary.row(6), binary.instant(at), binary.smallint(b), binary.integer(c), binary.text(d)),
                *(binary.inet(client), binary.TRUE if f else binary.FALSE),
            )
        )
        for at, b, c, d, client, f in written
    ]
    with fresh_engine().connect() as connection:  # never committed
        connection.exec_driver_sql(TABLE)
        binary.copy(connection, "read", "abcdef", rows)
        found = connection.exec_driver_sql("SELECT extract(epoch FROM a), b, c, d, e, f FROM read").all()
    assert [(*row[:4], Client.from_text(row[4]), row[5]) for row in found] == [
        (*row[:4], unwrapped(row[4]), row[5]) for row in written
    ]


def unwrapped(client: Client) -> Client:
    """Give the client that its text is read as."""
    return Client.from_number(client.version, client.value, client.length)
