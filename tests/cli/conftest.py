"""A command line in, what it printed and its exit code out; in a folder of its own with a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repzone.cli import output
from repzone.cli.main import run as run_main

COMMAND = Path(sys.executable).with_name("repzone")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


def runner(folder: Path, environment: dict[str, str]) -> Run:
    """Give what runs a command in a folder, with these variables and no other of repzone's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REPZONE_")}

    def run(*words: str, text: str = "", **more: str) -> Done:
        done = subprocess.run(
            [str(COMMAND), *words],
            cwd=folder,
            env={**clean, "COLUMNS": "200", **environment, **more},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def run_process(tmp_path: Path, migrated_url: str) -> Run:
    """Runs commands in an empty folder, on this test's own database: each a process, as an operator has it."""
    return runner(tmp_path, {"REPZONE_DATABASE_URL": migrated_url})


@pytest.fixture
def run(tmp_path: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands in this process, with folder and database of `run_process`: what they print is the point."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("REPZONE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REPZONE_DATABASE_URL", migrated_url)

    def call(*words: str, text: str = "", **more: str) -> Done:
        with monkeypatch.context() as patch, tempfile.TemporaryFile("w+", encoding="utf-8") as stdin:
            stdin.write(text)
            stdin.seek(0)
            patch.setattr(sys, "stdin", stdin)
            for name, value in more.items():
                patch.setenv(name, value)
            output.console.width = output.errors.width = int(more.get("COLUMNS", 200))  # as a new process has it
            capsys.readouterr()
            code = run_main(words)
            return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def run_bare(tmp_path: Path) -> Run:
    """Runs commands in an empty folder, where nothing is configured."""
    return runner(tmp_path, {})
