"""Numbers over time in, a picture as SVG out: for those whose browser runs no script, and for print."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 200, 52, 10, 24
STEPS = (60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 5 * 86400, 7 * 86400, 30 * 86400)
DAY = 86400


def ticks(begin: int, end: int, most: int = 8) -> list[int]:
    """Give instants that divide a span at whole hours or days, no more than so many."""
    step = next((one for one in STEPS if (end - begin) // one <= most), 365 * DAY)
    return list(range(-(-begin // step) * step, end + 1, step))


def tick_text(at: int, span: int) -> str:
    """Write an instant on an axis, in UTC."""
    moment = datetime.fromtimestamp(at, UTC)
    if span > 10 * DAY:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}" if span <= DAY and at % DAY else f"{moment.day} {moment:%b %H:%M}"


def draw_lines(title: str, what: str, instants: Sequence[int], rows: Mapping[str, Sequence[int]]) -> Markup:
    """Draw stepped lines, one for each row; `title` and `what` say in words what it is and what it shows."""
    begin, end = instants[0], max(instants[-1], instants[0] + 1)
    top = max(1, *(max(row, default=0) for row in rows.values())) if rows else 1
    bottom = HEIGHT - BOTTOM

    def x(at: int) -> str:
        return f"{LEFT + (at - begin) / (end - begin) * (WIDTH - LEFT - 8):.1f}"

    def y(value: float) -> str:
        return f"{bottom - value / top * (bottom - TOP):.1f}"

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(what)}</desc>"
    ]
    for value in dict.fromkeys((0, top // 2, top)):
        parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y(value)}" y2="{y(value)}"/>'
            f'<text class="n" x="{LEFT - 6}" y="{y(value)}" dy="4">{value:,}</text>'
        )
    for at in (one for one in ticks(begin, end, 6) if one < end - (end - begin) // 12):
        parts.append(f'<text x="{x(at)}" y="{HEIGHT - 6}">{tick_text(at, end - begin)}</text>')
    for name, row in rows.items():
        path = "".join(
            f"H{x(at)}V{y(value)}" if n else f"M{x(at)} {y(value)}"
            for n, (at, value) in enumerate(zip(instants, row, strict=True))
            if not n or value != row[n - 1] or n == len(row) - 1
        )
        parts.append(f'<path class="line line-{escape(name)}" d="{path}"/>')
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every word in it was escaped
