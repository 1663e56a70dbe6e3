"""A client's history in, its picture as SVG out: a lane for each category, events below, bands for its listings."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from repzone.web.console.chart import tick_text, ticks
from repzone.web.console.history import Band, History, Lane
from repzone.web.console.words import spelled
from repzone.zone.texts import format_instant, format_span, ordinal

WIDTH, LEFT, RIGHT, TOP = 1000, 128, 990, 24
LANE, PLOT = 120, 76
"""Heights: of a lane with what stands below it, and of its plot."""

STRIP = 56
LETTER = 6.4
"""Width of a letter, so that what would not fit is not written."""


def draw(history: History, who: str) -> Markup:
    """Draw the picture; it says itself what is on it, and where the values are."""
    height = TOP + LANE * len(history.lanes) + 22 + STRIP
    return Markup("").join((_head(history, who, height), *_axis(history), *_lanes(history), *_strip(history), _END))


_END = Markup("</svg>")


def _x(history: History, at: int) -> str:
    inside = min(max(at, history.begin), history.end)
    return f"{LEFT + (inside - history.begin) / (history.end - history.begin) * (RIGHT - LEFT):.1f}"


def _head(history: History, who: str, height: int) -> Markup:
    told = " ".join(
        f"{lane.category}: {sum(tick.count for tick in lane.ticks):,} events, {len(lane.bands)} listings"
        + (", one still running." if any(band.state == "active" for band in lane.bands) else ".")
        for lane in history.lanes
    )
    span = f"{format_instant(history.begin)} to {format_instant(history.end)}"
    return Markup(
        '<svg class="timeline" viewBox="0 0 {} {}" role="img" aria-labelledby="tt td"><title id="tt">History of {}, {}'
        '</title><desc id="td">{} The table below has the values.</desc>'
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" x2="0" y1="0" y2="6"/></pattern></defs>'
    ).format(WIDTH, height, spelled(who), span, told)


def _axis(history: History) -> Iterator[Markup]:
    bottom = TOP + LANE * len(history.lanes)
    span = history.end - history.begin
    for at in ticks(history.begin, history.end):
        x = _x(history, at)
        yield Markup('<line class="axis" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, TOP, bottom)
        words = tick_text(at, span)
        if float(x) < RIGHT - LETTER * len(words):
            yield Markup('<text x="{}" y="{}" dx="3">{}</text>').format(x, bottom + 13, words)
    x = _x(history, history.now)
    yield Markup('<line class="now" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, TOP - 6, bottom)
    yield Markup('<text class="k m" x="{}" y="14">now</text>').format(x)


def _lanes(history: History) -> Iterator[Markup]:
    for number, lane in enumerate(history.lanes):
        top = TOP + LANE * number + 6
        yield Markup('<g class="lane c-{}">').format(lane.category)
        yield from _lane(history, lane, top)
        yield Markup("</g>")


def _lane(history: History, lane: Lane, top: int) -> Iterator[Markup]:
    base = top + PLOT
    highest = max([lane.threshold, 1, *(points for _, points in lane.steps)]) * 1.25

    def y(points: float) -> str:
        return f"{base - points / highest * PLOT:.1f}"

    yield Markup('<text class="k" x="4" y="{}">{}</text>').format(top + 12, lane.category)
    if lane.threshold:
        words = f"{lane.threshold:,} {'pt' if lane.threshold == 1 else 'pts'} in {format_span(lane.window)}"
        yield Markup('<text x="4" y="{}">{}</text>').format(top + 26, words)
        yield Markup('<line class="thr" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, RIGHT, y(lane.threshold))
    bands, free = sorted(lane.bands, key=lambda band: band.began), float(LEFT)
    for number, band in enumerate(bands):
        following = float(_x(history, bands[number + 1].began)) - 8 if number + 1 < len(bands) else RIGHT
        often = "" if lane.category == "manual" else ordinal(band.offence)
        label = _label(history, band, often, free, following)
        if not label.inside:
            free = label.x + LETTER * len(label.text) + 8
        yield _band(history, band, top, label, often)
    if lane.ghost is not None:
        yield from _ghost(history, lane.ghost, base)
    yield Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, RIGHT, base)
    shown = [step for step in lane.steps if step[0] >= history.begin]
    before = next((points for at, points in reversed(lane.steps) if at < history.begin), 0)
    if lane.steps:
        path = f"M{LEFT} {y(before)}" + "".join(
            f"H{_x(history, at)}V{y(points)}" for at, points in shown if at <= history.now
        )
        yield Markup('<path class="points" d="{}H{}"/>').format(path, _x(history, history.now))
    for tick in lane.ticks:
        height = min(22, 5 + tick.points * 16 // lane.threshold) if lane.threshold else 5
        kind = "tick" if tick.points else "tick void"
        x = float(_x(history, tick.at)) - 1
        title = f"{format_instant(tick.at)}: {tick.count:,} events, {tick.points:,} points"
        yield Markup('<rect class="{}" x="{:.1f}" y="{}" width="2" height="{}"><title>{}</title></rect>').format(
            kind, x, base + 3, height, title
        )


@dataclass(frozen=True, slots=True)
class Label:
    """What is written at a listing, and where: in its band, or above it where that is narrow."""

    text: str
    x: float
    inside: bool


def _label(history: History, band: Band, often: str, free: float, following: float) -> Label:
    """Choose the label of a listing, and its place: beside the line of now, and above only from `free` to `following`.

    It is cut to what fits.
    """
    x, end = float(_x(history, band.began)), float(_x(history, band.expires))
    whole = _words(history, band, often)
    inside = LETTER * len(whole) + 8 <= end - x
    low, high = (x + 4, end - 4) if inside else (free, following)
    now = float(_x(history, history.now))
    for text in (whole, often):
        width = LETTER * len(text)
        natural = x + 4 if inside else min(x, RIGHT - width)
        crossed = natural - 4 < now < natural + width + 4
        for at in (now + 4, now - 4 - width) if crossed else (natural,):
            if low <= at and at + width <= high:
                return Label(text, at, inside)
    text = whole if inside else next((text for text in (whole, often) if LETTER * len(text) <= following - x), "")
    return Label(text, x + 4 if inside else min(x, RIGHT - LETTER * len(text)), inside)


def _words(history: History, band: Band, often: str) -> str:
    state = "" if band.state in ("active", "expired") else f" {band.state}"
    ahead = " →" if band.expires > history.end else ""
    return f"{often} · {format_span(band.expires - band.began)}{state}{ahead}".removeprefix(" · ")


def _band(history: History, band: Band, top: int, label: Label, often: str) -> Markup:
    """Draw a listing with its label."""
    x, end = float(_x(history, band.began)), float(_x(history, band.expires))
    span = f"{format_instant(band.began)} to {format_instant(band.expires)}"
    title = f"{_words(history, band, often)}: {span}, {band.state}"
    return Markup(
        '<rect class="band s-{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>'
        '<text class="k" x="{:.1f}" y="{}">{}</text>'
    ).format(
        *(band.state, x, top, max(2.0, end - x), PLOT, title),
        *(label.x, top + (12 if label.inside else -3), label.text),
    )


def _ghost(history: History, ghost: tuple[int, int], base: int) -> Iterator[Markup]:
    """Draw what the next listing would be; its label stands above it, since it may be narrow."""
    x, end = float(_x(history, ghost[0])), float(_x(history, ghost[1]))
    yield Markup('<rect class="ghost" x="{:.1f}" y="{}" width="{:.1f}" height="36"/>').format(
        x, base - 36, max(2, end - x)
    )
    words = f"next: {format_span(ghost[1] - ghost[0])}"
    yield Markup('<text x="{:.1f}" y="{}">{}</text>').format(min(x + 4, RIGHT - LETTER * len(words)), base - 40, words)


def _strip(history: History) -> Iterator[Markup]:
    top = TOP + LANE * len(history.lanes) + 30
    begin, span = history.now - history.memory, max(1, history.memory)

    def x(at: int) -> float:
        return LEFT + (min(max(at, begin), history.now) - begin) / span * (RIGHT - LEFT)

    yield Markup('<text x="4" y="{}">{}</text>').format(top + 14, f"memory, {format_span(history.memory)}")
    left = x(history.begin)
    yield Markup('<rect class="brush" x="{:.1f}" y="{}" width="{:.1f}" height="20"/>').format(left, top, RIGHT - left)
    for band, category in zip(history.strip, history.strip_categories, strict=True):
        void = " void" if band.state in ("reversed", "dropped", "shadow") else ""
        title = escape(f"{category}, {ordinal(band.offence)}: {format_instant(band.began)}, {band.state}")
        yield Markup(
            '<g class="c-{}"><rect class="tick{}" x="{:.1f}" y="{}" width="3" height="14"><title>{}</title></rect></g>'
        ).format(category, void, x(band.began) - 1, top + 3, title)
    yield Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(LEFT, RIGHT, top + 20)
