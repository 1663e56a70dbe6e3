"""The key that envelope addresses are hashed with: made at first use and kept in the database, or in a file.

All hosts that feed one database need the same one: else the retry of a greylisted letter at another server would not
be known for that, and its sender be listed for an offence that was none.
"""

import hashlib
import os

import sqlalchemy as sa

from repzone.errors import RepzoneError
from repzone.store.tables import secret

_LENGTH = 32


def load_key(connection: sa.Connection, own: bytes | None = None) -> bytes:
    """Give the key of this database, or `own` (of 64 octets at most), which is not stored, only known again.

    RepzoneError when the hashes in the database are another key's. Commit the transaction.
    """
    key = own or os.urandom(_LENGTH)
    row = {"key": None if own else key, "digest": _digest(key)}
    connection.execute(sa.text("INSERT INTO secret (key, digest) VALUES (:key, :digest) ON CONFLICT DO NOTHING"), row)
    kept, digest = connection.execute(sa.select(secret.c.key, secret.c.digest)).one()
    if own is None:
        if kept is None:
            raise RepzoneError("this database's hashes are made with a key in a file: set hash_key_file")
        return bytes(kept)
    if bytes(digest) != _digest(own):
        raise RepzoneError("hash_key_file: this is not the key that the hashes in this database are made with")
    return own


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16, person=b"repzone.key").digest()
