"""What the shell is told when somebody presses Tab."""

from __future__ import annotations

import pytest

from repzone.cli.main import COMMANDS
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("repzone li", {"listings"}),
        ("repzone db pru", {"prune"}),
        ("repzone ingest --fol", {"--follow"}),
        ("repzone db prune --dry", {"--dry-run"}),
        ("repzone status -o ", {"human", "json"}),
        ("repzone db dump ", set()),
        ("repzone listings --category s", {"spam"}),
        ("repzone listings --state re", {"released", "reversed"}),
        ("repzone listings --reason spamt", {"spamtrap"}),
        ("repzone purge --reason spamt", {"spamtrap"}),
        ("repzone unban --since 2h --reason spamt", {"spamtrap"}),
        ("repzone zone show b", {"bl.example.net"}),
    ],
)
def test_the_shell_is_told_how_to_go_on(run_bare: Run, typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    asked = {"_REPZONE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = run_bare(**asked)
    assert (done.code, set(done.out.split())) == (0, offered)


def test_all_commands_are_offered(run_bare: Run) -> None:
    asked = {"_REPZONE_COMPLETE": "complete_bash", "COMP_WORDS": "repzone ", "COMP_CWORD": "1"}
    assert set(run_bare(**asked).out.split()) == set(COMMANDS)
    no_guess = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # not every caller of a test is a shell
    assert "complete -o default -F" in run_bare("--show-completion", "bash", **no_guess).out
    assert "--install-completion" not in run_bare("db", "--help").out
