"""An empty folder in, repzone working in it out: its commands run as the operator's, its DNS server answers.

Everything goes through the command line; the database is the private PostgreSQL.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dnslib

ZONE = "bl.example.net"
COMMAND = Path(sys.executable).with_name("repzone")
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class House:
    """A folder with repzone's configuration, and the environment that its commands get."""

    folder: Path
    dns: tuple[str, int]
    environment: dict[str, str]

    def run(self, *words: str) -> list[dict[str, Any]]:
        """Run a command with `-o json` and give its objects; it must succeed."""
        command = [str(COMMAND), *words, "--config", str(self.folder / "repzone.toml"), "-o", "json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ingest(self, name: str, text: str) -> dict[str, Any]:
        """Write a log of that name and ingest it, which also decides; give the summary of the ingest."""
        path = self.folder / name
        path.write_text(text)
        (summary,) = (found for found in self.run("ingest", str(path)) if "source" in found)
        return summary

    def await_listed(self, client: str) -> None:
        """Wait until the server has followed the database: it answers for that client."""
        labels = ip_address(client).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        _await_answer(self.dns, f"{labels}.{ZONE}", 10)

    def listings(self, client: str) -> list[dict[str, Any]]:
        """Give all listings that the client ever had."""
        return [listing for listing in self.run("listings", "--all") if listing["client"] == client]


@contextmanager
def open_house(folder: Path, policy: str) -> Iterator[House]:
    """Make a house with that policy text, and serve DNS in it until the block ends."""
    (folder / "short.toml").write_text(policy)
    dns = ("127.0.0.1", find_free_port("127.0.0.1"))
    ours = {
        "REPZONE_DATABASE_URL": "embedded",
        "REPZONE_DNS_LISTEN": f"{dns[0]}:{dns[1]}",
        "REPZONE_STATE_DIR": str(folder / "state"),
        "REPZONE_ZONES_DIR": str(folder / "zones"),
        "REPZONE_POLICY_FILE": str(folder / "short.toml"),
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith("REPZONE_")}
    house = House(folder, dns, others | ours)
    done = subprocess.run(
        [str(COMMAND), "init"], cwd=folder, env=house.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with _serving(house):
        yield house


@contextmanager
def _serving(house: House) -> Iterator[None]:
    command = [str(COMMAND), "serve", "dns", "--config", str(house.folder / "repzone.toml")]
    said = house.folder / "serve.log"
    with said.open("w") as out:
        server = subprocess.Popen(
            command, cwd=house.folder, env=house.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        try:
            test_entry = f"2.0.0.127.{ZONE}"
            _await_answer(house.dns, test_entry, START_SECONDS, lambda: server.poll() is None)
        except AssertionError as error:
            raise AssertionError(f"{error}; serve dns said:\n{said.read_text()}") from None
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _await_answer(dns: tuple[str, int], name: str, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until the server has an A record of that name; AssertionError in the end, or when it is not alive."""
    question = dnslib.DNSRecord.question(name, "A")
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        with suppress(OSError):
            if dnslib.DNSRecord.parse(question.send(*dns, timeout=1)).rr:
                return
        time.sleep(0.05)
    raise AssertionError(f"{dns[0]}:{dns[1]} has no answer for {name}")


def find_free_port(host: str) -> int:
    """Find a port that is free for UDP and TCP."""
    for _ in range(20):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free on {host}")


def now() -> int:
    """Give the present second: these tests are outside of repzone and play its world."""
    return int(time.time())  # noqa: TID251


def stamp(at: int) -> str:
    """Write an instant as Debian 12's mail.log does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def unknown_recipients(client: str, at: int, count: int) -> str:
    """Give log lines: the client tried that many unknown recipients in one second (category errors)."""
    reply = "Recipient address rejected: User unknown in local recipient table; from=<a@example.org>"
    return "".join(
        f"{stamp(at)} mx postfix/smtpd[771]: NOQUEUE: reject: RCPT from unknown[{client}]: "
        f"550 5.1.1 <n{number}@example.test>: {reply} to=<n{number}@example.test> proto=ESMTP helo=<x.test>\n"
        for number in range(count)
    )


def failed_logins(client: str, at: int, count: int) -> str:
    """Give log lines: the client failed to log in that many times in one second (category auth)."""
    who = f"unknown[{client}]"
    session = (
        f"connect from {who}",
        f"warning: {who}: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        f"disconnect from {who} ehlo=1 auth=0/1 quit=1 commands=2/3",
    )
    return "".join(
        f"{stamp(at)} mx postfix/submission/smtpd[{800 + number}]: {text}\n"
        for number in range(count)
        for text in session
    )
