"""The listings, page by page: searched, filtered and counted; every view is a URL."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from repzone.model import STATES, Client
from repzone.reasons import CATEGORIES
from repzone.store.browse import Counts, Page, Place, Search, count, load_page
from repzone.store.engine import Connection
from repzone.web.console.access import Person
from repzone.web.console.desk import Desk, View


async def show(desk: Desk, request: Request, person: Person) -> View | Response:
    """Show one page of listings."""
    asked = request.query_params
    words = asked.get("q", "").strip()[:100]
    client, problem = None, ""
    if words:
        try:
            client = Client.from_text(words)
        except ValueError:
            problem = "That is no address and no network; write for example 192.0.2.10 or 192.0.2.0/24."
    for name, known in (("state", STATES), ("category", CATEGORIES)):
        if asked.get(name, "") not in ("", *known):
            problem = f"There is no such {name}; there are {', '.join(known[:-1])} and {known[-1]}."
    if client is not None and "go" in asked:
        return RedirectResponse(f"/client/{client}", 303)
    search = Search(
        client,
        next((one for one in CATEGORIES if one == asked.get("category")), None),
        next((one for one in STATES if one == asked.get("state")), None),
    )
    before, after = _place(asked.get("before", "")), _place(asked.get("after", ""))

    def load(connection: Connection, now: int) -> tuple[Page, Counts]:
        return load_page(connection, search, now, before=before, after=after), count(connection, search, now)

    page, counts = (Page((), False, False), Counts({})) if problem else await desk.ask(load)
    filters = {"q": words, "state": search.state or "", "category": search.category or ""}
    links = _links(page, filters)
    context = {
        **{"page": page, "search": search, "counts": counts, "words": words, "problem": problem},
        **{"states": STATES, "categories": CATEGORIES, "link": lambda **other: _link({**filters, **other}), **links},
    }
    rows = [{"listing": row.listing, "hits": row.hits} for row in page.rows]
    total = counts.text(search.state, search.category)
    pages = {name: link and "/listings.json" + link.removeprefix("/listings") for name, link in links.items()}
    fields = {"problem": problem, "found": total, "listings": rows, **pages}
    return View("listings.html", context, fields, 400 if problem else 200)


def _links(page: Page, filters: dict[str, str]) -> dict[str, str]:
    rows = page.rows
    older = newer = ""
    if rows and page.older:
        older = _link({**filters, "before": f"{rows[-1].place.expires}-{rows[-1].place.id}"})
    if rows and page.newer:
        newer = _link({**filters, "after": f"{rows[0].place.expires}-{rows[0].place.id}"})
    return {"older": older, "newer": newer}


def _link(words: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in words.items() if value})
    return "/listings" + (f"?{query}" if query else "")


def _place(text: str) -> Place | None:
    expires, _, number = text.partition("-")
    if not (expires.isdecimal() and number.isdecimal() and len(text) < 31):
        return None
    return Place(min(int(expires), 32_503_680_000), min(int(number), (1 << 63) - 1))
