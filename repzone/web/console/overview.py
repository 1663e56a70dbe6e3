"""The first page: how everything stands, live; and listings over a day and a month."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from repzone.policy.rules import DAY, HOUR
from repzone.reasons import CATEGORIES
from repzone.store import snapshot
from repzone.store.engine import Connection
from repzone.store.overview import Overview, load_overview
from repzone.store.series import MINUTES, Active, Rate, load_active, load_changed, load_rates, load_refused
from repzone.web.console.access import Person
from repzone.web.console.chart import draw_lines
from repzone.web.console.desk import Desk, View
from repzone.web.console.pulse import Pulse, Streams

PATIENCE = 5000
"""Milliseconds for the numbers that everybody shares."""


@dataclass(frozen=True, slots=True)
class State:
    """What is live: the overview, events of the last hour by reason, when the zones last changed."""

    overview: Overview
    rates: Sequence[Rate]
    changed: int | None
    written: int | None
    now: int

    @property
    def events(self) -> int:
        """Give the events of the last hour."""
        return sum(one.count for one in self.rates)


@dataclass(frozen=True, slots=True)
class Charts:
    """What is drawn: listings in force over a day and over 30 days, and the mails refused hour by hour."""

    day: Active
    month: Active
    refused: Sequence[tuple[int, int]]


class Front:
    """The overview, asked for once a tick whoever looks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._state: Pulse[State] = Pulse(self._load_state)
        self._charts: Pulse[Charts] = Pulse(self._load_charts, 60.0)
        self._streams = Streams(self._state, live)

    async def show(self, desk: Desk, request: Request, person: Person) -> View:
        """Show how everything stands."""
        state, charts = await self._state.now(), await self._charts.now()
        rows = {name: (drop_empty(active), active) for name, active in (("day", charts.day), ("month", charts.month))}
        pictures = {
            name: draw_lines(_TITLES[name], _told(active), active.instants, shown)
            for name, (shown, active) in rows.items()
        }
        context = {
            **{"state": state, "charts": charts, "pictures": pictures, "rows": rows, "minutes": MINUTES},
            **{"live": live(state), "logs": desk.logs},
            "unread": sorted(desk.logs - {(one.host, one.path) for one in state.overview.sources}),
        }
        fields = {"state": live(state), "sources": state.overview.sources, "reasons": state.rates, "charts": charts}
        return View("overview.html", context, fields)

    async def events(self, desk: Desk, request: Request, person: Person) -> Response:
        """Send what is live, again and again."""
        if self._streams.full:
            return JSONResponse({"error": "too many streams"}, 503, {"retry-after": "30"})

        def allowed() -> bool:
            return desk.access.find(request, desk.clock()) is not None

        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(self._streams.stream(allowed), 200, headers, "text/event-stream")

    async def _load_state(self) -> State:
        file = self._desk.folder / snapshot.NAME

        def load(connection: Connection, now: int) -> State:
            try:
                written = int(file.stat().st_mtime)
            except OSError:
                written = None
            overview, rates = load_overview(connection, now), load_rates(connection, now)
            return State(overview, rates, load_changed(connection), written, now)

        return await self._desk.ask(load, PATIENCE)

    async def _load_charts(self) -> Charts:
        def load(connection: Connection, now: int) -> Charts:
            day, month = load_active(connection, now, DAY, 900), load_active(connection, now, 30 * DAY, 6 * HOUR)
            return Charts(day, month, load_refused(connection, now))

        return await self._desk.ask(load, PATIENCE)


def live(state: State) -> dict[str, object]:
    """Give the numbers that change while somebody looks, by the names that the page has for them."""
    overview = state.overview
    return {
        **{f"active-{category}": overview.listings.get(category, 0) for category in CATEGORIES},
        "active": sum(overview.listings.values()),
        "held": sum(overview.held.values()),
        "hits": overview.hits,
        "events": round(state.events / MINUTES, 1),
        "pending": overview.pending,
        "serial": overview.serial,
        "at": state.now,
    }


def drop_empty(active: Active) -> dict[str, Sequence[int]]:
    """Give the categories that have a listing at any instant."""
    return {category: row for category, row in active.counts.items() if any(row)}


_TITLES = {"day": "Listings in force, the last 24 hours", "month": "Listings in force, the last 30 days"}


def _told(active: Active) -> str:
    return " ".join(
        f"{category}: {row[-1]:,} now, {max(row):,} at most." for category, row in drop_empty(active).items()
    )
