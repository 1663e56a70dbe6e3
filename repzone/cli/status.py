"""`repzone status`: which logs are read how far, who is listed, what is still to be done."""

from rich.markup import escape
from rich.text import Text

from repzone import shipped
from repzone.cli.database import open_server
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, counted, print_json, table, utc
from repzone.cli.wall import clock
from repzone.config import EMBEDDED, Settings, load
from repzone.store.engine import answering, require_current, schema
from repzone.store.overview import Overview, Source, load_overview
from repzone.zone.texts import format_instant, format_left

SILENT = 600
"""Seconds: who reads a log every minute, or every five, has missed at least one whole run by then."""

QUIET = 3600
"""Seconds without a new line in a log that is read: either nothing happens, or nobody writes to it any more."""


def status(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Say how far each log is read and which went silent, how many are listed, and what is still to be done.

    A log is silent when nobody has read it for ten minutes, and quiet when nothing was written to it for an hour.
    Changes nothing. Exit code 3 when the database does not answer.

    Example: repzone status -o json
    """
    settings = load(config)
    with open_server(settings) as engine:
        scripts = shipped.folder("migrations")
        require_current(engine, scripts)
        server = schema(engine, scripts).server
        now = clock()
        with answering(), engine.connect() as connection:
            overview = load_overview(connection, now)
        where = engine.url.render_as_string(hide_password=True)
    if output is Output.json:
        _print_objects(overview, settings, server, where, now)
    else:
        _print_tables(overview, settings, server, where, now)


def _is_silent(source: Source, now: int) -> bool:
    return source.seen is None or now - source.seen > SILENT


def _is_quiet(source: Source, now: int) -> bool:
    return not _is_silent(source, now) and (_lag(source, now) or 0) > QUIET


def _lag(source: Source, now: int) -> int | None:
    return max(0, now - source.logged) if source.logged is not None else None


def _print_objects(overview: Overview, settings: Settings, server: str, where: str, now: int) -> None:
    private = settings.database_url == EMBEDDED
    print_json({"what": "database", "server": server, "private": private, "url": where})
    for source in overview.sources:
        print_json(
            {
                "what": "source",
                "host": source.host,
                "path": source.path,
                "seen": utc(source.seen) if source.seen is not None else None,
                "logged": utc(source.logged) if source.logged is not None else None,
                "lag": _lag(source, now),
                "lines": source.lines,
                "silent": _is_silent(source, now),
                "quiet": _is_quiet(source, now),
            }
        )
    print_json({"what": "listings", "active": dict(overview.listings)})
    print_json({"what": "pending", "clients": overview.pending})
    print_json({"what": "waits", "open": overview.waits})
    print_json({"what": "zone", "serial": overview.serial})


def _print_tables(overview: Overview, settings: Settings, server: str, where: str, now: int) -> None:
    private = settings.database_url == EMBEDDED
    console.print(f"PostgreSQL {server}, " + (f"private, in {settings.state_dir}" if private else where), markup=False)
    if overview.sources:
        made = table("host", "log", ">last read", "newest line", ">lag", ">lines", "")
        for source in overview.sources:
            made.add_row(*_source_row(source, now))
        console.print(made)
    else:
        console.print("No log was ever read.")
    active = ", ".join(f"{category} {count:,}" for category, count in overview.listings.items())
    total = sum(overview.listings.values())
    console.print(f"{counted(total, 'active listing')}" + (f" ({active})" if active else "") + ".")
    console.print(
        f"{counted(overview.pending, 'client')} to be decided, {counted(overview.waits, 'greylisted letter')} waited "
        f"for, zones at serial {overview.serial}."
    )


def _source_row(source: Source, now: int) -> tuple[str | Text, ...]:
    state, style = "", ""
    if _is_silent(source, now):
        state, style = "silent", "red"
    elif _is_quiet(source, now):
        state, style = "quiet", "yellow"
    read = f"{format_left(max(0, now - source.seen))} ago" if source.seen is not None else "never"
    newest = format_instant(source.logged) if source.logged is not None else ""
    lag = _lag(source, now)
    return (
        *(escape(source.host), escape(source.path), Text(read, style=style)),
        *(newest, format_left(lag) if lag is not None else ""),
        *(f"{source.lines:,}", Text(state, style=style)),
    )
