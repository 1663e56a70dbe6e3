"""A command that asks one question imports no more than it takes to ask it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.test_commands import offences

SLOW = ("sqlalchemy", "alembic", "rich", "structlog", "dnslib", "repzone.logs", "repzone.jobs")
RUN = """
import json, sys
from repzone.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([name for name in {slow} if name in sys.modules]))
sys.exit(code)
"""


def imported(folder: Path, url: str, *words: str) -> tuple[list[str], str]:
    """Run a command; give which of the slow ones it imported, and what it said."""
    command = [sys.executable, "-c", RUN.format(slow=SLOW), *words]
    environment = {**os.environ, "REPZONE_DATABASE_URL": url}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *said, modules = done.stdout.splitlines()
    return json.loads(modules), "\n".join(said)


def test_check_needs_neither_sqlalchemy_nor_rich_nor_structlog(
    run_process: Run, migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
    run_process("ingest", "mail.log")
    for words in (["check", "192.0.2.7"], ["check", "2001:db8::1", "-o", "json"], ["version"]):
        modules, said = imported(tmp_path, migrated_url, *words)
        assert modules == [], words
        assert said
    assert "192.0.2.7 is listed for errors, the 1st time" in imported(tmp_path, migrated_url, "check", "192.0.2.7")[1]


def test_check_takes_the_usual_way_when_the_policy_is_a_new_one(
    run_process: Run, migrated_url: str, tmp_path: Path
) -> None:
    assert imported(tmp_path, migrated_url, "check", "192.0.2.7")[0] != []  # stores the policy, for the first time
    assert imported(tmp_path, migrated_url, "check", "192.0.2.7")[0] == []
    (tmp_path / "repzone.toml").write_text('policy_file = "policy.toml"\nown_networks = ["192.0.2.0/24"]\n')
    (tmp_path / "policy.toml").write_text("[categories.errors]\nthreshold = 2\n")
    modules, said = imported(tmp_path, migrated_url, "check", "192.0.2.7")
    assert "sqlalchemy" in modules
    assert "exempt as 192.0.2.0/24 (own network)" in said
    assert imported(tmp_path, migrated_url, "check", "192.0.2.7") == ([], said)


def test_check_says_why_the_database_does_not_answer(run_process: Run) -> None:
    done = run_process("check", "192.0.2.7", REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (done.code, "the database does not answer" in done.err) == (3, True)
