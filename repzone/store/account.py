"""The state folder in, the account out under which the private PostgreSQL runs; programs are run as it.

PostgreSQL refuses to run as root. Whoever is not root runs it under the own account. Root takes, in this order:

1. the owner of the data folder that exists, so that a folder keeps its account for life;
2. the owner of the state folder, when that is not root: root and `User=repzone` share one server;
3. a fixed number that has no name. Debian reserves 65000 to 65533 (Policy §9.2.2) and systemd's dynamic users
   end at 65519 (UIDS-GIDS), so nothing else runs as 65520 and up: not `nobody`, as whom many services run, and
   not `postgres`, who may have servers of its own. No account is ever added.

`initdb` alone wants an account with a name; where there is none it runs as `nobody`, and root hands the finished
folder on (`cluster.create`).
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repzone.errors import EmbeddedError

UNNAMED = range(65520, 65534)
PATH = "/usr/local/bin:/usr/bin:/bin"
RUN_SECONDS = 600  # for one program that ends by itself, such as initdb on a slow disk


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group number; the name where it has one; whether we are root and have to become it."""

    uid: int
    gid: int
    name: str | None
    becomes: bool

    def __str__(self) -> str:
        return self.name or f"uid {self.uid}"

    def run(
        self, command: Sequence[str], folder: str | Path = "/", text: str = "", keep: tuple[int, ...] = ()
    ) -> tuple[int, str]:
        """Run a program to its end in a folder with `text` as input; give exit code and all that it wrote.

        It inherits the open files `keep`.

        EmbeddedError when it cannot be started: it is missing, or out of this account's reach.
        """
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment(),
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=RUN_SECONDS,
                check=False,
                umask=0o077,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we end it
                pass_fds=keep,
                user=self.uid if self.becomes else None,
                group=self.gid if self.becomes else None,
                extra_groups=[] if self.becomes else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._cannot_run(command, error) from error
        return done.returncode, done.stdout

    def launch(self, command: Sequence[str], log: int, keep: int) -> subprocess.Popen[bytes]:
        """Start a program that outlives us, in a session of its own, writing to the open file `log`.

        The terminal's Ctrl-C does not reach it, and of our open files it has `keep` alone.
        """
        try:
            return subprocess.Popen(
                command,
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(keep,),
                umask=0o077,
                user=self.uid if self.becomes else None,
                group=self.gid if self.becomes else None,
                extra_groups=[] if self.becomes else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._cannot_run(command, error) from error

    def _cannot_run(self, command: Sequence[str], error: Exception) -> EmbeddedError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return EmbeddedError(f"cannot run {command[0]} as {self}: {why}")


def environment() -> dict[str, str]:
    """Give the server's environment: nothing of ours, which may hold a password, and nothing named PG*."""
    kept = {"LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"]} if "LD_LIBRARY_PATH" in os.environ else {}
    return {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", **kept}


def choose(state: Path, data: Path) -> Account:
    """Choose the account for the data folder of a state folder (which exists; the data folder may not yet).

    EmbeddedError when the folder belongs to somebody under whom we cannot or must not run a server.
    """
    mine = os.geteuid()
    try:
        owner = data.stat()
    except FileNotFoundError:
        owner = None
    if mine != 0:
        if owner is not None and owner.st_uid != mine:
            raise EmbeddedError(f"{data} belongs to {named(owner.st_uid)}: run repzone as that user or as root")
        return _own(mine)
    state_owner = state.stat()
    if owner is None:
        return _of(state_owner.st_uid, state_owner.st_gid) if state_owner.st_uid else _unnamed()
    if owner.st_uid == 0:
        raise EmbeddedError(f"{data} belongs to root, as whom PostgreSQL does not run: chown -R it to another user")
    if state_owner.st_uid not in (0, owner.st_uid):
        # A user must not be able to point root's server at another's folder.
        raise EmbeddedError(f"{data} belongs to {named(owner.st_uid)}, {state} to {named(state_owner.st_uid)}")
    return _of(owner.st_uid, owner.st_gid)


def nobody() -> Account:
    """Give the account that has a name on every system and owns nothing."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError("there is no user `nobody`, as whom initdb is run; start repzone as a plain user") from None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, becomes=True)


def names() -> list[str]:
    """Give the operating system's users who may connect: root, and whoever runs this."""
    return sorted({name for uid in {0, os.geteuid()} if (name := _name(uid)) is not None})


def _own(uid: int) -> Account:
    name = _name(uid)
    if name is None:
        raise EmbeddedError(
            f"uid {uid} has no name in /etc/passwd, which PostgreSQL wants: add one or use another user"
        )
    return Account(uid, os.getegid(), name, becomes=False)


def _of(uid: int, gid: int) -> Account:
    return Account(uid, gid, _name(uid), becomes=True)


def _unnamed() -> Account:
    for number in UNNAMED:
        if _name(number) is None and not _is_group(number):
            return Account(number, number, None, becomes=True)
    raise EmbeddedError(
        f"every uid from {UNNAMED[0]} to {UNNAMED[-1]} has a name: chown the state folder to a plain user"
    )


def named(uid: int) -> str:
    """Give the name of a user, or `uid 65520`."""
    return _name(uid) or f"uid {uid}"


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _is_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True
