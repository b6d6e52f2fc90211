"""The report's charts as SVG, drawn once and for all: no script, nothing to load, sharp in print.

What is decided here: every chart is an image with a title in words for screen readers, and every mark has its numbers as a
tooltip; colours come from the style sheet by class, so that they follow light, dark and print. Values that are no number are
left out, never drawn as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from reward_service.analysis.markup import Html, safe, tag
from reward_service.analysis.statistics import Interval

LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 34.0
ENOUGH = 10
"""Responses of about one length that a line may go through; fewer are a faint dot."""


class Point(NamedTuple):
    """A value at `x`, with its interval, and what a tooltip says."""

    x: float
    y: Interval
    tip: str = ""
    whole: bool = True
    """False: the curve is drawn dashed up to here, because it is over fewer prompts."""


class Series(NamedTuple):
    """A line: its name and colour class (`s0` to `s8`, `all`)."""

    name: str
    colour: str
    points: Sequence[Point]


def line_chart(
    series: Sequence[Series], title: str, x_label: str, y_label: str, *, size: tuple[int, int]
) -> Html:
    """Lines with bands for their intervals; x on a logarithmic scale with ticks at powers of two, y from 0 to 1."""
    width, height = size
    xs = [point.x for one in series for point in one.points]
    low, high = math.log2(max(1, min(xs, default=1))), math.log2(max(2, max(xs, default=2)))

    def at_x(x: float) -> float:
        return LEFT + (math.log2(max(1, x)) - low) / max(1e-9, high - low) * (width - LEFT - RIGHT)

    def at_y(y: float) -> float:
        return TOP + (1 - min(1.0, max(0.0, y))) * (height - TOP - BOTTOM)

    parts = [_y_axis(width, at_y, y_label, height)]
    step = max(1, math.ceil((high - low) / max(4, width / 60)))
    for power in range(math.ceil(low), math.floor(high) + 1, step):
        parts.append(_x_tick(at_x(2**power), height, si(2**power)))
    parts.append(_x_name(width, height, x_label))
    for one in series:
        drawn = [point for point in one.points if not math.isnan(point.y.share)]
        banded = [point for point in drawn if not math.isnan(point.y.low)]
        if len(banded) > 1:
            edge = [(at_x(p.x), at_y(p.y.high)) for p in banded]
            edge += [(at_x(p.x), at_y(p.y.low)) for p in reversed(banded)]
            parts.append(tag("polygon", points=_path(edge), class_=f"band {one.colour}"))
        whole = [point for point in drawn if point.whole]
        rest = drawn[max(0, len(whole) - 1) :] if len(whole) < len(drawn) else []
        for piece, style in ((whole, "line"), (rest, "line dashed")):
            if len(piece) > 1:
                path = _path([(at_x(p.x), at_y(p.y.share)) for p in piece])
                parts.append(tag("polyline", points=path, class_=f"{style} {one.colour}"))
        many = len(drawn) > 40
        for point in drawn:
            tip = tag("title", point.tip or f"{one.name}: {point.y.share:.3f}")
            parts.append(
                tag(
                    "circle",
                    tip,
                    cx=at_x(point.x),
                    cy=at_y(point.y.share),
                    r=1.5 if many else 3,
                    class_=f"dot {one.colour}",
                )
            )
    return _svg(width, height, title, parts)


def length_chart(
    bins: Sequence[tuple[float, float, int, Interval]], title: str, *, size: tuple[int, int]
) -> Html:
    """Mean score with its interval by response length, over bars that say how many responses there are."""
    width, height = size
    shown = [one for one in bins if one[2]]
    if not shown:
        return Html("")
    low = math.log2(max(1, shown[0][0]))
    high = max(low + 1, math.log2(max(2, shown[-1][1])))
    most = max(count for *_, count, _ in shown)

    def at_x(x: float) -> float:
        return LEFT + (math.log2(max(1, x)) - low) / (high - low) * (width - LEFT - RIGHT)

    def at_y(y: float) -> float:
        return TOP + (1 - min(1.0, max(0.0, y))) * (height - TOP - BOTTOM)

    parts = [_y_axis(width, at_y, "mean score", height)]
    step = max(1, math.ceil((high - low) / max(3, width / 70)))
    for power in range(math.ceil(low), math.floor(high) + 1, step):
        parts.append(_x_tick(at_x(2**power), height, si(2**power)))
    parts.append(_x_name(width, height, "characters of the response"))
    line: list[tuple[float, float]] = []
    marks: list[Html] = []
    for begin, end, count, mean in shown:
        left, right = at_x(begin), at_x(end)
        tall = count / most * (height - TOP - BOTTOM) * 0.6
        words = f"{si(begin)} to {si(end)} characters: {count:,} responses, mean score {interval(mean)}"
        bar = tag(
            "rect", tag("title", words), x=left + 0.5, y=height - BOTTOM - tall, width=max(1, right - left - 1), height=tall,
            class_="count",
        )  # fmt: skip
        parts.append(bar)
        middle, y = (left + right) / 2, at_y(mean.share)
        enough = count >= ENOUGH
        if enough:
            line.append((middle, y))
            marks.append(
                tag("line", x1=middle, x2=middle, y1=at_y(mean.low), y2=at_y(mean.high), class_="whisker all")
            )
        marks.append(tag("circle", cx=middle, cy=y, r=2.5, class_="dot all" if enough else "dot all faint"))
    parts.append(tag("polyline", points=_path(line), class_="line all"))
    return _svg(width, height, title, [*parts, *marks])


def histogram(
    bars: Sequence[tuple[str, int, str]], title: str, x_label: str, *, size: tuple[int, int]
) -> Html:
    """Bars with a label and a class each; the count is a tooltip, and stands on the bar."""
    width, height = size
    most = max((count for _, count, _ in bars), default=0) or 1
    each = (width - 12.0 - RIGHT) / max(1, len(bars))
    parts = [tag("line", x1=12, x2=width - RIGHT, y1=height - BOTTOM, y2=height - BOTTOM, class_="axis")]
    for place, (label, count, colour) in enumerate(bars):
        tall = count / most * (height - TOP - BOTTOM - 14)
        x = 12 + place * each
        tip = tag("title", f"{label}: {count:,}")
        parts.append(
            tag(
                "rect", tip, x=x + 1, y=height - BOTTOM - tall, width=each - 2, height=tall, class_=f"fill {colour}",
            )
        )  # fmt: skip
        middle = x + each / 2
        if count:
            parts.append(
                tag(
                    "text",
                    si(count),
                    x=middle,
                    y=height - BOTTOM - tall - 3,
                    class_="tick",
                    text_anchor="middle",
                )
            )
        parts.append(
            tag("text", label, x=middle, y=height - BOTTOM + 12, class_="tick", text_anchor="middle")
        )
    parts.append(_x_name(width, height, x_label))
    return _svg(width, height, title, parts)


def shares(parts: Sequence[tuple[str, int, str]], title: str) -> Html:
    """One bar of 100 %, divided: (name, count, colour class)."""
    whole = sum(count for _, count, _ in parts) or 1
    width, height, x = 400.0, 14.0, 0.0
    pieces: list[Html] = []
    for name, count, colour in parts:
        wide = count / whole * width
        tip = tag("title", f"{name}: {count:,} ({100 * count / whole:.1f} %)")
        pieces.append(tag("rect", tip, x=x, y=0, width=wide, height=height, class_=f"fill {colour}"))
        x += wide
    return _svg(width, height, title, pieces, class_="shares", preserveAspectRatio="none")


def strip(value: Interval, words: str) -> Html:
    """A small line from the low to the high end of an interval on a scale from 0 to 1, with a dot at the estimate."""
    if math.isnan(value.share):
        return Html("")
    width, height, edge = 120.0, 14.0, 4.0

    def at(y: float) -> float:
        return edge + min(1.0, max(0.0, y)) * (width - 2 * edge)

    grid = tag("line", x1=edge, x2=width - edge, y1=height / 2, y2=height / 2, class_="grid")
    return _whisker(value, words, (width, height), grid, at, "all")


def _whisker(
    value: Interval,
    words: str,
    size: tuple[float, float],
    grid: Html,
    at: Callable[[float], float],
    colour: str,
) -> Html:
    """A dot with its interval on a line of its own. at: a value's place from the left."""
    width, height = size
    parts = [grid]
    if not math.isnan(value.low):
        parts.append(
            tag(
                "line",
                x1=at(value.low),
                x2=at(value.high),
                y1=height / 2,
                y2=height / 2,
                class_=f"whisker {colour}",
            )
        )
    parts.append(tag("circle", cx=at(value.share), cy=height / 2, r=3, class_=f"dot {colour}"))
    return _svg(width, height, words, parts, class_="strip")


def change(value: Interval, words: str, reach: float) -> Html:
    """The same for a difference, on a scale from -reach to reach."""
    if math.isnan(value.share):
        return Html("")
    width, height, edge = 120.0, 14.0, 4.0

    def at(y: float) -> float:
        return edge + (min(1.0, max(-1.0, y / reach)) + 1) / 2 * (width - 2 * edge)

    colour = "good" if value.low > 0 else "bad" if value.high < 0 else "all"
    grid = tag("line", x1=width / 2, x2=width / 2, y1=0, y2=height, class_="grid")
    return _whisker(value, words, (width, height), grid, at, colour)


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """Names with their colours."""
    keys = [
        tag(
            "li",
            _svg(10, 10, "", [tag("rect", width=10, height=10, rx=2, class_=f"fill {colour}")]),
            " ",
            name,
        )
        for name, colour in entries
    ]
    return tag("ul", keys, class_="legend")


def interval(value: Interval, digits: int = 3) -> str:
    """An estimate with its interval, in words."""
    if math.isnan(value.share):
        return "–"
    if math.isnan(value.low):
        return f"{value.share:.{digits}f}"
    return f"{value.share:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def si(value: float) -> str:
    """A count in few characters: 512, 2k, 65k, 1.5M."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if value >= size:
            return f"{value / size:.2g}{unit}" if value < 10 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def _svg(width: float, height: float, title: str, parts: Sequence[Html], **more: str) -> Html:
    inner = safe([tag("title", title), *parts]) if title else safe(parts)
    label = {"role": "img", "aria_label": title} if title else {"aria_hidden": "true"}
    return tag(
        "svg",
        inner,
        viewBox=f"0 0 {width:g} {height:g}",
        width=float(width),
        height=float(height),
        **label,
        **more,
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _y_axis(width: float, at_y: Callable[[float], float], label: str, height: float) -> Html:
    parts: list[Html] = []
    for tenth in (0, 25, 50, 75, 100):
        y = at_y(tenth / 100)
        parts.append(
            tag("line", x1=LEFT, x2=width - RIGHT, y1=y, y2=y, class_="axis" if tenth == 0 else "grid")
        )
        parts.append(tag("text", f"{tenth / 100:g}", x=LEFT - 6, y=y + 3.5, class_="tick", text_anchor="end"))
    middle = TOP + (height - TOP - BOTTOM) / 2
    parts.append(
        tag(
            "text",
            label,
            transform=f"translate(11 {middle:g}) rotate(-90)",
            class_="tick name",
            text_anchor="middle",
        )
    )
    return safe(parts)


def _x_tick(x: float, height: float, text: str) -> Html:
    line = tag("line", x1=x, x2=x, y1=height - BOTTOM, y2=height - BOTTOM + 4, class_="axis")
    return safe([line, tag("text", text, x=x, y=height - BOTTOM + 15, class_="tick", text_anchor="middle")])


def _x_name(width: float, height: float, text: str) -> Html:
    return tag(
        "text", text, x=(width + LEFT - RIGHT) / 2, y=height - 4, class_="tick name", text_anchor="middle"
    )
