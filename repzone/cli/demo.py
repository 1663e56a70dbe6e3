"""`repzone demo`: the whole path at once, on the log that ships, in a throw-away folder."""

import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from repzone import shipped
from repzone.cli.database import open_server, prepare
from repzone.cli.output import console, counted, errors, print_table, table
from repzone.cli.parse import Format, reader_maker
from repzone.cli.serve import Served, following, listen_addresses, stop_event
from repzone.cli.signals import end_as_interrupted
from repzone.cli.wall import clock
from repzone.cli.web import WebService
from repzone.config import NAME, Settings, load
from repzone.definitions import load_zones
from repzone.jobs import calculate
from repzone.jobs.demo import LOG, NEVER, Verdict, an_address, last_instant, qname, shifted, verify
from repzone.jobs.ingest import Ingestion
from repzone.jobs.refresh import refresh
from repzone.model import Listing
from repzone.serve.bind import format_address
from repzone.serve.client import ask
from repzone.serve.dns import DnsServer
from repzone.store.engine import Engine, answering
from repzone.store.find import find_listings
from repzone.store.migrate import upgrade
from repzone.web.run import Bound
from repzone.zone.definition import Zone, arrange
from repzone.zone.texts import format_instant, format_left, ordinal

LISTEN = "127.0.0.1:5300"
WEB_LISTEN = "127.0.0.1:8053"
CONFIG = """\
# The demo's configuration; the folder is removed when the demo ends.
database_url = "embedded"
state_dir = "state"
zones_dir = "zones"
dns_listen = ["{listen}"]
web_listen = ["{web_listen}"]

[operator]
name = "example.net"
contact = "postmaster@example.net"
abuse = "abuse@example.net"
"""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Check every answer, print the table, end with 0 or 1.")] = False,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="ADDRESS:PORT", help=f"Where to answer; {LISTEN}, with --once any free port."),
    ] = None,
    web_listen: Annotated[
        str | None,
        typer.Option("--web-listen", metavar="ADDRESS:PORT", help=f"Where the page is; {WEB_LISTEN}. Not with --once."),
    ] = None,
) -> None:
    """Show everything at once: a log of four days goes in, a DNS block list comes out.

    Needs no configuration and touches nothing of yours: database and all live in a throw-away folder.

    Example: repzone demo
    """
    with _folder() as folder:
        (folder / "zones").mkdir()
        shutil.copy(shipped.folder("zones") / "bl.toml", folder / "zones")
        file = folder / NAME
        text = CONFIG.format(listen=listen or ("127.0.0.1:0" if once else LISTEN), web_listen=web_listen or WEB_LISTEN)
        file.write_text(text, "utf-8")
        settings = load(file, prefix="REPZONE_DEMO_")
        right = asyncio.run(_demo(settings, once=once))
    if not right:
        raise typer.Exit(1)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that is gone at the end, also when the terminal is closed or SIGTERM comes."""
    end_as_interrupted()
    with tempfile.TemporaryDirectory(prefix="repzone-demo-") as folder:
        yield Path(folder)


async def _demo(settings: Settings, *, once: bool) -> bool:
    """Do every step, then either check all answers or say what to try and wait for the end."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        step = progress.add_task("", total=5, completed=-1)

        def next_step(text: str) -> None:
            progress.update(step, advance=1, description=text)
            if not errors.is_terminal:
                errors.print(f"{text} ...", markup=False)

        next_step("Starting a private PostgreSQL")
        with open_server(settings) as engine:
            next_step("Making the tables")
            upgrade(engine, shipped.folder("migrations"))
            prepare(engine, settings, clock())
            next_step("Reading the log")
            lines, events = _ingest(engine, settings)
            next_step(f"Deciding on {counted(events, 'offence')}")
            calculate.run(engine, clock)
            next_step("Answering")
            served = Served(arrange(load_zones(settings)), settings.max_stale)
            refresh(engine, served.feed, clock(), time.monotonic())
            with following(engine, served.feed, settings):
                server = await DnsServer(
                    listen_addresses(settings), served.view, clock, table=served.feed.table
                ).start()
                progress.stop()
                summary = f"{counted(lines, 'log line')}, {counted(events, 'offence')}"
                return await _show(engine, settings, server, served.zones[0], summary, once=once)


def _ingest(engine: Engine, settings: Settings) -> tuple[int, int]:
    """Store the shipped log as if it ended just now; give lines and offences."""
    log = shipped.folder("demo") / LOG
    delta = clock() - last_instant(log)
    make_reader = shifted(reader_maker(settings, Format.auto), delta)
    outcome = Ingestion(engine, clock, settings.host, make_reader).run_file(log)
    return outcome.lines, outcome.events.total()


async def _show(engine: Engine, settings: Settings, server: DnsServer, zone: Zone, summary: str, *, once: bool) -> bool:
    """Ask the server about every listing; show the table, or what a person can try."""
    now = clock()
    with answering(), engine.connect() as connection:
        listings = find_listings(connection, now)
    address = server.addresses[0]
    verdicts = await asyncio.to_thread(_verify, listings, zone, address)
    if once:
        await server.close()
        return _print_verdicts(verdicts, summary, address)
    stop = stop_event(signal.SIGHUP)
    bound: asyncio.Future[Sequence[Bound]] = asyncio.get_running_loop().create_future()
    page = asyncio.create_task(WebService(settings, engine).run(stop, bound.set_result))
    either: list[asyncio.Future[Any]] = [page, bound]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not page.done():
        (where, *_), *_ = bound.result()
        _print_invitation(listings, verdicts, zone, settings, summary, address, format_address(*where))
        await server.run(stop)
    await page
    console.print("Stopped; nothing is left running.")
    return True


def _verify(listings: list[Listing], zone: Zone, server: tuple[str, int]) -> list[Verdict]:
    """Ask by UDP for A and by TCP for TXT, so that both ways are tried."""

    def answers(name: str, kind: str) -> tuple[str, ...]:
        reply = ask(server, name, kind, tcp=kind == "TXT")
        return reply.answers or (reply.rcode,)

    return list(verify(listings, zone, answers, clock))


def _print_verdicts(verdicts: list[Verdict], summary: str, server: tuple[str, int]) -> bool:
    wrong = [verdict for verdict in verdicts if not verdict.right]
    made = table("!client", "ban", "!A", "TXT", "")
    for verdict in verdicts:
        listing = verdict.listing
        made.add_row(
            str(verdict.address),
            f"{listing.category}, {ordinal(listing.offence)}" if listing else "[dim]none[/]",
            escape("\n".join(verdict.a)),
            escape("\n".join(verdict.txt)),
            "[green]right[/]"
            if verdict.right
            else f"[red]wrong[/], wanted {escape(str((verdict.wanted, *verdict.texts)))}",
        )
    print_table(made)
    missing = {"errors", "spam", "virus", "auth"} - {
        verdict.listing.category for verdict in verdicts if verdict.listing
    }
    console.print(
        f"{summary}. Asked {server[0]} port {server[1]} about {counted(len(verdicts), 'client')}, "
        "A by UDP and TXT by TCP: "
        + (f"[red]{counted(len(wrong), 'wrong answer')}[/]." if wrong else "[green]every answer is right[/].")
    )
    if missing:
        console.print(f"[red]Nobody is listed for {', '.join(sorted(missing))}.[/]")
    return not wrong and not missing


def _print_invitation(
    listings: list[Listing],
    verdicts: list[Verdict],
    zone: Zone,
    settings: Settings,
    summary: str,
    server: tuple[str, int],
    page: str,
) -> None:
    now = clock()
    said = {verdict.name: (verdict.a, verdict.txt) for verdict in verdicts}
    console.print(f"\n[bold]repzone is answering[/] for {zone.apex} on {server[0]} port {server[1]} (UDP and TCP).")
    console.print(f"It read {summary}; {counted(len(listings), 'listing')} hold now. Try, in another terminal:\n")
    made = table("!client", "category", "ban", "!until", ">left")
    for listing in _samples(listings):
        address = an_address(listing.client)
        name = qname(address, zone)
        left = format_left(listing.expires - now)
        made.add_row(str(address), listing.category, ordinal(listing.offence), format_instant(listing.expires), left)
        _print_dig(server, name, *said[name])
    _print_dig(server, qname(NEVER, zone), ("",), ("",), "(nothing: others forge this address, it did no wrong)")
    print_table(made)
    first = an_address(_samples(listings)[0].client)
    console.print("\nThe page that a blocked sender reads:\n")
    console.print(f"  http://{page}/?ip={first}", style="green", markup=False, soft_wrap=True)
    console.print("\nOr ask repzone itself:\n")
    command = Path(sys.argv[0]).absolute()  # the other terminal may be anywhere
    config = settings.file
    for line in (f"check {first}", "listings", "listings --all --category spam -o json"):
        verb, *rest = line.split()
        words = shlex.join([str(command), verb, "-c", str(config), *rest])
        console.print(f"  {words}", markup=False, soft_wrap=True)
    console.print("\n[bold]Ctrl-C[/] stops everything and removes the folder.\n")


def _samples(listings: list[Listing]) -> list[Listing]:
    """Give one listing of each category, the one banned most often, and one of IPv6."""
    most = sorted(listings, key=lambda listing: (listing.category, -listing.offence))
    first = {listing.category: listing for listing in reversed(most)}
    v6 = next((listing for listing in most if listing.client.version == 6), None)
    return [*first.values(), *([v6] if v6 and v6 not in first.values() else [])]


def _print_dig(server: tuple[str, int], name: str, a: tuple[str, ...], txt: tuple[str, ...], comment: str = "") -> None:
    for kind, said in (("A", a), ("TXT", txt)):
        console.print(f"  dig @{server[0]} -p {server[1]} +short {name} {kind}", markup=False, soft_wrap=True)
        for answer in said:
            shown = f'"{answer}"' if kind == "TXT" and answer else answer
            console.print(f"      {shown or comment}", style="green", markup=False, soft_wrap=True)
    console.print()
