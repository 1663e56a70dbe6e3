"""`repzone status`: which logs are read how far, who is listed, what is still to be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from repzone import __version__, shipped
from repzone.cli.database import open_server
from repzone.cli.options import ConfigOption, Output, OutputOption
from repzone.cli.output import console, counted, plain, print_indented, print_json, print_table, shown, table, utc
from repzone.cli.wall import clock
from repzone.config import EMBEDDED, Settings, load
from repzone.definitions import load_zones
from repzone.errors import ConfigError
from repzone.fastpath import COMPILED
from repzone.jobs.rotation import live_path
from repzone.jobs.source import describe_ahead
from repzone.store.engine import answering, require_current, schema
from repzone.store.overview import Overview, Source, Standing, load_overview
from repzone.zone.definition import Zone
from repzone.zone.texts import format_instant, format_left, format_span

OVERDUE = 300
"""Seconds that clients wait for a decision until somebody has to look: cron comes every few minutes."""

STYLES: Mapping[Standing, str] = {"silent": "bold red", "quiet": "yellow", "once": "dim", "fine": ""}


@dataclass(frozen=True, slots=True)
class State:
    """All that is shown; `fault` says why there are no zones."""

    overview: Overview
    standings: Mapping[Source, Standing]
    settings: Settings
    zones: tuple[Zone, ...]
    fault: str
    server: str
    url: str
    now: int


def status(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """Say on one screen how everything stands; what is bad is red.

    A log is silent when nobody has read it for ten minutes, and quiet when nothing was written to it for an hour. A
    file that is neither configured nor read again and again came once, and is not missed. Changes nothing. Exit code
    0 whatever is said, 3 when the database does not answer.

    Example: repzone status -o json
    """
    settings = load(config)
    zones, fault = _load_zones(settings)
    with open_server(settings) as engine:
        scripts = shipped.folder("migrations")
        require_current(engine, scripts)
        server = schema(engine, scripts).server
        now = clock()
        with answering(), engine.connect() as connection:
            overview = load_overview(connection, now)
        url = engine.url.render_as_string(hide_password=True)
    configured = {str(live_path(Path(name).resolve())) for name in settings.logs}
    standings = {
        one: one.standing(now, configured=one.host == settings.host and one.path in configured)
        for one in overview.sources
    }
    state = State(overview, standings, settings, zones, fault, server, url, now)
    if output is Output.json:
        _print_objects(state)
    else:
        _print(state)


def _load_zones(settings: Settings) -> tuple[tuple[Zone, ...], str]:
    """Give the zones, or none and what is wrong with them: the rest is to be seen all the same."""
    try:
        return tuple(load_zones(settings)), ""
    except ConfigError as error:
        return (), str(error)


def _print_objects(state: State) -> None:
    overview, now = state.overview, state.now
    private = state.settings.database_url == EMBEDDED
    print_json({"what": "version", "version": __version__, "compiled": COMPILED})
    print_json({"what": "database", "server": state.server, "private": private, "url": state.url})
    for source, standing in state.standings.items():
        print_json(
            {
                "what": "source",
                "host": source.host,
                "path": source.path,
                "seen": utc(source.seen) if source.seen is not None else None,
                "logged": utc(source.logged) if source.logged is not None else None,
                "lag": source.lag(now),
                "ahead": source.ahead(now),
                "lines": source.lines,
                "silent": standing == "silent",
                "quiet": standing == "quiet",
                "once": standing == "once",
            }
        )
    listings = {"active": dict(overview.listings), "held": dict(overview.held), "shadow": dict(overview.shadow)}
    print_json({"what": "listings", **listings, "spared": dict(overview.spared), "hits": overview.hits})
    waiting = utc(overview.waiting) if overview.waiting is not None else None
    print_json({"what": "pending", "clients": overview.pending, "since": waiting})
    print_json({"what": "waits", "open": overview.waits})
    for zone in state.zones:
        since = overview.paused.get(zone.apex)
        paused = utc(since) if since is not None else None
        print_json({"what": "zone", "apex": zone.apex, "kind": zone.kind, "serial": overview.serial, "paused": paused})
    if state.fault:
        print_json({"what": "fault", "text": state.fault})


def _print(state: State) -> None:
    compiled = "with the compiled core" if COMPILED else "[yellow]without the compiled core: slower[/]"
    console.print(f"repzone {__version__}, {compiled}")
    private = state.settings.database_url == EMBEDDED
    where = f"private, in {state.settings.state_dir}" if private else state.url
    console.print(Text.assemble(f"PostgreSQL {state.server}, ", plain(where)), soft_wrap=True)
    console.print()
    _print_sources(state)
    _print_listings(state)
    _print_pending(state.overview, state.now)
    _print_zones(state)


def _print_sources(state: State) -> None:
    if not state.standings:
        console.print("No log was ever read.", style="red" if state.settings.logs else "")
        return
    made = table("!host", "log", ">last read", "!newest line", ">lag", ">lines", "!")
    order: tuple[Standing, ...] = ("silent", "quiet", "fine", "once")
    for source, standing in sorted(state.standings.items(), key=lambda pair: order.index(pair[1])):
        made.add_row(*_source_row(source, standing, state.now))
    print_table(made, ("lines", "newest line"))
    for source in state.standings:
        if ahead := describe_ahead(source.newest, state.now):
            print_indented(shown(f"{source.host} {source.path}: {ahead}", "bold red"), 0)


def _source_row(source: Source, standing: Standing, now: int) -> tuple[str | Text, ...]:
    style = STYLES[standing]
    lag = source.lag(now)
    read = f"{format_left(max(0, now - source.seen))} ago" if source.seen is not None else "never"
    ahead = source.ahead(now)
    logged = source.newest if ahead else source.logged
    behind = format_left(lag) if lag is not None and standing != "once" else ""
    return (
        *(shown(source.host), shown(source.path), Text("now" if source.held else read, style=style)),
        format_instant(logged) if logged is not None else "",
        Text("ahead", style="bold red") if ahead else behind,
        *(f"{source.lines:,}", Text("" if standing == "fine" else standing, style=style)),
    )


def _by_category(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{category} {count:,}" for category, count in counts.items())


def _print_listings(state: State) -> None:
    overview = state.overview
    total = sum(overview.listings.values())
    active = f" ({_by_category(overview.listings)})" if total else ""
    console.print(f"\n[bold]{counted(total, 'active listing')}[/]{active}.")
    if overview.held:
        held = f"{counted(sum(overview.held.values()), 'listing')} held ({_by_category(overview.held)})"
        console.print(f"[bold red]{held}: more began at once than the policy allows.[/] See `repzone held list`.")
    if overview.shadow:
        console.print(
            f"{counted(sum(overview.shadow.values()), 'listing')} in shadow ({_by_category(overview.shadow)})."
        )
    spared = sum(overview.spared.values())
    console.print(
        f"In the last day {counted(overview.hits, 'mail')} refused, {counted(spared, 'client')} spared for clean mail"
        + (f" ({_by_category(overview.spared)})." if spared else ".")
    )


def _print_pending(overview: Overview, now: int) -> None:
    waited = now - overview.waiting if overview.waiting is not None else 0
    decided = f"{counted(overview.pending, 'client')} to be decided"
    if waited > OVERDUE:
        decided = f"[bold red]{decided}, for {format_span(waited)} already[/] (`repzone calculate`)"
    console.print(f"{decided}, {counted(overview.waits, 'greylisted letter')} waited for.")


def _print_zones(state: State) -> None:
    console.print()
    if state.fault:
        console.print(Text(f"The zones cannot be read: {plain(state.fault)}", style="bold red"), soft_wrap=True)
    for zone in state.zones:
        since = state.overview.paused.get(zone.apex)
        line = f"{zone.apex} ({zone.kind} zone), serial {state.overview.serial:,}"
        if since is None:
            console.print(f"{line}.")
        else:
            paused = f"paused since {format_instant(since)}: only test entries answer"
            console.print(f"{line}, [bold red]{paused}[/] (`repzone zone resume {zone.apex}`).", soft_wrap=True)
