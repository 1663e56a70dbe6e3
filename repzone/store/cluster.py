"""The data folder of the private PostgreSQL: made once by initdb, configured for a small server.

Everything in it is written by the account that owns it, never by root. The server and initdb inherit it as an
open file and know it as /proc/self/fd/N: so neither needs leave to walk the path to it, which may lead through
/root, and no permission on the way is changed. (By its working folder alone it would not do: before version 16
every program of PostgreSQL goes elsewhere for a moment and must find back.) The socket lies in it too: mode 0700
keeps all others out, and nothing is put, or left, in /tmp or /run.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from repzone.errors import EmbeddedError
from repzone.store import account as accounts
from repzone.store.account import Account
from repzone.store.binaries import Binaries, last_line

ROLE = "repzone"  # owns everything in the database
DATABASE = "repzone"
FOLDER = "pg"
ASIDE = "pg.new"
_TRIES, _PAUSE = 200, 0.05

CONFIGURATION = """
# --- repzone: a small server that only repzone uses. Yours to change: the last line of a name counts.
max_connections = 50
shared_buffers = 128MB
wal_level = minimal
max_wal_senders = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""

HBA = """# Written by repzone at every start: the socket alone, and only users whom pg_ident.conf names.
local all all peer map=repzone
"""


def version_of(data: Path) -> int | None:
    """Give the major version that made the folder, None when there is none yet.

    EmbeddedError when something else lies there.
    """
    try:
        if not os.listdir(data):
            return None
        text = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        if not data.exists():
            return None
        text = ""
    except NotADirectoryError:
        text = ""
    match = re.fullmatch(r"(\d{1,4})\s*", text)
    if match is None:
        raise EmbeddedError(f"{data}: is no data folder of PostgreSQL; move it away")
    return int(match[1])


def create(state: Path, binaries: Binaries, account: Account, tell: Callable[[str], None], *, durable: bool) -> None:
    """Make `state/pg` aside and rename it; `tell` takes initdb's output. To be called under pg.start.

    A kill on the way leaves `pg.new`, which the next call removes. EmbeddedError carries initdb's own last line.
    """
    aside, data = state / ASIDE, state / FOLDER
    _remove(aside)
    maker = account if account.name else accounts.nobody()
    aside.mkdir(mode=0o700)
    try:
        _hand_over(aside, maker)
        _fill(aside, binaries, maker, tell, durable=durable)
        if maker.uid != account.uid:
            _hand_over(aside, account, everything=True)
        aside.rename(data)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync(state)


def _remove(folder: Path) -> None:
    """Remove a folder that a killed call left, in which its initdb may still be at work for a moment."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
    shutil.rmtree(folder)


def inherited(folder: int) -> str:
    """Name an open folder for a program that inherits it (proc(5))."""
    return f"/proc/self/fd/{folder}"


def _fill(folder: Path, binaries: Binaries, maker: Account, tell: Callable[[str], None], *, durable: bool) -> None:
    initdb = str(binaries.folder / "initdb")
    options = f"-U {ROLE} --encoding=UTF8 --locale=C --data-checksums --no-sync --no-instructions"
    access = ["--auth-local=peer", "--auth-host=reject"]
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        place = ["-D", inherited(opened)]
        code, said = maker.run([initdb, *place, *options.split(), *access], keep=(opened,))
        tell(said)
        if code == 0:
            write(folder, maker, "postgresql.conf", CONFIGURATION, append=True)
            if durable:  # only now, so that the line above is on the disk as well
                code, said = maker.run([initdb, *place, "--sync-only"], keep=(opened,))
    finally:
        os.close(opened)
    if code:
        raise EmbeddedError(f"{folder}: cannot be made: {last_line(said)}")


def write_access(folder: Path, account: Account) -> None:
    """Write who may connect: root and whoever starts the server, both as the role that owns everything."""
    users = sorted({*accounts.names(), *([account.name] if account.name else [])})
    lines = "".join(f'repzone "{name}" {ROLE}\n' for name in users)
    write(folder, account, "pg_hba.conf", HBA)
    write(folder, account, "pg_ident.conf", f"# Written by repzone at every start.\n{lines}")


def write(folder: Path, account: Account, name: str, text: str, *, append: bool = False) -> None:
    """Write a file of the folder as its owner: a link that the owner put there leads no further than the owner."""
    code, said = account.run(["/bin/sh", "-c", f'cat {">>" if append else ">"}"$0"', name], folder, text)
    if code:
        raise EmbeddedError(f"{folder / name}: cannot be written: {last_line(said)}")


def _hand_over(folder: Path, account: Account, *, everything: bool = False) -> None:
    """Give a folder that root made to the account, following no link."""
    if not account.becomes:
        return
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if everything:
            maker = os.fstat(root).st_uid
            for _, folders, files, at in os.fwalk(".", dir_fd=root):
                for name in (*folders, *files):
                    if os.stat(name, dir_fd=at, follow_symlinks=False).st_uid == maker:
                        os.chown(name, account.uid, account.gid, dir_fd=at, follow_symlinks=False)
        os.fchown(root, account.uid, account.gid)
    finally:
        os.close(root)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
