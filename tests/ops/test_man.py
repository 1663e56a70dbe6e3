"""Every command has help with an example, and a manual page that man and mandoc take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ops.man import Page, main, pages
from repzone.cli.main import COMMANDS
from tests.fix_db import missing

PAGES = list(pages())
NAMES = {page.name for page in PAGES}
GROUPS = {page.words for page in PAGES if any(other.words[:-1] == page.words for other in PAGES)}


def test_every_command_has_a_page() -> None:
    assert "repzone.1" in NAMES
    assert {f"repzone-{name}.1" for name in COMMANDS} <= NAMES
    assert "repzone-db-prune.1" in NAMES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_the_command_does_with_which_options_and_an_example(page: Page) -> None:
    headings = [line.removeprefix(".SH ") for line in page.text.splitlines() if line.startswith(".SH ")]
    assert headings[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    alone = page.words not in GROUPS or page.words == ("repzone", "serve")  # which does something by itself, too
    assert ("EXAMPLES" in headings) == alone
    assert "As it says." not in page.text, "an option or argument has no help"


def test_mandoc_and_man_take_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("mandoc") is None:
        missing("mandoc", "mandoc")
    monkeypatch.setattr("sys.argv", ["ops.man", str(tmp_path / "man")])
    main()
    files = sorted(map(str, (tmp_path / "man").iterdir()))
    assert {Path(file).name for file in files} == NAMES
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *files], capture_output=True, text=True)
    assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []
    if shutil.which("man"):
        shown = subprocess.run(["man", "--warnings", "-l", files[0]], capture_output=True, text=True)
        assert (shown.returncode, shown.stderr) == (0, "")
