"""`repzone zone`: the zones that are served, and whether they answer."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from repzone.cli.accept import accept
from repzone.cli.acting import BecauseOption, act, acting, looking, said
from repzone.cli.export import export
from repzone.cli.options import ConfigOption, Output, OutputOption, complete_apex
from repzone.cli.output import console, plain, print_json, print_table, shown, table, utc
from repzone.config import load
from repzone.definitions import load_silent_zones, load_zones
from repzone.errors import RepzoneError
from repzone.store.changes import current_serial
from repzone.store.manual import load_pauses, pause_zones
from repzone.toml import format_duration
from repzone.zone.definition import Zone
from repzone.zone.texts import format_instant

app = typer.Typer(
    help="The zones: how they are defined, and whether they answer.", no_args_is_help=True, add_completion=False
)
app.command()(accept)
app.command()(export)
ApexesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="APEX", help="Zones; all unless named.", autocompletion=complete_apex)
]


@app.command("list")
def list_(config: ConfigOption = None, output: OutputOption = Output.human) -> None:
    """List the zones of the configuration: apex, kind, categories, whether they are paused, and the serial.

    Example: repzone zone list
    """
    settings = load(config)
    zones = load_zones(settings)
    with looking(settings) as (connection, _):
        pauses, serial = load_pauses(connection), current_serial(connection)
    if output is Output.json:
        for zone in zones:
            print_json(_fields(zone, pauses.get(zone.apex), serial))
        return
    made = table("!apex", "kind", "categories", "!paused since", ">serial")
    for zone in zones:
        since = pauses.get(zone.apex)
        made.add_row(
            *(zone.apex, zone.kind, ", ".join(zone.codes), format_instant(since) if since is not None else ""),
            f"{serial:,}",
            style="" if since is None else "bold red",
        )
    print_table(made)
    for apex in pauses.keys() - {zone.apex for zone in zones}:
        console.print(f"{plain(apex)} is paused, and not in the configuration.", style="yellow", markup=False)


@app.command()
def show(
    apex: Annotated[str, typer.Argument(metavar="APEX", help="The name of the zone.", autocompletion=complete_apex)],
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Show one zone with all that its file says, or leaves to the defaults.

    Example: repzone zone show bl.example.net
    """
    settings = load(config)
    zones = {zone.apex: zone for zone in load_zones(settings)}
    zone = zones[_find_apexes([apex], zones)[0]]
    with looking(settings) as (connection, _):
        since, serial = load_pauses(connection).get(zone.apex), current_serial(connection)
    if output is Output.json:
        print_json(_fields(zone, since, serial) | _definition(zone))
        return
    made = table("!key", "value")
    paused = {} if since is None else {"paused since": f"{format_instant(since)}: only test entries answer"}
    for key, value in {"apex": zone.apex, "kind": zone.kind, "serial": serial, **paused, **_definition(zone)}.items():
        for line in _lines(value):
            made.add_row(key, shown(line), style="bold red" if key == "paused since" else "")
            key = ""
    made.show_header = False
    print_table(made)


@app.command()
def pause(
    apexes: ApexesArgument = None,
    because: BecauseOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Let only the test entries answer: nobody is refused any more, within a second, and mail servers see no failure.

    What was answered before may be remembered by resolvers for the zone's ttl. Offences are counted on.

    Example: repzone zone pause --because "too many false positives since the update"
    """
    _set(apexes, because, config, output, paused=True)


@app.command()
def resume(
    apexes: ApexesArgument = None,
    because: BecauseOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.human,
) -> None:
    """Let paused zones answer again.

    Example: repzone zone resume bl.example.net
    """
    _set(apexes, because, config, output, paused=False)


def _set(apexes: Sequence[str] | None, because: str, config: Path | None, output: Output, *, paused: bool) -> None:
    configured = [zone.apex for zone in load_silent_zones(load(config))]
    with acting(config) as (connection, now):
        known = configured if paused else list(dict.fromkeys([*configured, *load_pauses(connection)]))
        wanted = _find_apexes(apexes, known) if apexes else known
        verb = "zone pause" if paused else "zone resume"
        changed = pause_zones(connection, wanted, act(now, verb, ", ".join(wanted), because), paused=paused)
    if output is Output.json:
        for apex in wanted:
            print_json({"apex": apex, "paused": paused, "changed": apex in changed})
        return
    for apex in wanted:
        already = "" if apex in changed else " already"
        does = "answers only its test entries" if paused else "answers for everybody listed"
        console.print(f"{plain(apex)} {does}{already}{said(because)}.", markup=False, soft_wrap=True)


def _find_apexes(apexes: Sequence[str], known: Collection[str]) -> list[str]:
    names = [apex.lower().removesuffix(".") for apex in apexes]
    for name in names:
        if name not in known:
            raise RepzoneError(f"there is no zone {name!r}; there are: {', '.join(known)}")
    return list(dict.fromkeys(names))


def _fields(zone: Zone, since: int | None, serial: int) -> dict[str, object]:
    paused = utc(since) if since is not None else None
    return {"apex": zone.apex, "kind": zone.kind, "categories": list(zone.codes), "paused": paused, "serial": serial}


def _definition(zone: Zone) -> dict[str, object]:
    """Give what the zone's file says, as it would be written there."""
    local, *domain = (label.decode() for label in zone.contact)
    return {
        "nameservers": [b".".join(name).decode() for name in zone.nameservers],
        "contact": f"{local}@{'.'.join(domain)}",
        "codes": dict(zone.codes),
        "ttl": format_duration(zone.ttl),
        "negative_ttl": format_duration(zone.negative_ttl),
        "url": zone.url,
        "text": {name: template.text for name, template in zone.texts.items()} or zone.allow_text.text,
        "allow_query": list(map(str, zone.allow_query)),
        "allow_transfer": list(map(str, zone.allow_transfer)),
    }


def _lines(value: object) -> list[str]:
    """Write a value of any shape, one line for each thing in it."""
    if isinstance(value, dict):
        return [f"{name}: {one}" for name, one in value.items()]
    if isinstance(value, list):
        return list(map(str, value)) or [""]
    return [str(value)]
