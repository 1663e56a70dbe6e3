"""Octets in, a file out that is whole at any time: the one before or this one, after a crash too (rename(2))."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def replace(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Put octets in the place of a file, for its owner alone; OSError when they cannot be written: it stays as it is.

    Its folder is made if need be. Several processes may do so at once.
    """
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    aside = file.with_name(f"{file.name}.new")
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with aside.open("wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(file)
        os.fsync(folder)
    except OSError:
        with suppress(OSError):  # a full disk must not be kept full by a half of it
            aside.unlink()
        raise
    finally:
        os.close(folder)
