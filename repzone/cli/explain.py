"""`repzone explain`: all that is known of a client, why it is listed or not, and what would list it."""

from typing import Annotated

import typer

from repzone.cli.check import found_fields, is_test_entry
from repzone.cli.database import open_database
from repzone.cli.listed import listing_fields
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_network
from repzone.cli.output import console, counted, print_json, utc
from repzone.cli.timeline import Told, print_told
from repzone.cli.wall import clock
from repzone.config import load
from repzone.model import Exemption, Exemptions
from repzone.policy.calculator import Spared
from repzone.policy.outlook import Outlook, foresee
from repzone.policy.rules import Rulebook
from repzone.store.dossier import History, Line, Seen, load_dossier
from repzone.store.engine import answering
from repzone.store.exemptions import load_exemptions
from repzone.store.find import Wanted, count_listings, find_listings
from repzone.store.policies import load_rulebook
from repzone.zone.table import MemoryTable


def explain(
    address: Annotated[str, typer.Argument(metavar="IP", help="An address, or a network that is listed as a whole.")],
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="So many listings and events, the newest.")
    ] = 10,
) -> None:
    """Tell all that is known of an address: each listing and why, how it stands now, and what would list it next.

    For IPv6 that is its network as it is listed. Log lines are shown for as long as they are kept. Exit code 0,
    listed or not.

    Example: repzone explain 192.0.2.1
    """
    client = parse_network(address)
    settings = load(config)
    now = clock()
    with open_database(settings, clock) as engine, answering(), engine.connect() as connection:
        exemptions = [one for one in load_exemptions(connection) if one.network.covers(client)]
        found = MemoryTable(find_listings(connection, now, client=client), exemptions).lookup(client, now)
        rulebook = load_rulebook(connection)
        dossier = load_dossier(connection, client, rulebook, Exemptions(exemptions), now, limit)
        inside = 0
        if not client.is_address and not dossier.histories:
            inside = count_listings(connection, Wanted(everything=True, network=client), now)
    outlooks = tuple(
        foresee(case.offences, case.earlier, case.category, rulebook, now, case.clean, case.spared)
        for case in dossier.cases
        if not (found.reserved or found.exemption)
    )
    test_entry = found.reserved and is_test_entry(client, settings)
    told = Told(found, test_entry, dossier, outlooks, exemptions, rulebook, now)
    if output is Output.json:
        print_json(_fields(told) | {"inside": inside})
    else:
        print_told(told)
        if inside:
            command = f"`repzone listings --all --network {client}`"
            console.print(f"\nInside it: {counted(inside, 'listing')}; see {command}.", soft_wrap=True)


def _fields(told: Told) -> dict[str, object]:
    """Give everything as programs see it; `listings` are those in force, as `check` has them."""
    dossier = told.dossier
    return {
        **found_fields(dossier.client, told.found, told.now, test_entry=told.test_entry),
        "key": str(dossier.key) if dossier.key else None,
        "standing": [_outlook_fields(outlook) for outlook in told.outlooks],
        "history": [_history_fields(history, told.rulebook, told.now) for history in dossier.histories],
        "spared": [_spared_fields(category, episode) for category, episode in dossier.spared],
        "exemptions": [_exemption_fields(one, told.now) for one in told.exemptions],
        "reasons": {reason: _seen_fields(seen) for reason, seen in dossier.reasons.items()},
        "addresses": {str(address): _seen_fields(seen) for address, seen in dossier.addresses.items()},
        "events": [_line_fields(line) for line in dossier.events],
        "clean": {"connections": dossier.connections, "messages": dossier.messages},
        "hits": dossier.hits,
    }


def _outlook_fields(outlook: Outlook) -> dict[str, object]:
    return {
        "category": outlook.category,
        "points": outlook.points,
        "threshold": outlook.rules.threshold,
        "window": outlook.rules.window,
        "reasons": outlook.reasons,
        "holding": outlook.holding,
        "counts_from": utc(outlook.until) if outlook.until is not None else None,
        "counts_since": utc(outlook.since) if outlook.since is not None else None,
        "more": outlook.more,
        "outweighed": outlook.outweighed,
        "offence": outlook.offence,
        "length": outlook.length,
        "shadow": outlook.state == "shadow",
        "remembered": [utc(end) for end in outlook.remembered],
        "undecided": [
            {"began": utc(due.began), "expires": utc(due.expires), "points": due.points} for due in outlook.due
        ],
    }


def _history_fields(history: History, rulebook: Rulebook, now: int) -> dict[str, object]:
    version = next((one for one in rulebook.versions if one.id == history.version), None)
    rules = version.policy.rules(history.listing.category) if version else None
    return {
        **listing_fields(history.listing, now),
        "comment": history.listing.comment,
        "policy": history.version,
        "points": history.points,
        "threshold": rules.threshold if rules else None,
        "window": rules.window if rules else None,
        "hits": history.hits,
        "changes": [
            {"at": utc(turn.at), "state": turn.state, "expires": utc(turn.expires)}
            | {"by": turn.author, "verb": turn.verb, "reason": turn.reason}
            for turn in history.turns
        ],
        "samples": [_line_fields(line) for line in history.samples],
    }


def _spared_fields(category: str, episode: Spared) -> dict[str, object]:
    numbers = {"points": episode.points, "offences": episode.offences, "clean": episode.clean}
    return {"category": category, "began": utc(episode.began), "last": utc(episode.last), **numbers}


def _exemption_fields(one: Exemption, now: int) -> dict[str, object]:
    return {
        "network": str(one.network),
        "added": utc(one.added),
        "ended": utc(one.ended) if one.ended is not None else None,
        "applies": one.holds_at(now),
        "comment": one.comment,
        "author": one.author,
    }


def _seen_fields(seen: Seen) -> dict[str, object]:
    return {"count": seen.count, "first": utc(seen.first), "last": utc(seen.last)}


def _line_fields(line: Line) -> dict[str, object]:
    told = {
        "count": line.count,
        "late": line.late,
        "exempt": line.exempt,
        "component": line.component,
        "detail": line.detail,
    }
    return {"at": utc(line.at), "client": str(line.client), "reason": line.reason, **told}
