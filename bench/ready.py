"""1 million listings in, seconds from a server's start to its first answer out: from its snapshot, from PostgreSQL.

    python -m bench.ready --listings 1000000

Without the imports, as the server's own log says it (`dns.ready`); beside them rbldnsd's load of the same listings, as
its log says it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from sqlalchemy import text

from bench.dns import ZONE, free_port, listings, numbers
from bench.startup import REPZONE
from repzone import fastpath
from repzone.cli.output import table
from repzone.cli.wall import clock
from repzone.store import snapshot
from repzone.store.embedded import running
from repzone.store.engine import connect
from repzone.zone import rows

NOWHERE = "postgresql://127.0.0.1:1/none"
FILL = """
INSERT INTO listing (key, category, offence, began, expires, state, created)
SELECT '16.0.0.0'::inet + 7 * n, 'errors', 1, now(), now() + interval '7 days', 'active', now()
FROM generate_series(1, :count) AS n"""


def main() -> None:
    """Measure, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--listings", type=int, default=1_000_000)
    arguments.add_argument("--runs", type=int, default=5)
    wanted = arguments.parse_args()
    made = table("start", ">seconds", "")
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([REPZONE, "init"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for zone in (folder / "zones").glob("*.toml"):
            zone.unlink()
        (folder / "zones" / "bl.toml").write_text(ZONE)
        state = folder / "state"
        with running(state) as url:
            fill(url, wanted.listings)
            seconds = [ready(folder, state, url) for _ in range(wanted.runs)]
        made.add_row("repzone, from PostgreSQL", f"{statistics.median(seconds):.2f}", "at most 2")
        now = clock()
        held = fastpath.make_table()
        held.replace(listings(wanted.listings, now), [])
        whole = snapshot.Snapshot(1, now, rows.dump(held, now))
        seconds = []
        for _ in range(wanted.runs):
            snapshot.write(state / snapshot.NAME, whole)
            seconds.append(ready(folder, state, NOWHERE, keep=True))
        made.add_row("repzone, from its snapshot", f"{statistics.median(seconds):.2f}", "at most 0.3")
        seconds = [rbldnsd(folder, wanted.listings) for _ in range(wanted.runs)]
        made.add_row("rbldnsd, from text", f"{statistics.median(seconds):.2f}", "")
    Console(width=100).print(made)


def fill(url: str, count: int) -> None:
    """Put listings into a database that `init` has made."""
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text(FILL), {"count": count})
        connection.execute(text("UPDATE change_serial SET serial = 1"))
        connection.execute(text("ANALYZE"))
    engine.dispose()


def ready(folder: Path, state: Path, url: str, *, keep: bool = False) -> float:
    """Start a server, and give its seconds until it was ready."""
    if not keep:
        (state / snapshot.NAME).unlink(missing_ok=True)
    variables = {"REPZONE_DATABASE_URL": url, "REPZONE_DNS_LISTEN": "127.0.0.1:0"}
    with subprocess.Popen(
        [REPZONE, "serve", "dns"], cwd=folder, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            found = re.search(r"event=dns\.ready .*seconds=([\d.]+)", line)
            if found:
                process.terminate()
                process.communicate()
                return float(found[1])
    sys.exit("the server ended before it was ready")


def rbldnsd(folder: Path, count: int) -> float:
    """Start rbldnsd, and give the seconds that loading took it."""
    file = folder / "ip4set"
    if not file.exists():
        lines = (".".join(map(str, number.to_bytes(4, "big"))) for number in numbers(count))
        file.write_text("\n".join((":127.0.0.4:Listed", *lines, "")))
    command = ["rbldnsd", "-n", "-u", "nobody", "-w", str(folder), "-b", f"127.0.0.1/{free_port()}"]
    with subprocess.Popen(
        [*command, "bl.example.net:ip4set:ip4set"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            found = re.search(r"zones reloaded, time ([\d.]+)e/", line)
            if found:
                process.terminate()
                process.communicate()
                return float(found[1])
    sys.exit("rbldnsd did not start")


if __name__ == "__main__":
    main()
