"""The private PostgreSQL with real servers: started, shared, killed, left behind, refused and stopped."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from repzone.store import embedded, postmaster
from repzone.store.embedded import hold, running, status
from tests.fix_embedded import Users, ask, do, is_gone, leave, refused, server, url_of, use, wait_for

NOBODY = 65534


def test_a_server_starts_from_nothing_and_ends_with_its_only_user(fresh: Path) -> None:
    with running(fresh) as url:
        assert ask(url, "SELECT current_user || ' ' || current_database()") == "repzone repzone"
        assert ask(url, "SHOW timezone") == "UTC"
        assert ask(url, "SHOW server_encoding") == "UTF8"
        assert ask(url, "SHOW data_checksums") == "on"
        assert ask(url, "SHOW fsync") == "on"
        found = status(fresh)
        assert found.running
        assert found.version == int(ask(url, "SHOW server_version_num")) // 10000
    assert is_gone(fresh)


def test_what_was_written_is_there_the_next_time(state: Path) -> None:
    with running(state, durable=False) as url:
        do(url, "CREATE TABLE written AS SELECT 42 AS n")
    with running(state, durable=False) as url:
        assert ask(url, "SELECT n FROM written") == "42"


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(state: Path, users: Users) -> None:
    first, second = users(state), users(state)
    assert url_of(first) == url_of(second)
    pid = server(state)
    leave(first)
    assert server(state) == pid
    with running(state, durable=False) as url:
        assert ask(url, "SELECT 1") == "1"
    assert server(state) == pid
    leave(second)
    assert is_gone(state)


def test_four_who_come_at_once_start_one_server(fresh: Path, users: Users) -> None:
    everybody = [users(fresh) for _ in range(4)]
    assert len({url_of(user) for user in everybody}) == 1
    log = (fresh / "pg.log").read_text()
    assert log.count("starting PostgreSQL") == 1
    for user in everybody:
        leave(user)
    assert is_gone(fresh)


def test_many_rounds_leave_no_process_and_no_file_in_the_way(state: Path) -> None:
    others = postgres_children()  # the session's own server, perhaps
    for _ in range(4):
        use(state)
        assert is_gone(state)
    assert sorted(path.name for path in state.iterdir()) == ["pg", "pg.log", "pg.start", "pg.users"]
    assert postgres_children() <= others


def postgres_children() -> set[str]:
    """Give the processes called postgres that are our children, those that ended and were not waited for too."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {child for child in children if "postgres" in Path(f"/proc/{child}/stat").read_text()}


def test_a_database_that_was_dropped_is_made_again(state: Path) -> None:
    with running(state, durable=False) as url:
        do(url.replace("@/repzone?", "@/postgres?"), "DROP DATABASE repzone")
        with running(state, durable=False) as again:
            assert ask(again, "SELECT 1") == "1"


def test_a_log_that_has_grown_long_is_put_aside(copied: Path) -> None:
    use(copied)
    with (copied / "pg.log").open("a") as log:
        log.write("x" * (1 << 20))
    use(copied)
    assert (copied / "pg.log.1").stat().st_size > 1 << 20
    assert (copied / "pg.log").stat().st_size < 1 << 16


def test_a_server_that_was_killed_is_started_again_by_the_next_user(state: Path, users: Users) -> None:
    first = users(state)
    url = url_of(first)
    do(url, "CREATE TABLE kept AS SELECT 42 AS n")
    pid = server(state)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(state).pid is None)
    second = users(state)
    assert ask(url_of(second), "SELECT n FROM kept") == "42"
    assert server(state) != pid
    leave(first)
    leave(second)
    assert is_gone(state)


def test_a_server_that_hangs_is_said_not_to_answer(state: Path, users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    user = users(state)
    url_of(user)
    monkeypatch.setattr(embedded, "CONNECT_SECONDS", 2)
    os.kill(server(state), signal.SIGSTOP)
    try:
        assert refused(state) == f"the PostgreSQL of {state / 'pg'} does not answer: nothing came in 2 s"
    finally:
        os.kill(server(state), signal.SIGCONT)
    leave(user)
    assert is_gone(state)


def test_a_server_that_others_use_is_reaped_when_it_ends(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "0.1"])
    postmaster.disown(child)
    wait_for(lambda: not Path(f"/proc/{child.pid}").exists())


def test_a_killed_user_leaves_a_server_that_the_next_one_uses_and_stops(state: Path, users: Users) -> None:
    user = users(state)
    url_of(user)
    pid = server(state)
    user.kill()
    user.wait()
    assert server(state) == pid
    with running(state, durable=False):
        assert server(state) == pid
    assert is_gone(state)


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(state: Path, users: Users) -> None:
    first, second = users(state), users(state)
    url_of(first)
    url = url_of(second)
    pid = server(state)
    for user in (first, second):
        assert os.getsid(pid) != os.getsid(user.pid)
    os.killpg(first.pid, signal.SIGINT)
    first.wait(20)
    assert ask(url, "SELECT 1") == "1"
    assert server(state) == pid


def test_the_server_has_none_of_the_users_open_files(state: Path) -> None:
    with running(state, durable=False):
        opened = [os.readlink(entry) for entry in Path(f"/proc/{server(state)}/fd").iterdir()]
        assert not [name for name in opened if name.endswith(("pg.users", "pg.start"))]
        assert not [name for name in opened if name.startswith("/dev/pts")]


def test_a_kill_while_the_folder_is_made_leaves_no_half_folder(fresh: Path, users: Users) -> None:
    user = users(fresh)
    wait_for(lambda: (fresh / "pg.new" / "base").exists())
    user.kill()
    user.wait()
    assert not (fresh / "pg").exists()
    use(fresh)
    assert not (fresh / "pg.new").exists()


@pytest.mark.parametrize("whose", ["another's", "ours"])
def test_a_stale_pid_file_that_names_a_living_process_is_seen_through(state: Path, whose: str) -> None:
    with running(state, durable=False):
        lines = (state / "pg/postmaster.pid").read_text().splitlines()
        owner = (state / "pg").stat()
    with subprocess.Popen(["sleep", "60"], cwd=state) as sleeper:
        try:
            foreign = sleeper.pid if whose == "another's" else os.getpid()
            for name, text in (("postmaster.pid", lines), (".s.PGSQL.5432.lock", lines[:1])):
                (state / "pg" / name).write_text("\n".join([str(foreign), *text[1:], ""]))
                os.chown(state / "pg" / name, owner.st_uid, owner.st_gid)
            assert status(state).pid is None
            with running(state, durable=False):
                assert server(state) != foreign
            assert sleeper.poll() is None
            assert is_gone(state)
        finally:
            sleeper.kill()


def is_free(path: Path) -> bool:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_holder_starts_a_server_again_that_died(state: Path) -> None:
    stopped = threading.Event()
    holder = threading.Thread(target=hold, args=(state, stopped), kwargs={"every": 0.02, "durable": False})
    holder.start()
    try:
        wait_for(lambda: status(state).running and is_free(state / "pg.start"))
        pid = server(state)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: status(state).running and status(state).pid != pid)
    finally:
        stopped.set()
        holder.join()
    assert is_gone(state)


def test_a_state_folder_removed_under_the_server_does_not_leave_it_behind(copied: Path) -> None:
    with running(copied, durable=False):
        data = os.open(copied / "pg", os.O_RDONLY)
        shutil.rmtree(copied)
    try:
        assert postmaster.processes(Path(f"/proc/self/fd/{data}")) == []
    finally:
        os.close(data)


def test_no_tcp_port_is_opened(state: Path) -> None:
    with running(state, durable=False) as url:
        assert ask(url, "SHOW listen_addresses") == ""
        links = [os.readlink(entry) for entry in Path(f"/proc/{server(state)}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        assert inodes
        for table in ("tcp", "tcp6", "udp", "udp6"):
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            assert inodes.isdisjoint(line.split()[9] for line in lines)


@pytest.mark.parametrize("name", ["d" * 60 + "/" + "e" * 60, "a,b", "with space %41 'ü"])
def test_any_state_path_works_however_long(fresh: Path, copied: Path, name: str) -> None:
    folder = fresh.parent / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    copied.rename(folder)
    with running(folder, durable=False) as url:
        assert ask(url, "SELECT current_database()") == "repzone"
        with running(folder, durable=False) as again:
            assert ask(again, "SELECT 1") == "1"
        assert ask(url, "SELECT 1") == "1"
    assert is_gone(folder)


def test_a_server_that_does_not_start_is_quoted_from_its_log(copied: Path) -> None:
    use(copied)
    with (copied / "pg/postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = many\n")
    line = refused(copied)
    assert 'invalid value for parameter "shared_buffers"' in line or "contains errors" in line
    assert line.endswith(f"({copied / 'pg.log'})")
    assert is_gone(copied)


def test_a_state_folder_that_is_a_file_is_named(fresh: Path) -> None:
    fresh.write_text("")
    assert refused(fresh).startswith(f"{fresh}: File exists")


def test_something_else_in_the_place_of_the_data_is_refused_untouched(fresh: Path) -> None:
    (fresh / "pg").mkdir(parents=True)
    (fresh / "pg/letter").write_text("dear")
    if os.geteuid() == 0:
        os.chown(fresh / "pg", NOBODY, NOBODY)
    assert "no data folder of PostgreSQL" in refused(fresh)
    assert [path.name for path in (fresh / "pg").iterdir()] == ["letter"]


def test_status_starts_nothing_and_makes_nothing(fresh: Path) -> None:
    found = status(fresh)
    assert (found.running, found.pid, found.version, found.owner) == (False, None, None, None)
    assert not fresh.exists()
