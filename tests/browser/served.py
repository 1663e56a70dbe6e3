"""A database in, the pages of `repzone serve web` out, as a process of its own on ports that the system picks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.test_serve import process, until
from tests.web.site_of import settings

OPERATOR = """
[operator]
name = "Example Mail"
contact = "postmaster@example.net"
abuse = "https://www.example.net/abuse"
"""
TOKEN = "a token that nobody guesses"  # noqa: S105 - of a console that lives as long as a test
CONSOLE = f"""console_listen = ["127.0.0.1:0"]
console_token = "{TOKEN}"
"""


@contextmanager
def console(folder: Path, database_url: str) -> Iterator[str]:
    """Give the URL of the operator's console."""
    with pages(folder, database_url, CONSOLE + OPERATOR):
        port = re.search(r"console=\['127\.0\.0\.1:(\d+)", (folder / "said").read_text())
        assert port, (folder / "said").read_text()
        yield f"http://127.0.0.1:{port[1]}"


@contextmanager
def pages(folder: Path, database_url: str, more: str = OPERATOR) -> Iterator[str]:
    """Give the URL of the page for blocked senders."""
    settings(folder, f'web_listen = ["127.0.0.1:0"]\n{more}')
    with process(folder, "serve", "web", REPZONE_DATABASE_URL=database_url) as server:
        found = re.compile(r"web\.ready.*?127\.0\.0\.1:(\d+)")
        until(lambda: bool(found.search((folder / "said").read_text())) or server.poll() is not None)
        port = found.search((folder / "said").read_text())
        assert port, (folder / "said").read_text()
        yield f"http://127.0.0.1:{port[1]}"
