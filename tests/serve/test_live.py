"""A server as a process while its database changes, hangs, is gone or comes back; and its configuration changes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sqlalchemy import text

from repzone.serve.client import ask
from repzone.store import snapshot
from repzone.store.engine import Engine
from tests.cli.test_serve import Server, answers, serving, until
from tests.fix_db import missing
from tests.jobs.listed import add_listings, end_listings

GONE = "postgresql://nobody@127.0.0.1:1/none"
LISTED, FREE = "7.2.0.192.bl.example.net", "8.2.0.192.bl.example.net"
CHANGES = 6000 if os.environ.get("REPZONE_SOAK") == "1" else 150
RATE = 100


def now() -> int:
    return int(time.time())  # noqa: TID251 - these tests play the operator's world


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def status(address: Server) -> dict[str, str]:
    (line,) = ask(address, "_status.bl.example.net", "TXT").answers
    return dict(part.split("=") for part in line.split())


def test_hits_are_logged_whichever_core_answers_them(engine: Engine, migrated_url: str, tmp_path: Path) -> None:
    add_listings(engine, ["192.0.2.7"], now())
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url, REPZONE_QUERY_LOG="1.0") as (_, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        before = said(tmp_path).count("event=dns.hit")
        for _ in range(20):
            assert answers(address, LISTED) == ("127.0.0.8",)
            answers(address, FREE)
        until(lambda: said(tmp_path).count("event=dns.hit") == before + 20)
    assert re.search(r"event=dns.hit zone=bl.example.net client=192.0.2.7 type=A asked_by=127.0.0.1", said(tmp_path))


def test_a_server_without_its_database_answers_from_the_snapshot(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    add_listings(engine, ["192.0.2.7"], now())
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    assert "zone.snapshot_failed" not in said(tmp_path)
    with serving(tmp_path, REPZONE_DATABASE_URL=GONE) as (_, address):
        assert answers(address, LISTED) == ("127.0.0.8",), said(tmp_path)
        assert answers(address, FREE) == ("NXDOMAIN",)
        assert status(address)["serial"] == "1"
    assert "zone.restored" in said(tmp_path)
    numbers = add_listings(engine, ["192.0.2.8"], now())
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        until(lambda: answers(address, FREE) == ("127.0.0.8",))
        end_listings(engine, numbers, now())
        until(lambda: answers(address, FREE) == ("NXDOMAIN",))
    assert "zone.loaded" not in said(tmp_path)


def test_a_damaged_snapshot_is_refused_and_nobody_is_said_to_be_free(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / snapshot.NAME).write_bytes(bytes(1000))
    with serving(tmp_path, REPZONE_DATABASE_URL=GONE) as (_, address):
        assert answers(address, FREE) == ("SERVFAIL",)
    assert "zone.snapshot_refused" in said(tmp_path)
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        until(lambda: answers(address, FREE) == ("NXDOMAIN",))


def test_a_hangup_reads_the_configuration_again_and_a_faulty_one_changes_nothing(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "repzone.toml"
    file.write_text('own_networks = []\nmax_stale = "1d"\n')
    add_listings(engine, ["192.0.2.7"], now())
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        file.write_text('own_networks = ["192.0.2.0/28"]\nquery_log = 1.0\nmetrics_listen = ["127.0.0.1:1"]\n')
        server.send_signal(signal.SIGHUP)
        until(lambda: answers(address, LISTED) == ("NXDOMAIN",))
        assert re.search(r"serve\.restart_needed keys=\S*metrics_listen", said(tmp_path))
        for fault, told in {
            "# one\nown_networks = oops\n": r"repzone\.toml: not valid TOML: .*line 2",
            'max_stale = "soon"\n': r"repzone\.toml: line 1: max_stale: 'soon' is no duration",
            'zones_dir = "nowhere"\n': "there is no zone definition",
        }.items():
            file.write_text(fault)
            server.send_signal(signal.SIGHUP)
            until(lambda told=told: bool(re.search(told, said(tmp_path).replace('\\"', ""))))  # type: ignore[misc]
        assert answers(address, LISTED) == ("NXDOMAIN",)
        assert answers(address, "2.0.0.127.bl.example.net") == ("127.0.0.2",)


def test_of_a_storm_of_hangups_the_last_one_counts_and_few_are_followed(migrated_url: str, tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    with_zone = 'nameservers = ["ns.example.net"]\napex = "{}.example"\n'
    zone = tmp_path / "zones" / "bl.toml"
    zone.write_text(with_zone.format("first"))
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        for _ in range(300):
            server.send_signal(signal.SIGHUP)
        zone.write_text(with_zone.format("last"))
        server.send_signal(signal.SIGHUP)
        until(lambda: answers(address, "2.0.0.127.last.example") == ("127.0.0.2",))
        assert 1 <= said(tmp_path).count("event=serve.reloaded") <= 10


@contextmanager
def stopped(engine: Engine) -> Iterator[None]:
    """Freeze whoever serves another connection to this database."""
    query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    with engine.connect() as connection:
        frozen = list(connection.scalars(query))
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif("REPZONE_TEST_DATABASE_URL" in os.environ, reason="the server's processes are not ours to stop")
def test_no_query_feels_a_database_that_hangs_and_listings_end_on_time(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    add_listings(engine, ["192.0.2.7"], now())
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        began = now()
        ends = began + 4
        add_listings(engine, ["192.0.2.8"], began, seconds=4)
        until(lambda: answers(address, FREE) == ("127.0.0.8",))
        with stopped(engine):
            while now() < ends:
                begin = now()
                reply = answers(address, FREE)
                assert reply == ("127.0.0.8",) or (reply == ("NXDOMAIN",) and begin >= ends - 1)
                assert answers(address, LISTED) == ("127.0.0.8",)
            assert answers(address, FREE) == ("NXDOMAIN",)
            until(lambda: int(status(address)["age"]) >= 1)
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0


@pytest.mark.skipif("REPZONE_TEST_DATABASE_URL" in os.environ, reason="the server's processes are not ours to stop")
def test_a_server_whose_database_hangs_before_it_is_open_says_so_and_ends_when_told(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    asked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    metrics = {"REPZONE_METRICS_LISTEN": "127.0.0.1:0"}
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.own_networks'))")
        with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url, **metrics) as (server, address):
            until(lambda: connection.scalar(asked) == 1)
            with stopped(engine):
                port = metrics_port(tmp_path)
                until(lambda: "has not answered" in fetch(port, "readyz")[1])
                code, page = fetch(port, "readyz")
                assert code == 503
                assert re.fullmatch(r"nothing was loaded yet: the database has not answered for \d+ s\n", page)
                assert answers(address, "2.0.0.127.bl.example.net") == ("127.0.0.2",)
                assert answers(address, LISTED) == ("SERVFAIL",)
                server.send_signal(signal.SIGTERM)
                assert server.wait(10) == 0


def test_a_monitor_is_told_why_a_database_is_away(tmp_path: Path) -> None:
    with serving(tmp_path, REPZONE_DATABASE_URL=GONE, REPZONE_METRICS_LISTEN="127.0.0.1:0"):
        port = metrics_port(tmp_path)
        until(lambda: fetch(port, "readyz")[1].startswith("nothing was loaded yet: the database does not answer: "))


def metrics_port(folder: Path) -> int:
    """Give the port of the pages for monitors, once they are there."""
    found = re.compile(r"metrics\.listening addresses=\S*127\.0\.0\.1:?'?,? ?(\d+)")
    until(lambda: found.search(said(folder)) is not None)
    return int(found.findall(said(folder))[0])


def test_a_monitor_is_told_whether_the_server_lives_and_has_data(migrated_url: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        metrics = {"REPZONE_METRICS_LISTEN": "127.0.0.1:0"}
        with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url, **metrics, **more) as (server, address):
            assert systemd.recv(500).startswith(b"READY=1\nSTATUS=")
            assert systemd.recv(500) == b"WATCHDOG=1"
            port = metrics_port(tmp_path)
            until(lambda: fetch(port, "readyz") == (200, "ready\n"))
            assert fetch(port, "healthz") == (200, "alive\n")
            answers(address, LISTED)
            code, body = fetch(port, "metrics")
            assert code == 200
            assert 'repzone_dns_queries_total{zone="bl.example.net",type="A",rcode="NXDOMAIN"' in body
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
            heard = [b""]
            while heard[-1] != b"STOPPING=1":
                heard.append(systemd.recv(500))


def fetch(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_no_change_is_lost_and_no_answer_wrong_while_many_are_made(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    always = [f"192.0.2.{n}" for n in range(1, 255)]
    add_listings(engine, always, now(), seconds=86400)
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        stop, faults = threading.Event(), list[str]()
        watchers = [threading.Thread(target=watch, args=(address, stop, faults)) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        try:
            wanted = make_changes(engine, address, faults)
        finally:
            stop.set()
            for watcher in watchers:
                watcher.join(20)
        assert faults == []
        assert {number for number in range(256) if is_listed(address, number)} == wanted
        assert status(address)["spam"] == str(254 + len(wanted))


def is_listed(address: Server, number: int) -> bool:
    return answers(address, f"{number}.113.0.203.bl.example.net") == ("127.0.0.8",)


def make_changes(engine: Engine, address: Server, faults: list[str]) -> set[int]:
    """List and release addresses of 203.0.113.0/24 at a steady rate, see whether they come; give the listed."""
    listed: dict[int, list[int]] = {}
    begin = time.monotonic()
    for number in range(CHANGES):
        place = number * 7919 % 256
        if place in listed:
            end_listings(engine, listed.pop(place), now())
        else:
            listed[place] = add_listings(engine, [f"203.0.113.{place}"], now(), seconds=86400)
        if number % 25 == 0:
            deadline = time.monotonic() + 5
            while is_listed(address, place) != (place in listed):
                if time.monotonic() > deadline:
                    faults.append(f"change {number} did not come")
                    break
        time.sleep(max(0.0, begin + (number + 1) / RATE - time.monotonic()))
    until(lambda: status(address)["serial"] == str(254 + CHANGES))
    return set(listed)


def watch(address: Server, stop: threading.Event, faults: list[str]) -> None:
    """Ask for what is always listed and what never is, and for the serial, which must not fall."""
    serial = 0
    while not stop.is_set():
        if answers(address, LISTED) != ("127.0.0.8",):
            faults.append("a listing was not there")
        if answers(address, "7.100.51.198.bl.example.net") != ("NXDOMAIN",):
            faults.append("a listing was there that never was made")
        (soa,) = ask(address, "bl.example.net", "SOA").answers
        (number,) = re.findall(r" (\d+) 300 60 ", soa)
        if int(number) < serial:
            faults.append(f"the serial fell from {serial} to {number}")
        serial = int(number)


@pytest.mark.skipif(os.environ.get("REPZONE_SOAK") != "1", reason="10 million queries; REPZONE_SOAK=1 asks them")
def test_descriptors_and_memory_stay_as_they_are_over_many_queries(
    engine: Engine, migrated_url: str, tmp_path: Path
) -> None:
    if shutil.which("dnsperf") is None:
        missing("dnsperf", "dnsperf")
    add_listings(engine, [f"192.0.2.{n}" for n in range(128)], now(), seconds=86400)
    names = [f"{n % 256}.2.0.192.bl.example.net {('A', 'A', 'TXT', 'AAAA', 'MX')[n % 5]}" for n in range(1280)]
    (tmp_path / "queries").write_text("\n".join([*names, "bl.example.net SOA", "other.example A"]))
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, address):
        until(lambda: answers(address, LISTED) == ("127.0.0.8",))
        before, asked, sizes = descriptors(server.pid), [], []
        for _ in range(4):
            asked.append(ask_many(address, tmp_path, SOAK_QUERIES // 4))
            until(lambda: descriptors(server.pid) == before)
            sizes.append(resident(server.pid))
    assert sizes[3] - sizes[1] <= (asked[2] + asked[3]) / 1_000_000 * 2**20


SOAK_QUERIES = 10_000_000


def ask_many(address: Server, folder: Path, number: int) -> int:
    """Ask that many queries as fast as they are answered, some by TCP; gives how many were."""
    command = ["dnsperf", "-s", address[0], "-p", str(address[1]), "-d", str(folder / "queries"), "-c", "16"]
    asked = 0
    for mode, share in (("udp", 0.99), ("tcp", 0.01)):
        rounds = max(1, int(number * share) // 1282)
        done = subprocess.run([*command, "-m", mode, "-n", str(rounds)], capture_output=True, text=True, check=True)
        asked += int(re.findall(r"Queries completed: +(\d+)", done.stdout)[0])
    return asked


def descriptors(pid: int) -> int:
    """Give the number of a process' open descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid: int) -> int:
    """Give the octets of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
