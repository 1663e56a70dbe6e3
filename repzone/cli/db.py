"""`repzone db`: the database itself."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import structlog
import typer

from repzone import shipped
from repzone.cli.database import open_database, open_server
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, counted, print_json, replaceable, set_up_logging
from repzone.cli.signals import end_as_interrupted
from repzone.cli.wall import clock
from repzone.config import EMBEDDED, Settings, load
from repzone.errors import RepzoneError
from repzone.jobs import sweep
from repzone.serve.notify import notify
from repzone.store import client
from repzone.store.embedded import hold, running
from repzone.store.engine import Schema, answering, schema
from repzone.store.migrate import upgrade as upgrade_tables
from repzone.store.reader import make_reader

app = typer.Typer(
    help="The database: bring its tables up to date, see how it is, keep it small, save it.",
    no_args_is_help=True,
    add_completion=False,
)
log = structlog.get_logger()


@app.command()
def upgrade(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Make the tables, or bring them to what this repzone needs. Harmless when they are.

    Example: repzone db upgrade
    """
    settings = load(config)
    with open_server(settings) as engine:
        client.recover(engine)
        before = schema(engine, shipped.folder("migrations"))
        after = upgrade_tables(engine, shipped.folder("migrations"))  # at head too: it renews what the page may read
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


@app.command()
def prune(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is old, and drop nothing.")] = False,
) -> None:
    """Drop what is older than event_retention and listing_retention say; ingestion goes on meanwhile.

    Needed by nobody but the impatient: ingest, calculate and run do it once a day by themselves.

    Example: repzone db prune --dry-run
    """
    settings = load(config)
    with open_database(settings, clock) as engine:
        if not dry_run:
            sweep.expire_ended(engine, clock)
        pruned = sweep.prune(engine, clock, sweep.Retention.of(settings), dry_run=dry_run)
    if output is Output.json:
        print_json(_pruned_fields(pruned, dry_run=dry_run))
    else:
        _print_pruned(pruned, dry_run=dry_run)
    if pruned.left:
        raise typer.Exit(1)


def _pruned_fields(pruned: sweep.Pruned, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "busy": pruned.busy,
        "days": [day.isoformat() for day in sorted(pruned.days)],
        "octets": pruned.octets,
        "rows": dict(pruned.rows),
        "needed": [day.isoformat() for day in sorted(pruned.needed)],
        "left": pruned.left,
    }


def _print_pruned(pruned: sweep.Pruned, *, dry_run: bool) -> None:
    if pruned.busy:
        console.print("Another repzone is pruning just now; left to it.")
        return
    verb = "Would drop" if dry_run else "Dropped"
    days = sorted(pruned.days)
    span = f" ({days[0]} to {days[-1]}, {pruned.octets / 1e6:,.1f} MB)" if days else ""
    rows = ", ".join(f"{table} {number:,}" for table, number in pruned.rows.items() if number)
    console.print(f"{verb} {counted(len(days), 'day')} of events{span}; rows of tables: {rows or 'none'}.")
    if pruned.needed:
        console.print(
            f"Kept {counted(len(pruned.needed), 'old day')}: clients wait for a decision; run `repzone calculate`."
        )
    if pruned.left:
        console.print(f"[yellow]Somebody stands in the way of {', '.join(pruned.left)}[/]: run it again later.")


FileArgument = Annotated[str, typer.Argument(metavar="FILE|-", help="The dump; - is standard output.")]


@app.command()
def dump(file: FileArgument, config: ConfigOption = None) -> None:
    """Save the whole database to a file, in pg_dump's custom format; repzone goes on meanwhile.

    Works whatever version made the tables, also before an upgrade.

    Example: repzone db dump /var/backups/repzone.dump
    """
    settings = load(config)
    to = None if file == "-" else replaceable(Path(file).absolute())
    with open_server(settings) as engine:
        client.dump(engine, settings.postgres_bin_dir, to)
    if to is not None:
        console.print(f"Saved to {file} ({to.stat().st_size / 1e6:,.1f} MB).", markup=False, soft_wrap=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `repzone db dump` wrote.")],
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the tables that are there.")] = False,
) -> None:
    """Read a dump into an empty database; with --yes into one that has tables, which then are gone.

    Stop everything else that uses the database before. A dump that is no good leaves all as it was.

    Example: repzone db restore /var/backups/repzone.dump
    """
    settings = load(config)
    end_as_interrupted()
    with open_server(settings) as engine:
        client.restore(engine, settings.postgres_bin_dir, file, replace=yes)
        found = schema(engine, shipped.folder("migrations"))
        if found.current:  # else `db upgrade` does it: a dump has no privileges
            with answering(), engine.begin() as connection:
                make_reader(connection)
    more = "" if found.current else f", {found.wanted} is needed: run `repzone db upgrade`"
    console.print(f"Restored from {file}; the tables are at revision {found.revision}{more}.", soft_wrap=True)


@app.command()
def shell(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PSQL-OPTION...]", help="What psql is to be told.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open psql on the database; its exit code is ours.

    Example: repzone db shell -- -c 'TABLE act'
    """
    settings = load(config)
    with open_server(settings) as engine:
        code = client.shell(engine, settings.postgres_bin_dir, arguments or ())
    raise typer.Exit(code)


@app.command()
def run(config: ConfigOption = None) -> None:
    """Keep the private PostgreSQL running until SIGTERM or Ctrl-C, for systemd; started again if it dies.

    Others use it as ever. It ends with this command unless somebody still does.

    Example: repzone db run
    """
    set_up_logging(quiet=False)
    settings = load(config)
    if settings.database_url != EMBEDDED:
        raise RepzoneError("database_url names a server of your own: there is no private PostgreSQL to run")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with running(settings.state_dir, settings.postgres_bin_dir):
        notify("READY=1")
        log.info("db.running", state_dir=str(settings.state_dir))
        hold(settings.state_dir, stopped, settings.postgres_bin_dir)
        notify("STOPPING=1")
    log.info("db.stopped")
