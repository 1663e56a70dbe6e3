"""What a simulation found in; tables, a chart, or JSON Lines out."""

import plotext  # type: ignore[import-untyped]
from rich.table import Table
from rich.text import Text

from repzone.cli.output import console, counted, print_json, print_table, table, utc
from repzone.jobs.simulate import KINDS, SIDES, Compared, Outcome, Tally
from repzone.reasons import COUNTED
from repzone.zone.texts import format_instant

WORDS = {
    "newly": "newly listed",
    "more": "listed more often",
    "longer": "as often, for longer",
    "same": "the same",
    "shorter": "as often, for less long",
    "fewer": "listed less often",
    "never": "not listed any more",
}


def print_objects(outcome: Outcome) -> None:
    """Print an object for the whole, each category, each client that changes most, and each point of the chart."""
    print_json(
        {
            "what": "simulation",
            "since": utc(outcome.since),
            "until": utc(outcome.until),
            "events": outcome.events,
            "clients": {kind: outcome.kinds[kind] for kind in KINDS},
        }
    )
    for category in COUNTED:
        sides = {side: _fields(outcome.tallies[side][category]) for side in SIDES}
        print_json({"what": "category", "category": category, **sides})
    for compared in outcome.most:
        sides = {
            side: {"listings": tally.listings, "hours": _hours(tally)}
            for side, tally in (("old", compared.old), ("new", compared.new))
        }
        fields = {"what": "client", "client": str(compared.client), "change": compared.kind, **sides}
        print_json({**fields, "delivered": compared.delivered})
    counts = {side: outcome.active[side].counts() for side in SIDES}
    for at, old, new in zip(outcome.active["old"].instants, counts["old"], counts["new"], strict=True):
        print_json({"what": "active", "at": utc(at), "old": old, "new": new})


def _fields(tally: Tally) -> dict[str, object]:
    return {
        "listings": tally.listings,
        "hours": _hours(tally),
        "clients": tally.clients,
        "delivered": tally.delivered,
        "spared": tally.spared,
        "shadow": tally.shadow,
    }


def _hours(tally: Tally) -> float:
    return round(tally.seconds / 3600, 2)


def print_tables(outcome: Outcome) -> None:
    """Print what changes, first in sum, then for whom; and the chart."""
    if outcome.since > outcome.wanted:
        lost = f"Events are not kept for so long: this begins at {format_instant(outcome.since)}."
        console.print(lost, style="yellow")
    span = f"{format_instant(outcome.since)} to {format_instant(outcome.until)}"
    console.print(f"{counted(outcome.events, 'event')}, {span}. Numbers are old → new.")
    print_table(_categories(outcome))
    for kind in KINDS:
        if kind != "same" or outcome.kinds[kind]:
            console.print(f"{outcome.kinds[kind]:>9,}  {WORDS[kind]}")
    if outcome.most:
        console.print("\nClients that change most:")
        print_table(_clients(outcome.most))
    else:
        console.print("\nNothing would be different.")
    if any(map(any, (outcome.active[side].counts() for side in SIDES))):
        console.print("\nActive listings:")
        print(_chart(outcome))


def _categories(outcome: Outcome) -> Table:
    made = table("category", ">listings", ">hours", ">clients", ">with clean mail", ">spared", ">shadow")
    for category in COUNTED:
        old, new = (outcome.tallies[side][category] for side in SIDES)
        made.add_row(
            category,
            *(_pair(old.listings, new.listings), _pair(old.seconds // 3600, new.seconds // 3600)),
            *(_pair(old.clients, new.clients), _pair(old.delivered, new.delivered)),
            *(_pair(old.spared, new.spared), _pair(old.shadow, new.shadow)),
        )
    return made


def _pair(old: int, new: int) -> Text:
    style = "" if old == new else "red" if new > old else "green"
    return Text(f"{old:,} → {new:,}" if old != new else f"{old:,}", style=style)


def _clients(most: list[Compared]) -> Table:
    made = table("!client", "", ">listings", ">hours", "clean mail")
    for one in most:
        hours = _pair(one.old.seconds // 3600, one.new.seconds // 3600)
        clean = Text("delivered", style="yellow") if one.delivered else ""
        made.add_row(str(one.client), WORDS[one.kind], _pair(one.old.listings, one.new.listings), hours, clean)
    return made


def _chart(outcome: Outcome) -> str:
    """Draw active listings over time: in colours on a terminal, in two characters elsewhere."""
    terminal, width = console.is_terminal, min(console.width, 120)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)  # a pipe or a file has no size: what it takes for one is not ours
    plotext.plot_size(width, 18)
    instants = outcome.active["old"].instants
    counts = {side: outcome.active[side].counts() for side in SIDES}
    for side, colour, marker in (("old", "blue", "."), ("new", "red", "#")):
        plotext.plot(list(instants), counts[side], label=side, color=colour, marker="braille" if terminal else marker)
    parts = min(4, max(1, width // _TICK - 1))
    ticks = [instants[n * (len(instants) - 1) // parts] for n in range(parts + 1)]
    plotext.xticks(ticks, [utc(at)[:16].replace("T", " ") for at in ticks])
    most = max(max(counts[side]) for side in SIDES)
    heights = sorted({most * n // 4 for n in range(5)})
    plotext.yticks(heights, [f"{height:,}" for height in heights])
    drawn: str = plotext.build()
    return drawn if terminal else plotext.uncolorize(drawn)


_TICK = 22
"""Columns that an instant below the chart takes, with the space beside it."""
