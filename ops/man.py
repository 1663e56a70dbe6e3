"""The commands with their help in, a manual page for each out: `python -m ops.man build/man`.

The pages say what `--help` says, in man(7)'s language: repzone.1, repzone-ingest.1, repzone-db-prune.1 and so on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from repzone import __version__
from repzone.cli.main import app

ENVIRONMENT = """\
Every key of the configuration can be set by a variable, which then beats the file: REPZONE_DATABASE_URL,
REPZONE_STATE_DIR, REPZONE_LOGS, REPZONE_DNS_LISTEN and so on; lists are comma separated."""

FILES = (
    ("/etc/repzone/repzone.toml", "The configuration, unless --config names another or there is a repzone.toml here."),
    ("/etc/repzone/policy.toml", "What offences cost."),
    ("/etc/repzone/zones/*.toml", "The zones that are answered for."),
)

EXIT = (
    ("0", "All went well."),
    ("1", "Something went wrong; the message says what, and the way out."),
    ("2", "The command line cannot be meant."),
    ("3", "The database or a server cannot be reached."),
    ("78", "A configuration, zone or policy file cannot be used."),
)


class Page(NamedTuple):
    """A command by its words, as `repzone db prune`, and the text of its page."""

    words: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        """The page's file."""
        return f"{'-'.join(self.words)}.1"


def pages() -> Iterator[Page]:
    """Give the page of every command that is not hidden, the groups' before their commands'."""
    root = typer.main.get_command(app)
    with typer.Context(root, info_name="repzone") as context:
        yield from _pages(root, context, ("repzone",))  # type: ignore[arg-type]


def _pages(command: TyperCommand | TyperGroup, context: typer.Context, words: tuple[str, ...]) -> Iterator[Page]:
    below: list[tuple[str, TyperCommand | TyperGroup]] = []
    if isinstance(command, TyperGroup):
        found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
        below = [(name, one) for name, one in found if one is not None and not one.hidden]  # type: ignore[misc]
    yield Page(words, "".join(_lines(command, context, words, below)))
    for name, one in below:
        with typer.Context(one, info_name=name, parent=context) as inner:
            yield from _pages(one, inner, (*words, name))  # type: ignore[arg-type]


def _lines(
    command: TyperCommand | TyperGroup,
    context: typer.Context,
    words: tuple[str, ...],
    below: list[tuple[str, TyperCommand | TyperGroup]],
) -> Iterator[str]:
    first, *paragraphs = _paragraphs(command)
    page = "-".join(words)
    yield f'.TH {_escape(page.upper())} 1 "" "repzone {__version__}" "repzone"\n'
    yield f".SH NAME\n{_escape(page)} \\- {_escape(_summary(command))}\n"
    yield f".SH SYNOPSIS\n.B {_escape(' '.join(words))}\n{_escape(' '.join(command.collect_usage_pieces(context)))}\n"
    told = [text for text in (first, *paragraphs) if not text.startswith("Example:")]
    yield ".SH DESCRIPTION\n" + ".PP\n".join(f"{_escape(text)}\n" for text in told)
    if below:
        yield ".SH COMMANDS\n"
        for name, one in below:
            yield from _item(f"{page}-{name}(1)", _summary(one))
    yield from _options(command, context)
    examples = [text.removeprefix("Example:").strip() for text in paragraphs if text.startswith("Example:")]
    if examples:
        yield ".SH EXAMPLES\n.nf\n" + "".join(f"{_escape(text)}\n" for text in examples) + ".fi\n"
    if len(words) == 1:
        yield f".SH ENVIRONMENT\n{_escape(ENVIRONMENT)}\n.SH FILES\n"
        yield from (line for path, text in FILES for line in _item(path, text))
    yield ".SH EXIT STATUS\n"
    yield from (line for code, text in EXIT for line in _item(code, text))
    if len(words) > 1:
        yield f".SH SEE ALSO\n.BR {_escape('-'.join(words[:-1]))} (1)\n"


def _options(command: TyperCommand | TyperGroup, context: typer.Context) -> Iterator[str]:
    records = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    if records:
        yield ".SH OPTIONS\n"
        yield from (line for head, text in records for line in _item(head, text))


def _item(head: str, text: str) -> Iterator[str]:
    yield f".TP\n.B {_escape(head)}\n{_escape(text) or 'As it says.'}\n"


def _paragraphs(command: TyperCommand | TyperGroup) -> list[str]:
    return [" ".join(text.split()) for text in (command.help or "").split("\n\n")]


def _summary(command: TyperCommand | TyperGroup) -> str:
    """Give the first sentence, as whatis(1) wants it: without its full stop."""
    return _paragraphs(command)[0].partition(". ")[0].rstrip(".")


def _escape(text: str) -> str:
    """Write text so that man(7) takes it for nothing else: `-` as people type it, no line that is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.splitlines())


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        (folder / page.name).write_text(page.text, "utf-8")


if __name__ == "__main__":
    main()
