"""1 million listings in, milliseconds until the first octet of a page and its size out, as one table.

    python -m bench.web --listings 1000000 --requests 300

One connection that stays open, one request after the other, each for another client; of the public page each asker is
another one, as its proxy says. Sizes are of what is sent, compressed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from rich.console import Console

from bench.ready import fill
from bench.startup import REPZONE
from repzone.cli.output import table
from repzone.model import V4, Client
from repzone.store.embedded import running

OPERATOR = {"X-Remote-User": "bench"}
KB = 1000


@dataclass(frozen=True, slots=True)
class View:
    """What is asked for: a path for each number, of the console or of the public page, and its marks."""

    name: str
    path: Callable[[int], str]
    console: bool = False
    most_ms: float | None = None
    most_kb: float | None = None


def main() -> None:
    """Fill a database, serve it, measure, print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--listings", type=int, default=1_000_000)
    arguments.add_argument("--requests", type=int, default=300)
    wanted = arguments.parse_args()
    made = table("page", ">p50 ms", ">p99 ms", ">KB", "")
    with tempfile.TemporaryDirectory(prefix="repzone-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([REPZONE, "init"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with running(folder / "state") as url:
            fill(url, wanted.listings)
            with served(folder, url) as (page, console):
                for view in views(wanted.listings, older(console)):
                    took, size = measure(console if view.console else page, view, wanted.requests)
                    p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
                    marks = [f"p99 at most {view.most_ms:.0f} ms"] if view.most_ms else []
                    marks += [f"{view.most_kb:.0f} KB"] if view.most_kb else []
                    made.add_row(view.name, f"{p50:.1f}", f"{p99:.1f}", f"{size / KB:.1f}", ", ".join(marks))
    Console(width=110).print(made)


def views(listings: int, deep: str) -> Iterator[View]:
    """Give what is asked for, over so many listings; `deep` is a page far behind the first."""

    def listed(number: int) -> Client:
        return Client(V4, (16 << 24) + 7 * (1 + number * 7919 % listings), 32)

    yield View("public page, not listed", lambda number: f"/?ip=203.0.113.{number % 256}", False, 20, 10)
    yield View("public page, listed", lambda number: f"/?ip={listed(number)}", False, 20, 10)
    yield View("the same, French", lambda number: f"/?lang=fr&ip={listed(number)}", False, 20, 10)
    yield View("JSON", lambda number: f"/api/v1/ip/{listed(number)}", False, 20)
    yield View("console, overview", lambda _: "/", True, None, 60)
    yield View("console, listings", lambda _: "/listings", True, 50, 60)
    yield View("the same, far behind", lambda _: deep, True, 50, 60)
    yield View("the same, of a /16", lambda number: f"/listings?q=16.{number % 100}.0.0/16", True, 50, 60)
    yield View("console, a client", lambda number: f"/client/{listed(number)}", True, None, 60)


@contextmanager
def served(folder: Path, url: str) -> Iterator[tuple[HTTPConnection, HTTPConnection]]:
    """Serve the pages, and give a connection to each of the two."""
    variables = {
        "REPZONE_DATABASE_URL": url,
        "REPZONE_WEB_LISTEN": "127.0.0.1:0",
        "REPZONE_CONSOLE_LISTEN": "127.0.0.1:0",
        "REPZONE_CONSOLE_USER_HEADER": "X-Remote-User",
    }
    with subprocess.Popen(
        [REPZONE, "serve", "web"], cwd=folder, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for line in process.stderr or ():
                found = re.findall(r"'127\.0\.0\.1:(\d+)'", line)
                if "web.ready" in line and len(found) == 2:
                    break
            else:
                sys.exit("the server ended before it was ready")
            page, console = (HTTPConnection("127.0.0.1", int(port), timeout=60) for port in found)
            yield page, console
        finally:
            process.terminate()
            process.communicate()


def older(console: HTTPConnection) -> str:
    """Follow the links to what is older from the first page, and give where they lead."""
    for _ in range(100):  # it opens its database when it has begun to listen
        console.request("GET", "/listings.json", headers=OPERATOR)
        with console.getresponse() as answer:
            answer.read()
        if answer.status == 200:
            break
        time.sleep(0.1)
    path, number = "/listings.json", 0
    while path and number < 20:
        _, text = ask(console, path, {})
        path, number = json.loads(text)["older"], number + 1
    return path.replace("/listings.json", "/listings")


def measure(connection: HTTPConnection, view: View, requests: int) -> tuple[list[float], int]:
    """Ask for a view so many times; give the milliseconds to the first octet, and the largest size."""
    askers = count(1)
    took, largest = [], 0
    for number in range(requests + 20):
        asker = str(Client(V4, (10 << 24) + next(askers), 32))
        milliseconds, text = ask(connection, view.path(number), {"X-Forwarded-For": asker, "Accept-Encoding": "gzip"})
        largest = max(largest, len(text))
        if number >= 20:  # warm
            took.append(milliseconds)
    return took, largest


def ask(connection: HTTPConnection, path: str, headers: dict[str, str]) -> tuple[float, bytes]:
    """Ask once; give the milliseconds until the answer began, and its octets."""
    began = time.perf_counter()
    connection.request("GET", path, headers={**OPERATOR, **headers})
    answer = connection.getresponse()
    took = (time.perf_counter() - began) * 1000
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {text[:200]!r}")
    return took, text


if __name__ == "__main__":
    main()
