"""`repzone check` from the shell beside a Python that only imports what every such command must, as one table.

    python -m bench.startup --runs 30

Measured by hyperfine (apt-get install hyperfine), turn by turn, with a private PostgreSQL that another process keeps
running. `user + system` says more than `time` on a machine where others work.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from repzone.cli.output import table
from repzone.store.embedded import running

REPZONE = str(Path(sys.executable).with_name("repzone"))
IMPORTS = "import typer, psycopg, pydantic_settings"
MARK = 1.3


def main() -> None:
    """Make a database, keep it running, measure, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=30)
    wanted = arguments.parse_args()
    if shutil.which("hyperfine") is None:
        sys.exit("hyperfine is missing: apt-get install --no-install-recommends hyperfine")
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        subprocess.run([REPZONE, "init"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        commands = {
            "Python with typer, psycopg, pydantic_settings": [sys.executable, "-c", IMPORTS],
            "repzone check": [REPZONE, "check", "192.0.2.1"],
            "repzone version": [REPZONE, "version"],
        }
        with running(folder / "state"):
            subprocess.run(commands["repzone check"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            results = _measure(list(commands.values()), folder, wanted.runs)
    base = results[0]
    made = table("command", ">ms", ">user + system ms", ">ratio", ">of CPU", "")
    for label, found in zip(commands, results, strict=True):
        wall, cpu = found["median"] / base["median"], _cpu(found) / _cpu(base)
        numbers = (f"{found['median'] * 1000:.0f}", f"{_cpu(found) * 1000:.0f}", f"{wall:.2f}", f"{cpu:.2f}")
        made.add_row(label, *numbers, f"at most {MARK}" if label == "repzone check" else "")
    Console(width=120).print(made)


def _measure(commands: list[list[str]], folder: Path, runs: int) -> list[dict[str, Any]]:
    """Give what hyperfine says of each command."""
    report = folder / "hyperfine.json"
    given = [subprocess.list2cmdline(command) for command in commands]
    options = ["--shell=none", "--warmup=3", f"--runs={runs}", f"--export-json={report}"]
    subprocess.run(["hyperfine", *options, *given], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    results: list[dict[str, Any]] = json.loads(report.read_text())["results"]
    return results


def _cpu(result: dict[str, Any]) -> float:
    return float(result["user"]) + float(result["system"])


if __name__ == "__main__":
    main()
