"""Lines written to a followed log, the time until the DNS server answers for them out, as one table.

    python -m bench.follow --lines 1000

`repzone ingest --follow` and `repzone serve dns` run as they do in production, on a private PostgreSQL. Each line is
one virus verdict on a new client, which lists it at once; the time is from the write of the line to the first answer
that has it.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from rich.console import Console

from repzone import shipped
from repzone.cli.output import table, utc
from repzone.cli.wall import clock
from repzone.errors import UnavailableError
from repzone.serve.client import ask

REPZONE = str(Path(sys.executable).with_name("repzone"))
PATIENCE = 5.0


def main() -> None:
    """Start both, write the lines one after the other, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=1000)
    wanted = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        port = _free_port()
        config, log = folder / "repzone.toml", folder / "mail.log"
        config.write_text(
            f'state_dir = "state"\ndns_listen = ["127.0.0.1:{port}"]\nzones_dir = "{shipped.folder("zones")}"\n'
        )
        log.touch()
        with _running("db", "upgrade", "-c", str(config), wait=True):
            pass
        server = ("127.0.0.1", port)
        with _running("serve", "dns", "-c", str(config)), _running("ingest", "--follow", str(log), "-c", str(config)):
            _first_answer(server, "2.0.0.127.bl.example.net", patience=60)
            times = sorted(_times(log, server, wanted.lines))
    made = table("lines", ">p50 ms", ">p90 ms", ">p99 ms", ">longest ms")
    places = (times[int(len(times) * share)] for share in (0.5, 0.9, 0.99))
    made.add_row(f"{len(times):,}", *(f"{time * 1000:.0f}" for time in (*places, times[-1])))
    Console(width=100).print(made)


def _times(log: Path, server: tuple[str, int], lines: int) -> Iterator[float]:
    with log.open("a", buffering=1) as file:
        for number in range(lines):
            a, b = 18 + number // 65536, number // 256 % 256
            octets = f"198.{a}.{b}.{number % 256}"
            began = perf_counter()
            file.write(
                f"{utc(clock())} mx1 amavis[1]: (1-{number}) Blocked INFECTED (Test) "
                f"{{DiscardedInbound}}, [{octets}]:4000 <a@b.example> -> <c@d.example>\n"
            )
            qname = ".".join(reversed(octets.split("."))) + ".bl.example.net"
            _first_answer(server, qname, PATIENCE)
            yield perf_counter() - began
            if number % 50 == 49:
                print(f"{number + 1} lines ...", file=sys.stderr, flush=True)


def _first_answer(server: tuple[str, int], qname: str, patience: float) -> None:
    end = perf_counter() + patience
    while perf_counter() < end:
        try:
            if ask(server, qname, "A").answers:
                return
        except UnavailableError:
            sleep(0.05)
        sleep(0.001)
    sys.exit(f"no answer for {qname} within {patience:.0f} s")


@contextmanager
def _running(*words: str, wait: bool = False) -> Iterator[None]:
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would stop it
        process = subprocess.Popen([REPZONE, *words], stdout=subprocess.DEVNULL, stderr=said)
        try:
            yield
        finally:
            if not wait:
                process.send_signal(signal.SIGTERM)
            if process.wait(60):
                said.seek(0)
                sys.exit(f"repzone {words[0]}: {said.read()}")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
