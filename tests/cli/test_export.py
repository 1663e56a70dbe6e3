"""`zone export`: a file of what the zone says now, whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from repzone.cli import export, progress
from repzone.zone.export import Networks
from tests.cli.conftest import Run

BLOCK = 'apex = "bl.example.net"\nnameservers = ["ns.example.net"]\n'
ALLOW = 'apex = "wl.example.net"\nkind = "allow"\nnameservers = ["ns.example.net"]\n'


@pytest.fixture(autouse=True)
def listed(run: Run, tmp_path: Path) -> None:
    """Two zones, a ban with a hole."""
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text(BLOCK)
    (tmp_path / "zones" / "wl.toml").write_text(ALLOW)
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    run("ban", "192.0.2.0/24", "--reason", "x", "--yes")
    run("allow", "add", "192.0.2.8", "--comment", "x")


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("csv", "192.0.2.8,,,\n192.0.2.0/24,127.0.0.64,300,"),
        ("postfix", "192.0.2.8 DUNNO\n192.0.2.0/24 REJECT Blocked by the operator: 192.0.2.0/24 is listed until "),
        ("bind", '8.2.0.192 TYPE65280 \\# 0\n*.2.0.192 300 A 127.0.0.64\n*.2.0.192 300 TXT "Blocked'),
        ("rpz", "32.8.2.0.192.rpz-ip CNAME rpz-passthru.\n24.0.2.0.192.rpz-ip 300 CNAME .\n"),
        ("rbldnsd", "!192.0.2.8\n192.0.2.0/24 :127.0.0.64:Blocked by the operator: $ is listed until "),
        ("nftables", "{\n\t192.0.2.0-192.0.2.7,\n\t192.0.2.9-192.0.2.255\n}\n"),
    ],
)
def test_each_format_has_the_ban_and_its_hole(run: Run, form: str, line: str) -> None:
    done = run("zone", "export", "--format", form)
    assert (done.code, line in done.out) == (0, True), done.out


def test_an_allow_zone_has_the_exemptions(run: Run) -> None:
    done = run("zone", "export", "--format", "postfix", "WL.example.net.")
    assert done.out.splitlines()[1:] == ["192.0.2.8 OK"]


def test_a_file_is_replaced_and_keeps_its_mode(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_text("before")
    file.chmod(0o640)
    assert run("zone", "export", "--format", "postfix", "--to", "table").out == ""
    assert file.read_text().startswith("# bl.example.net, serial 2\n192.0.2.8 DUNNO\n")
    assert (file.stat().st_mode & 0o777, list(tmp_path.glob("table*"))) == (0o640, [file])


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("table")
    for _ in range(2):  # there is no table yet, then there is one
        run("zone", "export", "--format", "postfix", "--to", "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "table").read_text().startswith("# bl.example.net")
        (tmp_path / "table").write_text("before")


def test_an_export_that_is_interrupted_leaves_the_file_as_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table").write_text("before")

    def interrupted(networks: Networks, serial: int) -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "FORMATS", {"csv": interrupted})
    assert run("zone", "export", "--format", "csv", "--to", "table").code == 130
    assert [(file.name, file.read_text()) for file in tmp_path.glob("table*")] == [("table", "before")]


def test_two_exports_at_once_each_write_a_whole_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "table.new").write_text("another one's")
    assert run("zone", "export", "--format", "csv", "--to", "table").code == 0
    assert (tmp_path / "table.new").read_text() == "another one's"


def test_how_many_lines_are_written_is_shown_on_a_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "errors", Console(file=screen, force_terminal=True, width=80))
    monkeypatch.setattr(export, "_EVERY", 1)
    before = run("zone", "export", "--format", "csv").out
    assert "writing" in screen.getvalue()
    assert "2 lines" in screen.getvalue()
    assert before.startswith("network,addresses,ttl,text\n192.0.2.8,,,\n")


def test_what_cannot_be_written_changes_nothing(run: Run, tmp_path: Path) -> None:
    done = run("zone", "export", "--format", "csv", "--to", "no/table")
    assert (done.code, done.err) == (1, "repzone: no/table: cannot be written: No such file or directory\n")
    done = run("zone", "export", "--format", "csv", "--to", "repzone.toml/table")
    assert (done.code, done.err) == (1, "repzone: repzone.toml/table: cannot be written: Not a directory\n")
    (tmp_path / "folder").mkdir()
    assert run("zone", "export", "--format", "csv", "--to", "folder").code == 1
    assert [file.name for file in tmp_path.glob("folder*")] == ["folder"]
    os.mkfifo(tmp_path / "pipe")
    done = run("zone", "export", "--format", "csv", "--to", "pipe")
    assert (done.code, done.err) == (1, "repzone: pipe: is no regular file, and is not replaced by one\n")
    assert (tmp_path / "pipe").is_fifo()


def test_of_a_paused_zone_nobody_is_written(run: Run) -> None:
    run("zone", "pause", "bl.example.net")
    assert run("zone", "export", "--format", "csv").out == "network,addresses,ttl,text\n"


def test_the_zone_is_named_where_it_is_in_doubt(run: Run, tmp_path: Path) -> None:
    done = run("zone", "export", "--format", "csv", "xx.example.net")
    assert "there is no zone 'xx.example.net'; there are: bl.example.net, wl.example.net" in done.err
    (tmp_path / "zones" / "bl.toml").write_text(ALLOW.replace("wl.", "al."))
    assert "name one zone of: al.example.net, wl.example.net" in run("zone", "export", "--format", "csv").err
