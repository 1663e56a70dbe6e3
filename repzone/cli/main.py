"""`repzone`: every command under one roof; an error that the operator can mend is one line and an exit code."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from repzone import __version__
from repzone.cli.output import set_up_logging
from repzone.errors import RepzoneError

COMMANDS = {
    "init": "repzone.cli.init:init",
    "demo": "repzone.cli.demo:demo",
    "parse": "repzone.cli.parse:parse",
    "ingest": "repzone.cli.ingest:ingest",
    "calculate": "repzone.cli.calculate:calculate",
    "policy": "repzone.cli.policy:app",
    "rebuild": "repzone.cli.rebuild:rebuild",
    "purge": "repzone.cli.purge:purge",
    "serve": "repzone.cli.serve:app",
    "run": "repzone.cli.run:run",
    "check": "repzone.cli.check:check",
    "explain": "repzone.cli.explain:explain",
    "listings": "repzone.cli.listings:listings",
    "status": "repzone.cli.status:status",
    "ban": "repzone.cli.ban:ban",
    "unban": "repzone.cli.unban:unban",
    "allow": "repzone.cli.allow:app",
    "held": "repzone.cli.held:app",
    "zone": "repzone.cli.zone:app",
    "audit": "repzone.cli.audit:audit",
    "stats": "repzone.cli.stats:stats",
    "doctor": "repzone.cli.doctor:doctor",
    "db": "repzone.cli.db:app",
    "version": "repzone.cli.version:version",
}
"""Name of a command, and where it is: a function, or the Typer of a group."""


class Commands(TyperGroup):
    """Loads a command when it is called: `repzone check` need not wait for what only `repzone demo` imports."""

    def __init__(self, **settings: Any) -> None:
        """Know the names, so that a typo is told what it may have meant."""
        super().__init__(**settings)
        self.commands.update(dict.fromkeys(COMMANDS))  # type: ignore[arg-type]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        """Give the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = found
        else:
            group = typer.Typer(add_completion=False)
            group.command()(found)
        command: TyperCommand | TyperGroup = typer.main.get_command(group)  # type: ignore[assignment]
        command.name = cmd_name
        _join_lines(command)
        return command

    def resolve_command(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        """Give the command that is to be run, with the log going where a command's goes."""
        found = super().resolve_command(ctx, args)
        if "structlog" in sys.modules:  # it takes long to import: a command that logs nothing need not wait for it
            set_up_logging(quiet=True)
        return found  # type: ignore[return-value]


def _join_lines(command: TyperCommand | TyperGroup) -> None:
    """Let a paragraph of help be one line, which the terminal breaks: the source breaks it elsewhere."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for one in getattr(command, "commands", {}).values():
        _join_lines(one)


app = typer.Typer(
    cls=Commands,
    name="repzone",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"repzone {__version__}. Exit codes: 0, 1 error, 2 usage, 3 not reachable, 78 bad configuration.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"repzone {__version__}")
        raise typer.Exit


@app.callback()
def repzone(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """A private DNS block list that your own mail servers feed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 error, 2 usage, 3 not reachable, 78 bad configuration."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None) -> int:
    """Run the command line and give its exit code."""
    try:
        code = app(args=arguments, prog_name="repzone", standalone_mode=False)
        sys.stdout.flush()
    except RepzoneError as error:
        print(f"repzone: {_plain(str(error))}", file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", None) or "repzone"
        said = error.format_message().replace("Value error, ", "")
        if said:  # nothing is said where the help was shown already, as no command was named
            print(f"{where}: {_plain(said)}", f"Try `{where} --help`.", sep="\n", file=sys.stderr)
        return error.exit_code
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # `repzone listings | head`
        _drop_output()
        return 0
    except SystemExit as leave:
        if not isinstance(leave.__context__, BrokenPipeError):
            raise
        _drop_output()  # as above, noticed by Rich or Typer first
        return 0
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        _drop_output()
        print(f"repzone: standard output cannot be written: {error.strerror}", file=sys.stderr)
        return RepzoneError.exit_code
    return code if isinstance(code, int) else 0


def _plain(text: str) -> str:
    """Write an error, which may quote a stranger, as one line that moves nothing on a terminal."""
    from repzone.cli.output import plain

    return plain(text)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _drop_output() -> None:
    """Let what is still to be written go nowhere, so that Python's own last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
