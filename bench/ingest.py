"""A made-up log in, one table out: the user CPU time of `repzone parse` and `repzone ingest` beside their peers'.

    python -m bench.ingest --lines 1000000
    python -m bench.ingest --memory 10    # only the memory of ours, for that log and for one 10 times as long

Peers are pflogsumm and fail2ban-regex with `postfix[mode=aggressive]` (Debian packages of these names), on the same
file. Times are those of the processes themselves; PostgreSQL's own is not in `repzone ingest`'s. The log of offences
only is beside one bare COPY of the same rows into the same indexed, partitioned tables, by the clock on the wall.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console

from bench.logs import write
from bench.store import copy_in, copy_out, empty
from repzone.cli.output import table
from repzone.store.embedded import running
from repzone.store.engine import connect

REPZONE = str(Path(sys.executable).with_name("repzone"))
SHARE = 0.08
"""Of the lines of the mixed log that tell an offence."""


def measure(command: Sequence[str], **environment: str) -> tuple[float, float, int]:
    """Run a command; give its user CPU and wall seconds, and the memory that it took at most (octets)."""
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed with exit code {process.returncode}")
    return usage.ru_utime, perf_counter() - began, usage.ru_maxrss * 1024


def main() -> None:
    """Make the logs, run each command once, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=1_000_000, help="of each log")
    arguments.add_argument("--skip-fail2ban", action="store_true", help="it takes about 25 s a million lines")
    arguments.add_argument(
        "--memory", type=int, default=0, metavar="TIMES", help="measure memory, for so many times more"
    )
    wanted = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        (folder / "repzone.toml").write_text('state_dir = "state"\n')
        with running(folder / "state") as url:  # so that no command waits for its start
            config = str(folder / "repzone.toml")
            subprocess.run([REPZONE, "db", "upgrade", "-c", config], check=True, stdout=subprocess.DEVNULL)
            if wanted.memory:
                _measure_memory(folder, (wanted.lines, wanted.lines * wanted.memory))
            else:
                _measure_speed(folder, url, wanted.lines, _peers(wanted.skip_fail2ban))


def _peers(skip_fail2ban: bool) -> dict[str, list[str]]:
    peers = {"pflogsumm": [], "fail2ban-regex": ["postfix[mode=aggressive]"]}
    if skip_fail2ban:
        del peers["fail2ban-regex"]
    for peer in peers:
        if shutil.which(peer) is None:
            sys.exit(f"{peer} is missing: apt-get install pflogsumm fail2ban")
    return peers


def _measure_speed(folder: Path, url: str, lines: int, peers: dict[str, list[str]]) -> None:
    mixed, offences = _write(folder / "mixed.log", lines, SHARE), _write(folder / "offences.log", lines, None)
    rows = [_run(peer, lines, [peer, str(mixed), *words]) for peer, words in peers.items()]
    ours = [_run("repzone parse mixed.log", lines, [REPZONE, "parse", str(mixed), "-o", "json"])]
    engine = connect(url)
    for log in (mixed, offences):
        empty(engine)
        ours.append(_run(f"repzone ingest {log.name}", lines, _ingest(log)))
    _print([*rows, *ours], rows)
    stored = copy_out(url)
    empty(engine)
    bare, whole = copy_in(url, stored), ours[-1][2][1]
    engine.dispose()
    print(f"bare COPY of the events of offences.log: {bare:.2f} s; its ingest goes at {bare / whole:.2f} x the speed")


def _measure_memory(folder: Path, sizes: Sequence[int]) -> None:
    rows = []
    for lines in sizes:
        log = _write(folder / f"mixed-{lines}.log", lines, SHARE)
        rows.append(_run("repzone parse", lines, [REPZONE, "parse", str(log), "-o", "json"]))
        rows.append(_run("repzone ingest", lines, _ingest(log)))
    _print(rows, [])


def _ingest(log: Path) -> list[str]:
    return [REPZONE, "ingest", str(log), "-c", str(log.parent / "repzone.toml"), "--no-calculate"]


def _write(log: Path, lines: int, share: float | None) -> Path:
    _say(f"making {log.name}")
    write(log, lines, share)
    return log


def _run(name: str, lines: int, command: Sequence[str]) -> tuple[str, int, tuple[float, float, int]]:
    _say(name)
    return name, lines, measure(command)


def _print(
    rows: Sequence[tuple[str, int, tuple[float, float, int]]],
    peers: Sequence[tuple[str, int, tuple[float, float, int]]],
) -> None:
    made = table("", ">lines", ">user CPU s", ">wall s", ">lines/s", ">MiB", *(f">x {peer}" for peer, _, _ in peers))
    for name, lines, (user, wall, memory) in rows:
        ratios = (f"{(peer[0] / count) / (user / lines):.2f}" for _, count, peer in peers)
        made.add_row(
            name, f"{lines:,}", f"{user:.2f}", f"{wall:.2f}", f"{lines / wall:,.0f}", f"{memory / 2**20:,.0f}", *ratios
        )
    Console(width=140).print(made)


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
