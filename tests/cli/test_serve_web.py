"""`serve web` as a process: what it answers, with and without its database, until it is told to end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

from tests.cli.conftest import Run
from tests.cli.test_commands import offences
from tests.cli.test_serve import process, until

NOBODY = "postgresql://nobody@127.0.0.1:1/none"


@contextmanager
def pages(folder: Path, *words: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the page on a port that the system picks; gives the process and where it answers."""
    command = words or ("serve", "web")
    with process(folder, *command, REPZONE_WEB_LISTEN="127.0.0.1:0", **variables) as server:
        found = re.compile(r"web\.ready.*?127\.0\.0\.1:(\d+)")
        until(lambda: bool(found.search((folder / "said").read_text())) or server.poll() is not None)
        port = found.search((folder / "said").read_text())
        assert port, (folder / "said").read_text()
        yield server, f"http://127.0.0.1:{port[1]}"


def get(url: str) -> tuple[int, str]:
    """Give status and body."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_page_knows_at_once_what_was_ingested_and_ends_when_told(
    run_process: Run, migrated_url: str, tmp_path: Path
) -> None:
    with pages(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, url):
        until(lambda: get(f"{url}/api/v1/ip/192.0.2.7")[0] == 200)
        assert json.loads(get(f"{url}/api/v1/ip/192.0.2.7")[1])["state"] == "clear"
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        run_process("ingest", "mail.log")
        told = json.loads(get(f"{url}/api/v1/ip/192.0.2.7")[1])
        assert (told["state"], told["live"]) == ("blocked", True)
        assert "192.0.2.7</span> is blocked for too many errors" in get(f"{url}/?ip=192.0.2.7")[1]
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    said = (tmp_path / "said").read_text()
    assert "192.0.2.7" not in said  # who asks about which address is nobody's business
    assert "role_missing" not in said


def test_a_hangup_reads_everything_again_and_what_is_faulty_changes_nothing(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "repzone.toml"
    file.write_text('[operator]\nname = "One Mail"\n')
    with pages(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (server, url):
        assert "One Mail · postmaster" in get(url)[1]
        file.write_text('policy_file = "policy.toml"\n[operator]\nname = "Two Mail"\n')
        (tmp_path / "policy.toml").write_text(
            '[categories.spam]\nthreshold = 7\nwindow = "5h"\ndurations = ["13h"]\nmessage = "Far too much"\n'
        )
        server.send_signal(signal.SIGHUP)
        until(lambda: "Two Mail · postmaster" in get(url)[1])
        text = get(url)[1]
        for word in ("7 points in 5\N{NO-BREAK SPACE}h", "13\N{NO-BREAK SPACE}h", "Far too much"):
            assert word in text
        file.write_text('[operator]\ncolour = "#ffff00"\n')
        server.send_signal(signal.SIGHUP)
        until(lambda: "web.reload_refused" in (tmp_path / "said").read_text())
        assert "operator.colour" in (tmp_path / "said").read_text()
        assert "Two Mail · postmaster" in get(url)[1]


def test_without_its_database_it_starts_and_does_not_guess(tmp_path: Path) -> None:
    with pages(tmp_path, REPZONE_DATABASE_URL=NOBODY) as (_, url):
        assert get(url)[0] == 200
        assert get(f"{url}/?ip=192.0.2.7")[0] == 503
        assert get(f"{url}/healthz") == (200, "ok\n")


def test_dns_and_page_can_be_served_by_one_command(migrated_url: str, tmp_path: Path) -> None:
    variables = {"REPZONE_DATABASE_URL": migrated_url, "REPZONE_DNS_LISTEN": "127.0.0.1:0"}
    with pages(tmp_path, "serve", "all", **variables) as (server, url):
        until(lambda: get(f"{url}/api/v1/ip/192.0.2.7")[0] == 200)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_port_that_somebody_has_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with process(tmp_path, "serve", "web", REPZONE_WEB_LISTEN=where, REPZONE_DATABASE_URL=NOBODY) as server:
            assert server.wait(60) == 3
    said = (tmp_path / "said").read_text()
    assert f"repzone: cannot listen on {where} (TCP): another process has the port" in said
    assert "Traceback" not in said
