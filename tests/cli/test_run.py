"""`repzone run`: everything under one command, which leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from repzone.config import load
from repzone.jobs import last_good
from repzone.store.embedded import status
from tests.cli.conftest import Run
from tests.cli.test_commands import offences
from tests.cli.test_serve import Server, answers, process, until

LISTED = "7.2.0.192.bl.example.net"


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[tuple[Popen[bytes], Server]]:
    """Run everything on a port that the system picks, until it said that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(120)
        variables |= {"NOTIFY_SOCKET": str(folder / "notify"), "REPZONE_LOGS": "mail.log"}
        variables |= dict.fromkeys(("REPZONE_DNS_LISTEN", "REPZONE_WEB_LISTEN"), "127.0.0.1:0")
        with process(folder, "run", **variables) as started:
            assert b"READY=1" in systemd.recv(200), said(folder)
            yield started, address(folder)


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def address(folder: Path) -> Server:
    """Give where the DNS server that was started last answers."""
    return "127.0.0.1", int(re.findall(r"dns\.listening.*127\.0\.0\.1:(\d+)", said(folder))[-1])


def children(folder: Path, name: str) -> list[int]:
    """Give the numbers of all that were started by that name."""
    return [int(pid) for pid in re.findall(rf"run\.started.*child={name} pid=(\d+)", said(folder))]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def nothing_is_left(folder: Path) -> bool:
    pids = [*children(folder, "worker"), *children(folder, "dns")]
    return not any(map(is_there, pids)) and not status(folder / "state").running


def test_a_line_in_the_log_is_in_the_zone_and_the_end_leaves_nothing(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    (tmp_path / "mail.log").touch()
    with running(tmp_path) as (everything, server):
        assert answers(server, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        until(lambda: answers(server, LISTED) == ("127.0.0.4",))
        everything.send_signal(signal.SIGTERM)
        assert everything.wait(30) == 0
        assert nothing_is_left(tmp_path)
    assert "run.stopped" in said(tmp_path)


def test_whoever_dies_is_started_again_and_nothing_is_lost(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    (tmp_path / "mail.log").touch()
    with running(tmp_path) as (everything, _):
        for name in ("worker", "dns", "web"):
            os.kill(children(tmp_path, name)[0], signal.SIGKILL)
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        until(lambda: len(re.findall(r"run\.ready", said(tmp_path))) == 6)
        until(lambda: answers(address(tmp_path), LISTED) == ("127.0.0.4",))
        assert "how=SIGKILL" in said(tmp_path)
        everything.send_signal(signal.SIGINT)
        assert everything.wait(30) == 0
    assert nothing_is_left(tmp_path)


def test_a_killed_supervisor_leaves_nothing(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    (tmp_path / "mail.log").touch()
    with running(tmp_path) as (everything, _):
        everything.kill()
        everything.wait(30)
    until(lambda: nothing_is_left(tmp_path))


def test_a_hangup_reads_everything_anew_unless_it_is_faulty(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    (tmp_path / "mail.log").touch()
    zone = tmp_path / "zones" / "bl.toml"
    with running(tmp_path) as (everything, server):
        good = zone.read_text()
        zone.write_text("apex = 1")
        everything.send_signal(signal.SIGHUP)
        until(lambda: "run.reload_refused" in said(tmp_path))
        until(lambda: "serve.reload_refused" in said(tmp_path))
        assert len(children(tmp_path, "worker")) == 1
        zone.write_text(good.replace("bl.example.net", "two.example.net"))
        everything.send_signal(signal.SIGHUP)
        until(lambda: answers(server, "2.0.0.127.two.example.net") == ("127.0.0.2",))
        until(lambda: len(children(tmp_path, "worker")) == 2)
        assert len(children(tmp_path, "dns")) == 1


def test_all_start_on_a_faulty_zone_with_the_last_good_one(migrated_url: str, tmp_path: Path) -> None:
    (tmp_path / "mail.log").touch()
    (tmp_path / "zones").mkdir()
    (tmp_path / "repzone.toml").write_text('state_dir = "state"\nzones_dir = "zones"\n')
    zone = tmp_path / "zones" / "bl.toml"
    good = 'apex = "bl.example.net"\nnameservers = ["ns.example.net"]\n'
    zone.write_text(good)
    last_good.load(load(tmp_path / "repzone.toml"))
    zone.write_text(good + "ttl = 300\n")
    with running(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (everything, server):
        assert answers(server, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
        assert "bl.toml: line 3: ttl: 300 is no duration" in said(tmp_path)
        zone.write_text(good)
        everything.send_signal(signal.SIGHUP)
        until(lambda: "run.ready child=worker" in re.sub(r"\s+", " ", said(tmp_path)))


@pytest.mark.parametrize(
    ("variables", "code", "text"),
    [
        ({"REPZONE_LOGS": ""}, 1, "nothing to follow"),
        ({"REPZONE_ZONES_DIR": "none"}, 78, "there is no zone definition"),
        ({"REPZONE_DATABASE_URL": "postgresql:///none?host=/none"}, None, "run.database_away"),
    ],
)
def test_what_cannot_run_is_said_before_anything_starts(
    migrated_url: str, tmp_path: Path, variables: dict[str, str], code: int | None, text: str
) -> None:
    given = {"REPZONE_DATABASE_URL": migrated_url, "REPZONE_LOGS": "mail.log", "REPZONE_DNS_LISTEN": "127.0.0.1:0"}
    with process(tmp_path, "run", **{**given, **variables}) as started:
        if code is None:  # the database may come later
            until(lambda: text in said(tmp_path) and "dns.listening" in said(tmp_path))
        else:
            assert started.wait(60) == code
            assert text in said(tmp_path)
            assert "run.started" not in said(tmp_path)
