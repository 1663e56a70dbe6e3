"""What a long run has done so far in; a bar with lines/s and the time left on a terminal, nothing elsewhere, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from repzone.cli.output import errors
from repzone.jobs import intake


class _Speed(ProgressColumn):
    """Lines a second."""

    def render(self, task: Task) -> Text:
        """Write the mean speed so far."""
        elapsed = task.elapsed or 0.0
        return Text(f"{task.fields['lines'] / elapsed:,.0f} lines/s" if elapsed > 0 else "")


@contextmanager
def progress_bars() -> Iterator[intake.Progress]:
    """Give what shows the progress of each file that is read; of standard input the length is not known."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        tasks = {}
        before = {}

        def show(file: Path, done: int, octets: int, lines: int) -> None:
            if file not in tasks:
                before[file] = lines  # of the files before, and of the first block
                tasks[file] = bars.add_task(escape(str(file)), total=octets or None, lines=0)
            bars.update(tasks[file], completed=done, total=octets or None, lines=lines - before[file])

        yield show


@contextmanager
def event_bar() -> Iterator[Callable[[int, int], None]]:
    """Give what shows how many stored events of how many are done; before the first the database sorts them."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} events"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("sorting", total=None)

        def show(done: int, events: int) -> None:
            bar.update(task, description="replaying", completed=done, total=events or None)

        yield show
