"""Exported files in the hands of the programs that they are for, beside what our own server answers."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dnslib
import pytest

from repzone.model import V4, Client, Exemption, Listing
from repzone.wire.respond import View, respond
from repzone.zone.definition import Zone
from repzone.zone.export import FORMATS, Networks
from repzone.zone.export.networks import lasting
from repzone.zone.names import to_labels
from repzone.zone.table import MemoryTable
from tests.wire.sample import LOOPBACK, ZONES, query

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
NOW = int(time.time())  # noqa: TID251 - rbldnsd has a clock of its own
BLOCK = next(zone for zone in ZONES if zone.apex == "bl.example.net")
ALLOW = next(zone for zone in ZONES if zone.kind == "allow")
ASKED = [
    *("192.0.2.7", "192.0.2.8", "192.0.2.9", "198.51.100.1", "198.51.100.30", "198.51.100.128", "198.51.100.200"),
    *("198.51.99.255", "198.51.101.0", "2.4.5.6", "2.4.5.7", "2.4.200.1", "2.5.0.1", "127.0.0.2", "127.0.0.1"),
    *("127.0.0.16", "10.1.2.3", "2001:db8:1:2::", "2001:db8:1:2:ffff::9", "2001:db8:1:3::", "2001:db8:8:7::1"),
    *("2001:db8:8:7::2", "2001:db8:9::", "2405:600::1", "203.0.113.9"),
]


def c(text: str) -> Client:
    return Client.from_text(text)


def make_table() -> MemoryTable:
    ends = NOW + 90_000
    listings = [
        *(Listing(c("192.0.2.7"), category, 2, NOW, ends + len(category)) for category in ("spam", "errors")),
        Listing(c("192.0.2.9"), "virus", 1, NOW, ends),
        Listing(c("198.51.100.0/23"), "manual", 1, NOW, ends),
        Listing(c("198.51.100.30"), "errors", 21, NOW, ends + 500),
        Listing(c("198.51.100.200"), "errors", 21, NOW, ends),
        Listing(c("2.4.0.0/16"), "auth", 1, NOW, ends),
        Listing(c("2001:db8:1:2::/64"), "spam", 3, NOW, ends),
        Listing(c("2001:db8:8::/45"), "auth", 3, NOW, ends + 5),
        Listing(c("2001:db8:8:7::/64"), "auth", 4, NOW, ends),
    ]
    holes = ("198.51.100.128/25", "2.4.5.6", "2001:db8:8:7::1", "203.0.113.0/24", "192.0.2.9")
    return MemoryTable(listings, [Exemption(c(network), 0) for network in holes])


def need(program: str, package: str) -> str:
    """Give the program; without it skip, or fail where everything has to be there."""
    found = shutil.which(program, path=PATH)
    if found is None and os.environ.get("REPZONE_REQUIRE_MTA") == "1":
        pytest.fail(f"REPZONE_REQUIRE_MTA=1, but there is no {program}: apt-get install {package}", pytrace=False)
    if found is None:
        pytest.skip(f"no {program} here: apt-get install {package}")
    return found


def write(folder: Path, form: str, zone: Zone = BLOCK) -> Path:
    file = folder / form
    file.write_text("".join(FORMATS[form](Networks(zone, make_table(), NOW), 7)))
    return file


def question(client: Client, kind: int, zone: Zone = BLOCK) -> bytes:
    return query(b".".join((*to_labels(client), *zone.name)).decode(), kind)


def read(reply: bytes | None) -> tuple[int, list[str]]:
    assert reply is not None
    record = dnslib.DNSRecord.parse(reply)
    return record.header.rcode, sorted(str(one.rdata) for one in record.rr)


def ours(client: Client, kind: int) -> tuple[int, list[str]]:
    """Give what our server says, but for the time left."""
    view = View(tuple(lasting(zone) for zone in ZONES), make_table(), 7, 0)
    return read(respond(question(client, kind), LOOPBACK, NOW, view, udp=True))


@contextmanager
def made_readable(folder: Path) -> Iterator[Path]:
    """Let a server that is not root read a folder."""
    folder.chmod(0o755)
    yield folder


@contextmanager
def rbldnsd(zone: Zone) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [need("rbldnsd", "rbldnsd"), "-n", "-b", f"127.0.0.1/{port}"]
    command += ["-u", "nobody"] if os.getuid() == 0 else []
    with (
        tempfile.TemporaryDirectory(prefix="repzone-") as name,
        made_readable(Path(name)) as folder,
        subprocess.Popen(
            [*command, f"{zone.apex}:combined:{write(folder, 'rbldnsd', zone)}"], stdout=subprocess.PIPE, text=True
        ) as process,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.1)
        try:
            for _ in range(100):
                try:
                    sock.send(question(c("127.0.0.2"), 1, zone))
                    sock.recv(512)
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.05)
            sock.settimeout(5)
            yield sock
        finally:
            process.terminate()


def test_rbldnsd_answers_as_we_do() -> None:
    with rbldnsd(BLOCK) as sock:
        for text in ASKED:
            for kind in (1, 16):
                sock.send(question(c(text), kind))
                rcode, records = read(sock.recv(1500))
                _, wanted = ours(c(text), kind)
                assert (rcode in (0, 3), records) == (True, wanted), text


def test_rbldnsd_takes_an_allow_zone() -> None:
    with rbldnsd(ALLOW) as sock:
        for text, listed in [("203.0.113.9", True), ("198.51.100.129", True), ("198.51.100.1", False)]:
            sock.send(question(c(text), 1, ALLOW))
            assert read(sock.recv(512))[1] == (["127.0.0.2"] if listed else [])


@pytest.mark.parametrize("form", ["bind", "rpz"])
@pytest.mark.parametrize("zone", [BLOCK, ALLOW])
def test_bind_finds_nothing_wrong_in_a_zone_file(tmp_path: Path, form: str, zone: Zone) -> None:
    checker, file = need("named-checkzone", "bind9-utils"), write(tmp_path, form, zone)
    done = subprocess.run([checker, "-i", "none", zone.apex, str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["OK"]), done.stdout


def test_postfix_finds_in_the_table_what_dns_says(tmp_path: Path) -> None:
    postmap, file = need("postmap", "postfix"), write(tmp_path, "postfix")
    keys = [text for text in ASKED if not text.startswith("127.")]
    done = subprocess.run(
        [postmap, "-q", "-", f"cidr:{file}"], input="\n".join(keys) + "\n", capture_output=True, text=True
    )
    found = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    for text in keys:
        listed = bool(ours(c(text), 1)[1])
        assert found.get(text, "DUNNO").startswith("REJECT " if listed else "DUNNO"), (text, done.stderr)


def test_nft_takes_the_sets(tmp_path: Path) -> None:
    nft, file = need("nft", "nftables"), write(tmp_path, "nftables")
    done = subprocess.run([nft, "--check", "--file", str(file)], capture_output=True, text=True)
    if "Operation not permitted" in done.stderr or "Protocol not supported" in done.stderr:
        pytest.skip(f"this kernel lets us not ask: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert f"{V4}" in file.read_text()
