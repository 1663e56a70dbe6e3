"""`repzone stats`: what happened lately, and what it was good for."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

from repzone.cli.database import open_database
from repzone.cli.options import ConfigOption, Output, OutputOption, parse_since
from repzone.cli.output import console, counted, print_json, print_table, shown, table, utc
from repzone.cli.wall import clock
from repzone.config import load
from repzone.reasons import CATEGORIES, COUNTED
from repzone.store.engine import answering
from repzone.store.statistics import Offences, Statistics, load_statistics
from repzone.zone.texts import format_instant, ordinal


def stats(
    config: ConfigOption = None,
    output: OutputOption = Output.human,
    since: Annotated[
        str, typer.Option("--since", metavar="T", help="Since when: 7d ago, 12h ago, or 2026-11-24.")
    ] = "7d",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many of each kind, the worst.")] = 10,
) -> None:
    """Sum up what happened: offences by day, reason, source and network, repeat offenders, and mails refused.

    Offences are counted for as long as events are kept, also those that weigh nothing. Days are UTC.

    Example: repzone stats --since 24h
    """
    now = clock()
    start = parse_since(since, now)
    with open_database(load(config), clock) as engine, answering(), engine.connect() as connection:
        found = load_statistics(connection, start, limit)
    if output is Output.json:
        print_json({"since": utc(start), **_fields(found)})
    else:
        _print(found, start, limit)


def _summed(offences: Iterable[Offences], by: Callable[[Offences], str]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for one in offences:
        sums[by(one)] += one.count
    return sums


def _days(found: Statistics) -> list[str]:
    """Give every day of which something is known."""
    return sorted(
        {one.day for one in found.offences} | {day for day, _ in found.listings} | {*found.hits, *found.clean}
    )


def _components(found: Statistics) -> Counter[str]:
    """Sum the offences whose event kept its line."""
    return _summed((one for one in found.offences if one.component), lambda one: one.component)


def _fields(found: Statistics) -> dict[str, object]:
    by_day = _summed(found.offences, lambda one: one.day + one.category)
    return {
        "days": [
            {
                "day": day,
                "offences": {category: by_day[day + category] for category in COUNTED},
                "listings": {category: found.listings.get((day, category), 0) for category in CATEGORIES},
                "hits": found.hits.get(day, 0),
                "connections": found.clean.get(day, (0, 0))[0],
                "messages": found.clean.get(day, (0, 0))[1],
            }
            for day in _days(found)
        ],
        "reasons": dict(_summed(found.offences, lambda one: one.reason).most_common()),
        "sources": dict(_summed(found.offences, lambda one: one.source).most_common()),
        "components": dict(_components(found).most_common()),
        "networks": [
            {"network": str(one.network), "offences": one.count, "addresses": one.addresses} for one in found.networks
        ],
        "offenders": [
            {"client": str(one.client), "listings": one.listings, "offence": one.offence, "hits": one.hits}
            for one in found.offenders
        ],
        "spared": dict(found.spared),
        "undone": dict(found.undone),
    }


def _print(found: Statistics, start: int, limit: int) -> None:
    offences = sum(one.count for one in found.offences)
    listed, hits = sum(found.listings.values()), sum(found.hits.values())
    console.print(
        f"Since {format_instant(start)}: {counted(offences, 'offence')}, {counted(listed, 'listing')}, "
        f"[bold]{counted(hits, 'mail')} refused[/] because their client was listed.",
        soft_wrap=True,
    )
    _print_rest(found)
    if not (offences or listed or hits or found.clean):
        return
    _print_days(found)
    _print_counts("reason", _summed(found.offences, lambda one: one.reason), limit)
    _print_networks(found)
    _print_offenders(found)
    _print_counts("source", _summed(found.offences, lambda one: one.source or "greylisting, of all logs"), limit)
    _print_counts("component", _components(found), limit, ", of the offences whose line is kept")


def _print_rest(found: Statistics) -> None:
    """Say who was not listed, and what did not stay."""
    if found.spared:
        spared = ", ".join(f"{category} {count:,}" for category, count in found.spared.items())
        console.print(
            f"{counted(sum(found.spared.values()), 'client')} spared for clean mail ({spared}).", soft_wrap=True
        )
    if found.undone:
        console.print(", ".join(f"{counted(count, f'{state} listing')}" for state, count in found.undone.items()) + ".")


LONGEST = 30
"""Characters of the bar that is drawn for the greatest number, where there is room for it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A number as a bar in a table, as long as its share of the greatest one and the width of its column say."""

    number: int
    most: int

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Tell how narrow and how wide it may be."""
        return Measurement(1, min(LONGEST, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draw it in the width that there is."""
        width = min(LONGEST, options.max_width)
        block = "\N{FULL BLOCK}" if console.encoding.startswith("utf") else "#"
        yield Text(block * (-(-self.number * width // self.most) if self.most else 0))


def _print_days(found: Statistics) -> None:
    made = table(
        "!day", *(f">{name}" for name in COUNTED), ">listings", ">refused", ">accepted", "offences", title="\nBy day"
    )
    by_day, by_category = (
        _summed(found.offences, lambda one: one.day),
        _summed(found.offences, lambda one: one.day + one.category),
    )
    most = max(by_day.values(), default=0)
    for day in _days(found):
        numbers = (
            *(by_category[day + name] for name in COUNTED),
            sum(count for (of, _), count in found.listings.items() if of == day),
            *(found.hits.get(day, 0), found.clean.get(day, (0, 0))[1]),
        )
        made.add_row(day, *(f"{number:,}" for number in numbers), Bar(by_day[day], most))
    print_table(made)


def _print_counts(what: str, counts: Counter[str], limit: int, which: str = "") -> None:
    if not counts:
        return
    made = table(what, ">offences", "", title=f"\nBy {what}{which}")
    most = max(counts.values())
    for name, count in counts.most_common(limit):
        made.add_row(shown(name), f"{count:,}", Bar(count, most))
    if len(counts) > limit:
        made.add_row(
            f"{len(counts) - limit:,} more", f"{counts.total() - sum(n for _, n in counts.most_common(limit)):,}", ""
        )
    print_table(made)


def _print_networks(found: Statistics) -> None:
    if found.networks:
        made = table("!network", ">offences", ">addresses", "", title="\nWorst networks")
        most = found.networks[0].count
        for one in found.networks:
            made.add_row(str(one.network), f"{one.count:,}", f"{one.addresses:,}", Bar(one.count, most))
        print_table(made)


def _print_offenders(found: Statistics) -> None:
    if found.offenders:
        made = table("!client", ">listings", ">highest offence", ">refused", "", title="\nRepeat offenders")
        most = found.offenders[0].listings
        for one in found.offenders:
            made.add_row(
                str(one.client), f"{one.listings:,}", ordinal(one.offence), f"{one.hits:,}", Bar(one.listings, most)
            )
        print_table(made)
