"""All that is known of a client in, the paragraphs that tell it to people out.

Words of log lines and of operators are shown as they are, never obeyed: see `output.plain`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from repzone.cli.check import print_found
from repzone.cli.listed import reasons_text
from repzone.cli.listings import STYLES
from repzone.cli.output import console, counted, plain, print_indented, print_table, table, within
from repzone.model import Exemption, State
from repzone.policy.outlook import Outlook
from repzone.policy.rules import Rulebook
from repzone.store.dossier import Dossier, History, Line, Turn
from repzone.zone.table import Found
from repzone.zone.texts import format_instant, format_left, format_span, ordinal


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that is to be told of a client: what holds now, what there is on it, how it stands."""

    found: Found
    test_entry: bool
    dossier: Dossier
    outlooks: tuple[Outlook, ...]
    exemptions: Sequence[Exemption]
    rulebook: Rulebook
    now: int


def print_told(told: Told) -> None:
    """Print everything, what holds now first."""
    print_found(told.dossier.client, told.found, told.now, test_entry=told.test_entry)
    if told.test_entry:
        return
    for part in (_print_key, _print_outlooks, _print_histories, _print_spared, _print_exemptions, _print_events):
        part(told)


def _head(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def _print_key(told: Told) -> None:
    """Say what an IPv6 address is listed as, and who else is in there."""
    dossier = told.dossier
    if dossier.key is None or dossier.key == dossier.client:
        return
    console.print(f"What is listed is {dossier.key}.")
    for address, seen in list(dossier.addresses.items())[:10]:
        last = format_instant(seen.last)
        print_indented(Text(f"{counted(seen.count, 'offence')}, the last {last}"), lead=str(address))
    if len(dossier.addresses) > 10:
        more = len(dossier.addresses) - 10
        print_indented(Text(f"and {more:,} more address{'' if more == 1 else 'es'}"))


def _print_outlooks(told: Told) -> None:
    if not told.outlooks:
        if told.dossier.key is not None:
            console.print("Nothing that it does counts.")
        return
    _head("How it stands")
    for outlook in told.outlooks:
        print_indented(Text("; ".join(_standing(outlook)) + "."), lead=f"{outlook.category:6}")


_HOLDING: Mapping[State, str] = {
    "active": "listed",
    "held": "held, so not published until `repzone held release`",
    "shadow": "listed in shadow, so not published",
}


def _standing(outlook: Outlook) -> Iterator[str]:
    """Say what counts now, and what would list it."""
    for due in outlook.due:
        yield (
            f"not decided yet: {counted(due.points, 'point')} {_list(due.points)} it from "
            f"{format_instant(due.began)} until {format_instant(due.expires)} once `repzone calculate` has run"
        )
    if outlook.until is not None:
        if outlook.holding and outlook.holding in _HOLDING and not outlook.due:
            yield _HOLDING[outlook.holding]
        yield f"what comes now counts for nothing until {format_instant(outlook.until)}"
    else:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in outlook.reasons.items())
        points = f"{outlook.points:,} of {counted(outlook.rules.threshold, 'point')}"
        since = f"in the last {within(outlook.rules.window)}"
        if outlook.since is not None:
            since = f"since its last listing ended, {format_instant(outlook.since)}"
        yield f"{points} {since}" + (f" ({reasons})" if reasons else "")
    yield _next_listing(outlook)
    if outlook.remembered:
        number, last = len(outlook.remembered), format_instant(outlook.remembered[-1])
        yield f"{counted(number, 'earlier listing')} remembered, the last until {last}"


def _next_listing(outlook: Outlook) -> str:
    """Say what lists it next, for how long, and what is in the way of that."""
    ladder = f"for {format_span(outlook.length)}, the {ordinal(outlook.offence)} time"
    if outlook.state == "shadow":
        ladder += ", in shadow: nobody is told of it"
    if outlook.more is None:
        return "nothing lists it, since its clean mail outweighs everything"
    often = f"{outlook.more:,} more"
    if outlook.until is not None:
        often = f"from then on {counted(outlook.more, 'point')} in {format_span(outlook.rules.window)}"
    because = " (so many because of its clean mail)" if outlook.outweighed else ""
    return f"{often}{because} {_list(outlook.more)} it {ladder}"


def _list(points: int) -> str:
    return "lists" if points == 1 else "list"


def _print_histories(told: Told) -> None:
    dossier = told.dossier
    if not dossier.histories:
        console.print("\nIt was never listed" + (" as a whole." if dossier.key is None else "."))
        return
    newest = f", the newest {len(dossier.histories)}" if len(dossier.histories) < dossier.listings else ""
    _head(f"{counted(dossier.listings, 'listing')}{newest}")
    for history in dossier.histories:
        _print_history(history, told)


def _print_history(history: History, told: Told) -> None:
    listing = history.listing
    state = listing.state_at(told.now)
    left = f", {format_left(listing.expires - told.now)} left" if state == "active" else ""
    if state == "held" and told.now >= listing.expires:
        left = ", and has ended"
    often = "" if listing.category == "manual" else f", the {ordinal(listing.offence)} time"
    as_part_of = (
        f", as part of {listing.client}" if listing.client.length < (told.dossier.key or listing.client).length else ""
    )
    print_indented(
        Text.assemble(
            f"{listing.category}{often}{as_part_of}, for {format_span(listing.expires - listing.began)} until "
            f"{format_instant(listing.expires)}: ",
            (state, STYLES.get(state, "")),
            left,
        ),
        lead=format_instant(listing.began),
    )
    print_indented(Text(_why(history, told.rulebook)), 6)
    for turn in history.turns:
        if turn.author or turn.state not in ("active", "expired"):
            print_indented(Text(_turn(turn)), 6, format_instant(turn.at))
    _print_lines(history.samples, told, 6)


def _why(history: History, rulebook: Rulebook) -> str:
    """Say what led to a listing, and what it was good for."""
    listing = history.listing
    why = reasons_text(listing) or "no reason is kept"
    version = next((one for one in rulebook.versions if one.id == history.version), None)
    if version is not None and history.points is not None:
        rules = version.policy.rules(listing.category)
        points = f"{counted(history.points, 'point')} within {format_span(rules.window)}"
        weights = version.policy.weights
        seen = sum(count * weights.get(reason, 1) for reason, count in listing.reasons.items())
        more = ", with what came while it lasted" if seen > history.points else ""
        why = f"{points}, {rules.threshold:,} {_list(rules.threshold)} it (policy {version.id}): {why}{more}"
    return why + (f"; {counted(history.hits, 'mail')} refused" if history.hits else "")


def _turn(turn: Turn) -> str:
    what = plain(turn.verb) or turn.state
    by = f" by {plain(turn.author)}" if turn.author else ""
    why = f": {plain(turn.reason)}" if turn.reason else ""
    return f"{what}{by}{why}" + (f" ({turn.state})" if what != turn.state else "")


def _print_spared(told: Told) -> None:
    if told.dossier.spared:
        _head("Spared for its clean mail")
    for category, episode in told.dossier.spared:
        until = "" if episode.last == episode.began else f" to {format_instant(episode.last)}"
        print_indented(
            Text(
                f"{category}: {counted(episode.points, 'point')}, but {counted(episode.clean, 'message')} accepted "
                f"against {counted(episode.offences, 'offence')} (policy {episode.version})"
            ),
            lead=f"{format_instant(episode.began)}{until}",
        )


def _print_exemptions(told: Told) -> None:
    if told.exemptions:
        _head("Exemptions")
    for one in told.exemptions:
        since = "ever" if one.added == 0 else format_instant(one.added)
        until = f" until {format_instant(one.ended)}" if one.ended is not None else ""
        comment = f": {one.comment}" if one.comment else ""
        by = f" by {one.author}" if one.author else ""
        style = "green" if one.holds_at(told.now) else "dim"
        print_indented(Text(plain(f"since {since}{until}{by}{comment}"), style=style), lead=str(one.network))


def _print_events(told: Told) -> None:
    dossier = told.dossier
    if dossier.key is None:  # what its addresses did is told of each of them
        return
    if dossier.reasons:
        _head("What it did, as long as events are kept")
        made = table("  reason", ">offences", "!first", "!last")
        for reason, seen in dossier.reasons.items():
            made.add_row(f"  {reason}", f"{seen.count:,}", format_instant(seen.first), format_instant(seen.last))
        print_table(made, ("first",))
        _head("Its last events")
        _print_lines(dossier.events, told)
    else:
        console.print("\nNo offence of it is known.")
    clean = f"{counted(dossier.connections, 'connection')}, {counted(dossier.messages, 'accepted message')}"
    console.print(f"\nClean mail of the last day: {clean}.", soft_wrap=True)
    console.print(f"Refused because it was listed: {counted(dossier.hits, 'mail')}.", soft_wrap=True)


_VAIN: Mapping[str, str] = {"late": "read after a later listing was decided"}


def _print_lines(lines: Iterable[Line], told: Told, indent: int = 2) -> None:
    """Print events, those that tell the same one after the other as one."""

    def kind(line: Line) -> tuple[object, ...]:
        return line.client, line.reason, told.dossier.why_vain(line), line.at > told.now, line.component, line.detail

    for _, same in groupby(lines, key=kind):
        alike = list(same)
        line, count = alike[0], sum(one.count for one in alike)
        who = "" if line.client == told.dossier.client else f"{line.client}  "
        often = f" x {count:,}" if count > 1 else ""
        why = told.dossier.why_vain(line)
        vain = f" ({_VAIN.get(why, why)}: counts for nothing)" if why else ""
        if not why and line.at > told.now:
            vain = f" (ahead: counts from {format_instant(alike[-1].at)})"
        said = f"  {plain(line.component)}: {plain(line.detail)}" if line.detail else ""
        text = Text.assemble(f"{who}{line.reason}{often}{vain}", (said, "dim"))
        print_indented(text, indent, f"{format_instant(line.at):23}")
