"""What strangers and operators write is shown as it was written, by every command that shows it."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tests.cli.hostile import WORDS, is_harmless


@pytest.fixture
def acted(run: Run) -> Run:
    """Runs commands on a database with a ban and an exemption that were given for hostile words."""
    assert is_harmless(run("ban", "192.0.2.1", "--reason", WORDS).out)
    assert is_harmless(run("allow", "add", "198.51.100.0/24", "--comment", WORDS).out)
    return run


@pytest.mark.parametrize(
    "words",
    [
        ("audit",),
        ("allow", "list"),
        ("allow", "add", "198.51.100.7", "--comment", "x"),
        ("allow", "import", "-", "--comment", WORDS),
        ("check", "192.0.2.1"),
        ("check", "198.51.100.1"),
        ("explain", "192.0.2.1"),
        ("explain", "198.51.100.1"),
        ("listings",),
        ("zone", "pause", "--reason", WORDS),
    ],
    ids=lambda words: " ".join(word for word in words if word != WORDS),
)
def test_no_words_of_an_act_are_obeyed_or_changed(acted: Run, words: tuple[str, ...]) -> None:
    wanted = {"allow import -": "allow list"}.get(" ".join(words[:3]))
    shown = acted(*words, text="203.0.113.1\n")
    if wanted:
        acted("allow", "remove", "198.51.100.0/24")
        shown = acted(*wanted.split())
    assert is_harmless(shown.out), shown.out
    assert shown.code == 0


def test_an_error_that_quotes_them_is_one_line_that_moves_nothing(acted: Run) -> None:
    done = acted("ban", "198.51.100.1", "--reason", "x")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert is_harmless(done.err)


@pytest.mark.parametrize("words", [("listings",), ("allow", "list"), ("audit",)], ids=lambda words: " ".join(words))
def test_a_narrow_terminal_breaks_lines_and_cuts_no_address_short(acted: Run, words: tuple[str, ...]) -> None:
    shown = acted(*words, COLUMNS="30").out
    assert "192.0.2.1 " in shown or "198.51.100.0/24 " in shown
    assert 30 < max(map(len, shown.splitlines()[:2])) < 100
