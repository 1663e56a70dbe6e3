"""`repzone db`: the database itself."""

import typer

from repzone import shipped
from repzone.cli.database import open_server
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, print_json
from repzone.config import EMBEDDED, Settings, load
from repzone.store.engine import Schema, schema
from repzone.store.migrate import upgrade as upgrade_tables

app = typer.Typer(help="The database: bring its tables up to date, see how it is.", no_args_is_help=True)


@app.command()
def upgrade(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Make the tables, or bring them to what this repzone needs. Harmless when they are.

    Example: repzone db upgrade
    """
    settings = load(config)
    with open_server(settings) as engine:
        before = schema(engine, shipped.folder("migrations"))
        after = before if before.current else upgrade_tables(engine, shipped.folder("migrations"))
    if output is Output.json:
        print_json({"from": before.revision, "to": after.revision})
    elif before.current:
        console.print(f"The tables are up to date (revision {after.revision}).")
    else:
        console.print(f"The tables are now at revision {after.revision} (before: {before.revision or 'none'}).")


@app.command()
def status(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Say which database this is, which version, and whether its tables are up to date.

    Exit code 3 when it does not answer.

    Example: repzone db status -o json
    """
    settings = load(config)
    with open_server(settings) as engine:
        found = schema(engine, shipped.folder("migrations"))
        where = engine.url.render_as_string(hide_password=True)
    _print_status(settings, found, where, output)


def _print_status(settings: Settings, found: Schema, where: str, output: Output) -> None:
    private = settings.database_url == EMBEDDED
    if output is Output.json:
        print_json(
            {
                "url": where,
                "private": private,
                "state_dir": str(settings.state_dir) if private else None,
                "server": found.server,
                "revision": found.revision,
                "wanted": found.wanted,
                "current": found.current,
            }
        )
        return
    console.print(f"PostgreSQL {found.server}, " + (f"private, in {settings.state_dir}" if private else where))
    if found.current:
        console.print(f"[green]The tables are up to date[/] (revision {found.revision}).")
    else:
        console.print(
            f"[red]The tables are at revision {found.revision or 'none'}, {found.wanted} is needed[/]: "
            "run `repzone db upgrade`."
        )
