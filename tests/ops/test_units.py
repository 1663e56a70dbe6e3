"""The systemd units and the files for cron and logrotate: as systemd reads them, and no command in them but ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

from repzone.cli.main import app
from tests.fix_db import missing

OPS = Path(__file__).parents[2] / "ops"
UNITS = sorted((OPS / "systemd").glob("*.service"))
SOCKETS = sorted((OPS / "systemd").glob("*.socket"))
GIVEN = ("NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=repzone", "User=repzone", "Type=notify")


def test_there_are_units_for_all_and_for_each_part() -> None:
    assert {unit.stem for unit in UNITS} == {"repzone", "repzone-db", "repzone-dns", "repzone-worker"}


def test_systemd_finds_no_fault_in_the_units() -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze", "systemd")
    command = ["systemd-analyze", "verify", "--man=no", *map(str, (*UNITS, *SOCKETS))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("socket", SOCKETS, ids=lambda unit: unit.stem)
def test_a_socket_is_of_a_service_and_every_address_is_udp_and_tcp(socket: Path) -> None:
    assert socket.with_suffix(".service") in UNITS
    found = {kind: re.findall(rf"^Listen{kind}=(.*)$", socket.read_text(), re.M) for kind in ("Datagram", "Stream")}
    assert found["Datagram"] == found["Stream"] != []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_may_do_no_more_than_it_must(unit: Path) -> None:
    text = unit.read_text()
    assert all(f"\n{line}\n" in text for line in GIVEN)
    capabilities = re.findall(r"^(?:Ambient|Bounding|CapabilityBounding)\w*=(.*)$", text, re.M)
    answers = unit.stem in ("repzone", "repzone-dns")
    assert set(capabilities) == ({"CAP_NET_BIND_SERVICE"} if answers else {""})


@pytest.mark.parametrize("file", [*UNITS, OPS / "cron" / "repzone"], ids=lambda file: f"{file.parent.name}-{file.name}")
def test_every_command_in_them_is_one_that_there_is(file: Path) -> None:
    root = typer.main.get_command(app)
    found = re.findall(r"(?:env|&&) repzone ((?:[a-z]+ ?)+)", file.read_text())
    assert found
    for words in found:
        command = root
        with typer.Context(root) as context:
            for word in words.split():
                command = command.get_command(context, word)  # type: ignore[attr-defined]
                assert command is not None, words
