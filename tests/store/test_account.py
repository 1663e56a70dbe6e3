"""Who runs the private PostgreSQL, and whom it lets in: with real servers and other user numbers."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from repzone.store import account
from repzone.store.embedded import running, status
from tests.fix_db import as_root
from tests.fix_embedded import ask, is_gone, refused, server

NOBODY = 65534


def child_status(act: Callable[[], None], uid: int) -> int:
    """Run a function in a forked child under another user number; give the error number it ended with."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
        except OSError as error:
            os._exit(error.errno or 255)
        except BaseException as error:  # nothing may leave the child
            print(repr(error), file=sys.__stderr__, flush=True)
            os._exit(254)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@as_root
def test_other_users_of_the_system_cannot_connect(state: Path) -> None:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))

    with running(state, durable=False):
        path = status(state).socket
        assert stat.S_IMODE((state / "pg").stat().st_mode) == 0o700
        assert child_status(connect, NOBODY) == 13  # EACCES
        assert child_status(connect, 0) == 0


def test_only_mapped_users_may_be_the_owner_and_only_over_the_socket(state: Path) -> None:
    with running(state, durable=False) as url:
        rules = ask(url, "SELECT string_agg(concat_ws(' ', type, auth_method, options), ',') FROM pg_hba_file_rules")
        assert rules == "local peer {map=repzone}"
        mapped = ask(url, "SELECT string_agg(sys_name, ',' ORDER BY sys_name) FROM pg_ident_file_mappings")
        assert set(mapped.split(",")) == set(account.names())
        with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
            ask(url.replace("repzone@", "postgres@"), "SELECT 1")


@as_root
def test_root_shares_the_server_with_the_owner_of_the_state_folder(fresh: Path) -> None:
    def join() -> None:
        with running(fresh, durable=False) as url, psycopg.connect(url) as connection:
            connection.execute("SELECT 1")

    fresh.mkdir()
    os.chown(fresh, NOBODY, NOBODY)
    with running(fresh, durable=False):
        assert Path(f"/proc/{server(fresh)}").stat().st_uid == NOBODY
        assert {path.stat().st_uid for path in fresh.iterdir()} == {NOBODY}
        assert child_status(join, NOBODY) == 0
    assert is_gone(fresh)


@as_root
def test_root_does_not_follow_a_user_to_anothers_folder(copied: Path) -> None:
    other = copied.rename(copied.parent / "other")
    copied.mkdir()
    os.chown(copied, NOBODY, NOBODY)
    (copied / "pg").symlink_to(other / "pg")
    assert "uid 65520" in refused(copied)
    victim = copied.parent / "victim"
    victim.write_text("")
    (copied / "pg.users").unlink()
    (copied / "pg.users").symlink_to(victim)
    assert "pg.users" in refused(copied)
    assert victim.stat().st_uid == 0


@as_root
def test_an_account_without_a_name_is_taken_and_kept(state: Path) -> None:
    assert (state / "pg").stat().st_uid in account.UNNAMED
    for path in (state / "pg").rglob("*"):
        assert path.lstat().st_uid in account.UNNAMED


def test_a_folder_of_somebody_else_is_refused_with_the_way_out(copied: Path) -> None:
    if os.geteuid() == 0:
        for path in (copied / "pg", *(copied / "pg").rglob("*")):
            os.chown(path, 0, 0)
        assert "chown" in refused(copied)
    else:
        assert "Permission denied: run repzone as root" in refused(Path("/root/repzone"))
