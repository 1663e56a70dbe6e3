"""A made-up log in, one table out: the user CPU time of `repzone parse` and `repzone ingest` beside their peers'.

    python -m bench.ingest --lines 1000000

Peers are pflogsumm and fail2ban-regex with `postfix[mode=aggressive]` (Debian packages of these names), on the same
file. Times are those of the processes themselves; PostgreSQL's own is not in `repzone ingest`'s.
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
from repzone.cli.output import table
from repzone.store.embedded import running

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
    arguments.add_argument("--lines", type=int, default=1_000_000, help="of the mixed log; the other has a third")
    arguments.add_argument("--skip-fail2ban", action="store_true", help="it takes about 25 s a million lines")
    wanted = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        mixed, offences = folder / "mixed.log", folder / "offences.log"
        _say("making the logs")
        write(mixed, wanted.lines, SHARE)
        write(offences, wanted.lines // 3, None)
        peers = {"pflogsumm": ["pflogsumm", str(mixed)]}
        if not wanted.skip_fail2ban:
            peers["fail2ban-regex"] = ["fail2ban-regex", str(mixed), "postfix[mode=aggressive]"]
        rows = []
        for peer, command in peers.items():
            if shutil.which(peer) is None:
                sys.exit(f"{peer} is missing: apt-get install pflogsumm fail2ban")
            _say(peer)
            rows.append((peer, wanted.lines, measure(command)))
        _say("repzone parse")
        parse = ("repzone parse", wanted.lines, measure([REPZONE, "parse", str(mixed), "-o", "json"]))
        config = folder / "repzone.toml"
        config.write_text('state_dir = "state"\n')
        with running(folder / "state"):  # so that no command waits for its start
            subprocess.run([REPZONE, "db", "upgrade", "-c", str(config)], check=True, stdout=subprocess.DEVNULL)
            ingests = []
            for log, lines in ((mixed, wanted.lines), (offences, wanted.lines // 3)):
                _say(f"repzone ingest {log.name}")
                command = [REPZONE, "ingest", str(log), "-c", str(config), "--no-calculate"]
                ingests.append((f"repzone ingest {log.name}", lines, measure(command)))
    _print([*rows, parse, *ingests], rows)


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
