"""`serve dns` and `demo` as processes: what they answer, and that nothing is left when they end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from repzone import shipped
from repzone.config import load
from repzone.errors import UnavailableError
from repzone.jobs import last_good
from repzone.serve.client import ask
from repzone.store.embedded import status
from repzone.store.engine import connect
from repzone.store.migrate import upgrade
from tests.cli.conftest import COMMAND, Run
from tests.cli.test_commands import offences

Server = tuple[str, int]


def until(condition: Callable[[], bool], seconds: int = 60) -> None:
    """Wait for a condition."""
    pause = threading.Event()
    for _ in range(seconds * 20):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError(f"it did not come about in {seconds} s")


def answers(server: Server, name: str, kind: str = "A") -> tuple[str, ...]:
    """Give the answers, the rcode when there are none, nothing when nobody answers."""
    try:
        reply = ask(server, name, kind)
    except UnavailableError:
        return ()
    return reply.answers or (reply.rcode,)


@contextmanager
def process(folder: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in the file `said`; killed at the end if it has not ended by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REPZONE_")}
    with (folder / "said").open("wb") as said:
        started = subprocess.Popen(
            [str(COMMAND), *words], cwd=folder, env={**clean, **variables}, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            started.wait(60)


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], Server]]:
    """Serve DNS on a port that the system picks; gives the process and where it answers."""
    with process(folder, "serve", "dns", REPZONE_DNS_LISTEN="127.0.0.1:0", **variables) as server:
        found = re.compile(r"127\.0\.0\.1:(\d+)")
        until(lambda: bool(found.search((folder / "said").read_text())) or server.poll() is not None)
        port = found.search((folder / "said").read_text())
        assert port, (folder / "said").read_text()
        yield server, ("127.0.0.1", int(port[1]))


def test_the_server_follows_what_is_ingested_and_ends_when_told(
    run_process: Run, migrated_url: str, tmp_path: Path
) -> None:
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("NXDOMAIN",))
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        run_process("ingest", "mail.log")
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.4",))
        (text,) = answers(address, "7.2.0.192.bl.example.net", "TXT")
        assert text.startswith("Too many errors from your IP: 192.0.2.7 is listed for the 1st time until ")
        assert ask(address, "7.2.0.192.bl.example.net", "TXT", tcp=True).answers == (text,)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_hangup_reads_the_zones_again_and_a_faulty_one_changes_nothing(migrated_url: str, tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    zone = tmp_path / "zones" / "bl.toml"
    zone.write_text('apex = "one.example"\nnameservers = ["ns.example.net"]\n')
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, "2.0.0.127.one.example") == ("127.0.0.2",))
        zone.write_text('apex = "two.example"\nnameservers = ["ns.example.net"]\n')
        server.send_signal(signal.SIGHUP)
        until(lambda: answers(address, "2.0.0.127.two.example") == ("127.0.0.2",))
        assert answers(address, "2.0.0.127.one.example") == ("REFUSED",)
        zone.write_text('apex = "three.example"\n')
        server.send_signal(signal.SIGHUP)
        until(lambda: "serve.reload_refused" in (tmp_path / "said").read_text())
        assert "bl.toml: nameservers" in (tmp_path / "said").read_text()
        assert answers(address, "2.0.0.127.two.example") == ("127.0.0.2",)


def test_a_server_that_starts_on_a_faulty_zone_serves_the_last_good_one_and_says_so(
    run: Run, migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    zone = tmp_path / "zones" / "bl.toml"
    zone.write_text('apex = "one.example"\nnameservers = ["ns.example.net"]\n')
    last_good.load(load(tmp_path / "repzone.toml"))
    zone.write_text('apex = "two.example"\n')
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        assert answers(address, "2.0.0.127.one.example") == ("127.0.0.2",)
        said = (tmp_path / "said").read_text()
        assert "files.refused" in said
        assert "bl.toml: nameservers" in said
        assert run("zone", "list").code == 78
        zone.write_text('apex = "two.example"\nnameservers = ["ns.example.net"]\n')
        server.send_signal(signal.SIGHUP)
        until(lambda: answers(address, "2.0.0.127.two.example") == ("127.0.0.2",))


def test_a_server_waits_for_tables_that_are_not_made_yet(database_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, REPZONE_DATABASE_URL=database_url) as (server, address):
        until(lambda: "serve.database_away" in (tmp_path / "said").read_text())
        assert "the tables are not made yet" in (tmp_path / "said").read_text()
        assert answers(address, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
        assert answers(address, "7.2.0.192.bl.example.net") == ("SERVFAIL",)
        engine = connect(database_url)
        upgrade(engine, shipped.folder("migrations"))
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("NXDOMAIN",))
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        engine.dispose()
        assert server.poll() is None
    with process(
        tmp_path,
        "serve",
        "dns",
        REPZONE_DNS_LISTEN="127.0.0.1:0",
        REPZONE_STATE_DIR="other",
        REPZONE_DATABASE_URL=database_url,
    ) as newer:
        assert newer.wait(30) == 1
    assert re.search("revision 9999, .*: install a newer repzone", (tmp_path / "said").read_text())


def test_without_its_database_a_server_answers_the_test_entries_and_fails_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path, REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none") as (_, address):
        assert answers(address, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
        assert answers(address, "1.0.0.127.bl.example.net") == ("NXDOMAIN",)
        assert answers(address, "7.2.0.192.bl.example.net") == ("SERVFAIL",)


def test_a_server_whose_private_database_was_killed_starts_it_again(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    state = tmp_path / "state"
    with serving(tmp_path) as (_, address):
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("NXDOMAIN",))
        pid = status(state).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        until(lambda: status(state).running and status(state).pid != pid)
        assert run_bare("ingest", "mail.log").code == 0
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.4",))
    assert not status(state).running


def test_a_port_that_is_taken_is_said_with_who_has_it(migrated_url: str, tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with process(tmp_path, "serve", "dns", REPZONE_DNS_LISTEN=where, REPZONE_DATABASE_URL=migrated_url) as server:
            assert server.wait(60) == 3
    said = (tmp_path / "said").read_text()
    assert f"repzone: cannot listen on {where} (UDP): " in said
    assert "Traceback" not in said


def test_the_demo_checks_every_answer_and_leaves_nothing(run_bare: Run, tmp_path: Path) -> None:
    done = run_bare("demo", "--once", TMPDIR=str(tmp_path))
    assert done.code == 0, done.out + done.err
    assert "every answer is right" in done.out
    for text in ("errors, 3rd", "spam, 2nd", "virus, 1st", "auth, 2nd", "127.0.0.4", "2001:db8:5:1::1", "NXDOMAIN"):
        assert text in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_says_what_to_try_until_it_is_told_to_stop(
    run_bare: Run, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "tmp").mkdir()
    said = tmp_path / "said"
    anywhere = ("--listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    with process(tmp_path, "demo", *anywhere, TMPDIR=str(tmp_path / "tmp")) as demo:
        until(lambda: "Ctrl-C" in said.read_text() or demo.poll() is not None)
        text = said.read_text()
        (port, name) = re.findall(r"dig @127\.0\.0\.1 -p (\d+) \+short (\S+) A\n +127\.0\.0\.4\n", text)[0]
        assert answers(("127.0.0.1", int(port)), name) == ("127.0.0.4",)
        (page,) = re.findall(r"http://127\.0\.0\.1:\S+", text)
        with urllib.request.urlopen(page, timeout=30) as shown:  # noqa: S310 - our own server
            assert "is listed" in shown.read().decode()
        (folder,) = (tmp_path / "tmp").iterdir()
        assert "is listed for" in run_bare("check", "-c", str(folder / "repzone.toml"), "203.0.113.9").out
        demo.send_signal(number)
        assert demo.wait(60) == 0, said.read_text()
    assert "nothing is left running" in said.read_text()
    assert list((tmp_path / "tmp").iterdir()) == []
