"""Queries by dnsperf in, CPU time a query and memory a listing beside rbldnsd and a bare echo out, as one table.

    python -m bench.dns --listings 1000000 --seconds 6 --rounds 5

Every server holds the same listings and is asked the same questions: half are hits, a fifth are for TXT. The server
has one core for itself, dnsperf (64 sockets) another. CPU time is the kernel's, of all threads of the server's process;
what the kernel does for a packet on its way in is charged to dnsperf, for all alike. Numbers are medians over the
rounds, ratios those of one round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from repzone import fastpath
from repzone.cli.output import table
from repzone.cli.wall import clock
from repzone.model import V4, Client, Listing
from repzone.serve.dns import DnsServer
from repzone.wire.respond import View, respond
from repzone.zone.definition import Zone, parse
from repzone.zone.table import MemoryTable, Table

APEX = "bl.example.net"
URL = "https://postmaster.example.net/?ip="
ZONE = f'apex = "{APEX}"\nnameservers = ["ns1.example.net"]\nurl = "{URL}{{client}}"\n'
LASTS = 7 * 86400
QUERIES = 200_000
SERVER_CORE, CLIENT_CORE = 0, 1
LOOPBACK = Client(V4, 127 << 24 | 1, 32)


@dataclass
class Peer:
    """A server that is measured."""

    name: str
    command: list[str]
    cores: set[int]
    port: int = 0
    microseconds: list[float] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)
    said: str = ""


def main() -> None:
    """Measure, and print the tables; or be one of the servers that are measured."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--listings", type=int, default=1_000_000)
    arguments.add_argument("--seconds", type=int, default=6)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--serve", choices=["compiled", "python"], help=argparse.SUPPRESS)
    arguments.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    arguments.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    wanted = arguments.parse_args()
    if wanted.serve:
        asyncio.run(serve(wanted.serve, wanted.listings, wanted.threads))
    elif wanted.memory:
        print(octets_a_listing(wanted.listings))
    else:
        print_speed(wanted.listings, wanted.seconds, wanted.rounds)
        print_memory()


def numbers(count: int) -> Iterator[int]:
    """Give that many different IPv4 addresses in 16.0.0.0 to 95.255.255.255, spread at random."""
    mask = (1 << 30) - 1
    for number in range(count):  # an odd factor and a shift are a permutation of 30 bits
        mixed = (number * 0x2545F491 + 0x9E3779B9) & mask
        mixed = ((mixed ^ mixed >> 15) * 0x2C1B3C6D) & mask
        yield (16 << 24) + (mixed ^ mixed >> 12)


def listings(count: int, now: int) -> Iterator[Listing]:
    """Give that many listings, which last longer than the measurement."""
    for number in numbers(count):
        yield Listing(Client(V4, number, 32), "errors", 1 + number % 5, now, now + LASTS)


def qname(number: int) -> str:
    """Write the name that an address is asked for by."""
    return ".".join(str(octet) for octet in number.to_bytes(4, "little")) + "." + APEX


def questions(count: int) -> list[tuple[str, str]]:
    """Give names and types: half of them listed, a fifth TXT, in an order of no meaning."""
    chance = random.Random(5)  # noqa: S311 - a fixed order, no secret
    listed = list(numbers(count))
    asked = [
        chance.choice(listed) if number % 2 else chance.randrange(96 << 24, 100 << 24) for number in range(QUERIES)
    ]
    chance.shuffle(asked)
    return [(qname(number), "TXT" if chance.random() < 0.2 else "A") for number in asked]


async def serve(core: str, count: int, threads: int) -> None:
    """Be the server: print its port, answer until SIGTERM, print what its threads did."""
    now = clock()
    held: Table = fastpath.make_table() if core == "compiled" else MemoryTable()
    held.replace(listings(count, now), [])
    view = View((parse(ZONE, "bench"),), held, 1, 0)
    server = DnsServer([("127.0.0.1", 0)], lambda: view, clock, table=held, threads=threads)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start()
    print(server.addresses[0][1], flush=True)
    await stop.wait()
    if server.core is not None:
        tallies = server.core.tallies()
        packets = [tally.packets for tally in tallies]
        batches = sum(tally.batches for tally in tallies) or 1
        shares = "/".join(f"{share * 100 / (sum(packets) or 1):.0f}" for share in packets)
        print(f"{sum(packets) / batches:.1f} a batch" + (f", {shares} %" if len(packets) > 1 else ""), flush=True)
    else:
        print("", flush=True)
    await server.close()


def octets_a_listing(count: int) -> float:
    """Fill a table, and give how much the process grew."""
    held = fastpath.make_table()
    before = resident()
    held.replace(listings(count, clock()), [])
    return (resident() - before) / count


def resident() -> int:
    """Give the octets of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def print_speed(count: int, seconds: int, rounds: int) -> None:
    """Run the servers in turn, and print what a query cost each."""
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        asked = questions(count)
        queries = folder / "queries"
        queries.write_text("".join(f"{name} {kind}\n" for name, kind in asked))
        peers = list(make_peers(folder, count, mean_answer(asked, count)))
        running = [stack.enter_context(started(peer)) for peer in peers]
        for _ in range(rounds):
            for peer, process in zip(peers, running, strict=True):
                measure(peer, process.pid, queries, seconds)
    echo, rbldnsd = peers[:2]
    made = table("server", ">us CPU/query", ">x echo", ">x rbldnsd", ">answers/s", "threads")
    for peer in peers:
        made.add_row(
            peer.name,
            f"{statistics.median(peer.microseconds):.2f}",
            f"{ratio(peer, echo):.2f}",
            f"{ratio(peer, rbldnsd):.2f}",
            f"{statistics.median(peer.queries):,.0f}",
            peer.said,
        )
    Console(width=100).print(made)


def ratio(peer: Peer, other: Peer) -> float:
    """Give what a query cost one server beside another: the median over the rounds, each of which is one weather."""
    return statistics.median(ours / theirs for ours, theirs in zip(peer.microseconds, other.microseconds, strict=True))


def print_memory() -> None:
    """Print the memory that a listing takes, each number in a process of its own."""
    made = table(">listings", ">octets/listing")
    for count in (1_000_000, 5_000_000):
        command = [sys.executable, "-m", "bench.dns", "--memory", "--listings", str(count)]
        made.add_row(f"{count:,}", f"{float(subprocess.check_output(command, text=True)):.1f}")
    Console(width=100).print(made)


def mean_answer(asked: list[tuple[str, str]], count: int) -> int:
    """Give the mean size of our answers, from some of the questions."""
    now = clock()
    held = fastpath.make_table()
    held.replace(listings(count, now), [])
    view = View((parse(ZONE, "bench"),), held, 1, 0)
    sizes = []
    for name, kind in asked[:2000]:
        labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
        packet = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, {"A": 1, "TXT": 16}[kind], 1)
        sizes.append(len(respond(packet, LOOPBACK, now, view, udp=True) or b""))
    return round(statistics.mean(sizes))


def make_peers(folder: Path, count: int, answer: int) -> Iterator[Peer]:
    """Prepare the servers: the bare echo, rbldnsd, the core with one and two threads, Python alone."""
    echo = folder / "echo"
    subprocess.run(["cc", "-O2", str(Path(__file__).with_name("echo.c")), "-o", str(echo)], check=True)
    yield Peer(f"bare echo of {answer} octets", [str(echo), str(answer)], {SERVER_CORE})
    zone: Zone = parse(ZONE, "bench")
    left = "until 2026-12-01 18:40:00 UTC (6 d 23 h left)"
    text = f"Too many errors from your IP: $ is listed for the 1st time {left}. {URL}$"
    lines = [
        f"$SOA {zone.ttl} ns1.example.net hostmaster.{APEX} 1 300 60 86400 60",
        f"$NS {zone.ttl} ns1.example.net",
        f":127.0.0.4:{text}",
        *(".".join(str(octet) for octet in number.to_bytes(4, "big")) for number in numbers(count)),
    ]
    (folder / "ip4set").write_text("\n".join(lines) + "\n")
    port = free_port()
    command = ["rbldnsd", "-n", "-u", "nobody", "-w", str(folder), "-b", f"127.0.0.1/{port}", f"{APEX}:ip4set:ip4set"]
    yield Peer("rbldnsd (Debian)", command, {SERVER_CORE}, port)
    ours = [sys.executable, "-m", "bench.dns", "--listings", str(count), "--serve"]
    yield Peer("repzone, compiled core", [*ours, "compiled"], {SERVER_CORE})
    yield Peer("the same, two threads", [*ours, "compiled", "--threads", "2"], {SERVER_CORE, CLIENT_CORE})
    yield Peer("repzone, Python alone", [*ours, "python"], {SERVER_CORE})


def free_port() -> int:
    """Give a port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(peer: Peer) -> Iterator[subprocess.Popen[str]]:
    """Run a server on its cores, and ask it for what it says at its end."""
    with subprocess.Popen(peer.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        os.sched_setaffinity(process.pid, peer.cores)
        said = process.stdout or sys.exit("no pipe")
        try:
            while not peer.port:
                line = said.readline() or sys.exit(f"{peer.name} did not start")
                peer.port = int(line) if line.strip().isdecimal() else 0
            yield process
        finally:
            process.terminate()
            if peer.command[0] == sys.executable:
                peer.said = said.readline().strip()


def measure(peer: Peer, pid: int, queries: Path, seconds: int) -> None:
    """Ask a server for some seconds, and note what that cost it."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(peer.port), "-d", str(queries), "-c", "64", "-q", "256"]
    if len(peer.cores) == 1:
        command = ["taskset", "-c", str(CLIENT_CORE), *command]
    subprocess.run([*command, "-l", "1"], check=True, capture_output=True)
    before, began = cpu_seconds(pid), time.monotonic()
    said = subprocess.run([*command, "-l", str(seconds)], check=True, capture_output=True, text=True).stdout
    spent, took = cpu_seconds(pid) - before, time.monotonic() - began
    completed = re.search(r"Queries completed:\s+(\d+)", said)
    if completed is None or int(completed[1]) == 0:
        sys.exit(f"{peer.name} answered nothing: {said}")
    peer.microseconds.append(spent * 1e6 / int(completed[1]))
    peer.queries.append(int(completed[1]) / took)


def cpu_seconds(pid: int) -> float:
    """Give the time on a core of all threads of a process (nanoseconds in schedstat, proc(5))."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    main()
