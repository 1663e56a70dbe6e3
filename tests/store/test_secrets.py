"""The key that addresses are hashed with: one for everybody who uses the database."""

from __future__ import annotations

import threading

import pytest

from repzone.errors import RepzoneError
from repzone.store.engine import Engine
from repzone.store.secrets import load_key

OWN = b"sixteen octets or more"


def load(engine: Engine, own: bytes | None = None) -> bytes:
    with engine.begin() as connection:
        return load_key(connection, own)


def test_all_who_come_first_get_the_same_key(engine: Engine) -> None:
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(load(engine))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(keys) == 4
    assert set(keys) == {load(engine)}
    assert len(keys[0]) == 32


def test_a_key_of_ones_own_is_not_stored(engine: Engine) -> None:
    assert load(engine, OWN) == OWN
    with engine.connect() as connection:
        (row,) = connection.exec_driver_sql("SELECT key, digest FROM secret").all()
    assert row.key is None
    assert OWN not in bytes(row.digest)
    assert load(engine, OWN) == OWN


def test_a_host_without_the_key_that_others_have_is_refused(engine: Engine) -> None:
    load(engine, OWN)
    with pytest.raises(RepzoneError, match="set hash_key_file"):
        load(engine)
    with pytest.raises(RepzoneError, match="not the key"):
        load(engine, OWN + b"?")


def test_the_databases_own_key_may_be_moved_into_a_file(engine: Engine) -> None:
    key = load(engine)
    assert load(engine, key) == key
    with pytest.raises(RepzoneError, match="not the key"):
        load(engine, OWN)
