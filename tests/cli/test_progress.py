"""The bar of a long run: on a terminal it says how fast and how long yet, elsewhere nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from repzone.cli import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_with_speed_and_time_left_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    monkeypatch.setattr(progress, "errors", console)
    with progress.progress_bars() as show:
        show(Path("mail.log"), 1_000, 4_000, 10)
        show(Path("mail.log"), 2_000, 4_000, 500_000)
        show(Path(":skull:[b].log"), 1, 2, 500_001)
    assert ("mail.log" in screen.getvalue()) == terminal
    assert ("lines/s" in screen.getvalue()) == terminal
    assert ("2.0/4.0 kB" in screen.getvalue()) == terminal
    assert (":skull:[b].log" in screen.getvalue()) == terminal
    assert terminal or screen.getvalue() == ""


@pytest.mark.parametrize("name", ["mail.log", "/srv/logs of/the mail servers/mail.log"])
def test_on_a_narrow_terminal_numbers_stay_on_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "errors", Console(file=screen, force_terminal=True, width=60))
    with progress.progress_bars() as show:
        show(Path(name), 100_000_000, 400_000_000, 10)
        show(Path(name), 200_000_000, 400_000_000, 5_000_000)
    *_, last = (line for line in screen.getvalue().splitlines() if "lines/s" in line)
    assert "200.0/400.0 MB" in Text.from_ansi(last).plain
    assert len(Text.from_ansi(last.replace("\r", "")).plain) <= 60
