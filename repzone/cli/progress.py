"""What a long run has done so far in; a bar with lines/s and the time left on a terminal, nothing elsewhere, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from repzone.cli.output import errors, plain
from repzone.jobs import intake


class _Description(ProgressColumn):
    """What is read or done, cut short where there is no room."""

    def render(self, task: Task) -> Text:
        """Write it as it is: a file may be called `[bold]` or `:skull:`."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Speed(ProgressColumn):
    """Lines a second."""

    def render(self, task: Task) -> Text:
        """Write the mean speed so far."""
        elapsed = task.elapsed or 0.0
        return Text(f"{task.fields['lines'] / elapsed:,.0f} lines/s" if elapsed > 0 else "")


@contextmanager
def progress_bars() -> Iterator[intake.Progress]:
    """Give what shows the progress of each file that is read; of standard input the length is not known."""
    # On a narrow terminal name and bar are shorter, and numbers keep to their line.
    numbers = [kind(table_column=Column(no_wrap=True)) for kind in (DownloadColumn, _Speed, TimeRemainingColumn)]
    columns = (_Description(), BarColumn(), *numbers)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        tasks = {}
        before = {}

        def show(file: Path, done: int, octets: int, lines: int) -> None:
            if file not in tasks:
                before[file] = lines  # of the files before, and of the first block
                tasks[file] = bars.add_task(plain(str(file)), total=octets or None, lines=0)
            bars.update(tasks[file], completed=done, total=octets or None, lines=lines - before[file])

        yield show


@contextmanager
def event_bar() -> Iterator[Callable[[int, int], None]]:
    """Give what shows how many stored events of how many are done; before the first the database sorts them."""
    with _count_bar("sorting", "replaying", "events") as show:
        yield show


@contextmanager
def line_bar() -> Iterator[Callable[[int, int], None]]:
    """Give what shows how many lines are written; before the first the database is read."""
    with _count_bar("reading", "writing", "lines") as show:
        yield show


@contextmanager
def lift_bar() -> Iterator[Callable[[int, int], None]]:
    """Give what shows how many listings of how many are lifted."""
    with _count_bar("exempting", "lifting", "listings") as show:
        yield show


@contextmanager
def _count_bar(first: str, then: str, noun: str) -> Iterator[Callable[[int, int], None]]:
    columns = (_Description(), BarColumn(), TextColumn(f"{{task.completed:,.0f}} {noun}"))
    # What is written meanwhile goes where it should, not above the bar.
    with Progress(
        *columns, console=errors, transient=True, disable=not errors.is_terminal, redirect_stdout=False
    ) as bar:
        task = bar.add_task(first, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, description=then, completed=done, total=total or None)

        yield show
