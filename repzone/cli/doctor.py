"""`repzone doctor`: what is wrong with this installation, and the command that mends it."""

from collections.abc import Iterator
from contextlib import ExitStack

import typer

from repzone.cli.database import open_server
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, print_json
from repzone.cli.wall import clock
from repzone.config import Settings, load
from repzone.definitions import load_policy, load_zones
from repzone.errors import ConfigError, RepzoneError, UnavailableError
from repzone.jobs import doctor as jobs
from repzone.jobs.doctor import Case, Check, Finding, Level
from repzone.jobs.postfix import check_postfix
from repzone.serve import doctor as serve
from repzone.store.engine import Engine
from repzone.zone.definition import Zone

CHECKS: tuple[Check, ...] = (
    jobs.check_tables,
    jobs.check_clock,
    jobs.check_room,
    jobs.check_sources,
    jobs.check_brake,
    jobs.check_pauses,
    jobs.check_core,
    jobs.check_contact,
    serve.check_ports,
    serve.check_answers,
    serve.check_resolver,
    check_postfix,
)
"""Every check, in the order in which things depend on each other."""


def doctor(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Examine everything that must be right for mail servers to get right answers, and say what mends it.

    Changes nothing. Exit code 0 when all is well, or only warned of, 1 when something is wrong.

    Example: repzone doctor -o json
    """
    settings = load(config)
    levels: set[Level] = set()
    for finding in _examine(settings):
        levels.add(finding.level)
        _print(finding, output)
    if output is Output.human:
        console.print(_VERDICTS[next(level for level in _VERDICTS if level in levels)])
    raise typer.Exit(int("wrong" in levels))


def _examine(settings: Settings) -> Iterator[Finding]:
    """Read what the files say, open the database if it can be, and make every check."""
    zones: list[Zone] = []
    try:
        load_policy(settings)
        yield Finding("policy", "right", "parses")
        zones = load_zones(settings)
        yield Finding("zones", "right", f"parse: {', '.join(zone.apex for zone in zones)}")
    except ConfigError as error:
        yield Finding("files", "wrong", str(error), f"edit {error.where}")
    engine: Engine | None = None
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(open_server(settings))
        except RepzoneError as error:
            yield Finding("database", "wrong", str(error), _MEND)
        for check in CHECKS:
            try:
                yield from check(Case(settings, zones, engine, clock))
            except UnavailableError as error:
                engine = None  # the others need not ask it again
                yield Finding("database", "wrong", str(error), _MEND)


_MEND = "repzone init makes a private one; systemctl start postgresql, or set database_url, for one of your own"

_VERDICTS: dict[Level, str] = {
    "wrong": "[bold red]Something is wrong.[/]",
    "warning": "[yellow]Nothing is wrong, but read the warnings.[/]",
    "right": "[green]All is well.[/]",
}
_MARKS = {"right": "[green]right[/]  ", "warning": "[yellow]warning[/]", "wrong": "[bold red]wrong[/]  "}


def _print(finding: Finding, output: Output) -> None:
    if output is Output.json:
        print_json({"check": finding.check, "level": finding.level, "what": finding.what, "mend": finding.mend or None})
        return
    console.print(f"{_MARKS[finding.level]} [bold]{finding.check}[/]: ", end="")
    console.print(finding.what, markup=False, soft_wrap=True)
    if finding.mend:
        console.print(f"        → {finding.mend}", markup=False, soft_wrap=True)
