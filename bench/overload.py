"""A server on a small share of a core in, what it does when it is asked for twice what it can answer out.

    python -m bench.overload --share 10 --seconds 10

The kernel gives the server that share by a control group (needs root), in slices of 10 ms; dnsperf, on the other core,
first finds the most it answers, then asks for twice that at a steady pace, whether it answers or not. Meanwhile a
client asks by TCP. Five seconds later half of the most is asked for.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.dns import APEX, CLIENT_CORE, SERVER_CORE, Peer, questions, started
from repzone.cli.output import table

PERIOD = 10_000  # microseconds
GROUPS = Path("/sys/fs/cgroup")
RECOVERY = 5.0
SOA = (
    struct.pack("!6H", 7, 0, 1, 0, 0, 0)
    + b"".join(bytes((len(label),)) + label.encode() for label in (*APEX.split("."), ""))
    + struct.pack("!HH", 6, 1)
)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one load: queries asked and answered a second, the answered ones' latency in ms, ours of TCP."""

    name: str
    asked: float
    answered: float
    p50: float
    p99: float
    tcp: float
    resident: int


def main() -> None:
    """Measure, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--share", type=int, default=10, help="of a core, in percent")
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--listings", type=int, default=100_000)
    wanted = arguments.parse_args()
    command = [sys.executable, "-m", "bench.dns", "--listings", str(wanted.listings), "--serve", "compiled"]
    peer = Peer("repzone", command, {SERVER_CORE})
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name, started(peer) as process:
        queries = Path(name, "queries")
        queries.write_text("".join(f"{name} {kind}\n" for name, kind in questions(wanted.listings)))
        with held(process.pid, wanted.share):
            ask(peer, process.pid, queries, "", 1)
            best = ask(peer, process.pid, queries, "the most that it answers", wanted.seconds)
            twice = ask(peer, process.pid, queries, "twice that", wanted.seconds, 2 * best.answered)
            time.sleep(RECOVERY)
            half = ask(peer, process.pid, queries, f"{RECOVERY:g} s later, half", wanted.seconds, best.answered / 2)
    made = table("load", ">asked/s", ">answered/s", ">of the most", ">p50 ms", ">p99 ms", ">TCP ms", ">MiB")
    for load in (best, twice, half):
        numbers = (f"{load.p50:.1f}", f"{load.p99:.1f}", f"{load.tcp:.0f}", f"{load.resident / 2**20:.1f}")
        share = f"{load.answered / best.answered:.2f}"
        made.add_row(load.name, f"{load.asked:,.0f}", f"{load.answered:,.0f}", share, *numbers)
    Console(width=120).print(made)


@contextmanager
def held(pid: int, share: int) -> Iterator[None]:
    """Hold a process to a share of a core, in percent."""
    old = GROUPS / "cpu"
    group = (old if old.is_dir() else GROUPS) / f"repzone-bench-{os.getpid()}"
    quota = PERIOD * share // 100
    try:
        group.mkdir()
        if old.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        sys.exit(f"{group}: no control group can be made here: {error.strerror}")
    try:
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def ask(peer: Peer, pid: int, queries: Path, name: str, seconds: int, pace: float = 0) -> Load:
    """Ask for some seconds, as fast as answers come or at a pace."""
    command = ["taskset", "-c", str(CLIENT_CORE), "dnsperf", "-s", "127.0.0.1", "-p", str(peer.port), "-d"]
    command += [str(queries), "-c", "64", "-l", str(seconds), "-t", "1", "-v"]
    command += ["-Q", f"{pace:.0f}", "-q", "60000"] if pace else ["-q", "128"]
    took: list[float] = []
    over = threading.Event()
    client = threading.Thread(target=ask_by_tcp, args=(peer.port, over, took))
    client.start()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    over.set()
    client.join()
    times = sorted(float(found) * 1000 for found in re.findall(r"^> \w+ \S+ \w+ ([\d.]+)$", said, re.M))
    sent = re.search(r"Queries sent:\s+(\d+)", said)
    if sent is None or not times:
        sys.exit(f"nothing was answered: {said[-1000:]}")
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    p99 = times[len(times) * 99 // 100]
    speed = (int(sent[1]) / seconds, len(times) / seconds)
    return Load(name, *speed, statistics.median(times), p99, max(took, default=0), resident)


def ask_by_tcp(port: int, over: threading.Event, took: list[float]) -> None:
    """Ask for the SOA five times a second, by connections of their own; note the milliseconds."""
    while not over.wait(0.2):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(struct.pack("!H", len(SOA)) + SOA)
            if not sock.recv(4096):
                sys.exit("TCP is not answered")
        took.append((time.monotonic() - began) * 1000)


if __name__ == "__main__":
    main()
