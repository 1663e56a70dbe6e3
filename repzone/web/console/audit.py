"""The audit, page by page: who did what, when and why."""

from urllib.parse import urlencode

from starlette.requests import Request

from repzone.store.journal import load_journal
from repzone.web.console.access import Person
from repzone.web.console.desk import Desk, View
from repzone.zone.texts import format_details


async def show(desk: Desk, request: Request, person: Person) -> View:
    """Show one page of acts."""
    before, after = _place(request.query_params.get("before", "")), _place(request.query_params.get("after", ""))
    journal = await desk.ask(lambda connection, now: load_journal(connection, before=before, after=after))
    entries = journal.entries
    links = {
        "older": _link("before", entries[-1].act.at, entries[-1].id) if entries and journal.older else "",
        "newer": _link("after", entries[0].act.at, entries[0].id) if entries and journal.newer else "",
    }
    return View("audit.html", {"entries": entries, "details": format_details, **links}, [one.act for one in entries])


def _link(way: str, at: int, number: int) -> str:
    return "/audit?" + urlencode({way: f"{at}-{number}"})


def _place(text: str) -> tuple[int, int] | None:
    at, _, number = text.partition("-")
    if not (at.isdecimal() and number.isdecimal() and len(text) < 31):
        return None
    return min(int(at), 32_503_680_000), min(int(number), (1 << 63) - 1)
