"""What the side-by-side benchmark shows: the tables and the picture of docs/benchmarks.md, from docs/benchmarks.json."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
TITLES = {"math": "Math answers", "code": "Python programs with five tests each"}


def line(row: dict[str, Any]) -> str:
    """One side in words, for the terminal."""
    labelled, cheats = row["labelled"], row["cheats"]
    return (
        f"{row['name']} {row['version']}: {row['rate']:,.1f} items/s, {row['cpu']:,.0f} us CPU/item; labelled {labelled['judged']}: "
        f"{labelled['accepted']} wrongly paid, {labelled['refused']} wrongly refused; cheats paid {cheats['accepted']} of {cheats['judged']}"
        f" ({labelled['silent']} and {cheats['silent']} without an answer)"
    )


def rows(measured: list[dict[str, Any]], kind: str) -> list[tuple[str, ...]]:
    """The cells of one table."""
    found: list[tuple[str, ...]] = []
    for row in measured:
        if row["kind"] != kind:
            continue
        if "missing" in row:
            found.append((row["name"], row["missing"], *[""] * 5))
            continue
        labelled, cheats = row["labelled"], row["cheats"]
        share = 100 * (labelled["accepted"] + labelled["refused"]) / labelled["judged"]
        found.append(
            (
                f"{row['name']} ({row['version']})",
                f"{row['rate']:,.0f}" if row["rate"] >= 10 else f"{row['rate']:.1f}",
                f"{row['cpu']:,.0f}",
                times(row["ratio"]),
                f"{labelled['accepted']} + {labelled['refused']} of {labelled['judged']} ({share:.1f} %)",
                f"{cheats['accepted']} of {cheats['judged']}",
                f"{cheats['silent']}" if cheats["silent"] else "",
            )
        )
    return found


HEADER = (
    "judge",
    "items/s",
    "CPU µs/item",
    "of ours",
    "wrongly paid + wrongly refused",
    "cheats paid",
    "cheats without a verdict",
)


def times(ratio: float) -> str:
    """A ratio with two digits that mean something."""
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.1f}×"


def plot(measured: list[dict[str, Any]]) -> str:
    """CPU per item on a logarithmic scale, with the ratio, the errors and the cheats paid beside each bar."""
    width, left, right, step = 860, 230, 560, 30
    bars = [row for row in measured if "missing" not in row]
    decades = (
        math.floor(math.log10(min(row["cpu"] for row in bars))) - 1,
        math.ceil(math.log10(max(row["cpu"] for row in bars))),
    )
    scale = (right - left) / max(1, decades[1] - decades[0])

    def at(value: float) -> float:
        return left + scale * (math.log10(value) - decades[0])

    kinds = [kind for kind in TITLES if any(row["kind"] == kind for row in measured)]
    height = 70 + step * (len(measured) + len(kinds))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for power in range(decades[0], decades[1] + 1):
        x, label = at(10.0**power), unit(10.0**power)
        parts.append(f'<path d="M{x:.1f},26V{height - 34}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 18}" text-anchor="middle" fill="#555">{label}</text>')
    parts.append(
        f'<text x="{(left + right) / 2}" y="{height - 3}" text-anchor="middle" fill="#555">CPU time per item, logarithmic</text>'
    )
    for place, title in enumerate(("of ours", "wrong", "cheats paid")):
        parts.append(
            f'<text x="{right + 80 + 85 * place}" y="18" text-anchor="end" fill="#555">{title}</text>'
        )
    y = 24
    for kind in kinds:
        parts.append(f'<text x="12" y="{y + 20}" font-weight="bold">{TITLES[kind]}</text>')
        y += step
        for place, row in enumerate(one for one in measured if one["kind"] == kind):
            name = escape(row["name"].replace("`", ""))
            parts.append(f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{name}</text>')
            if "missing" in row:
                reason = escape(row["missing"].replace("`", ""))
                parts.append(f'<text x="{left + 6}" y="{y + 16}" fill="#777">{reason[:90]}</text>')
            else:
                end, colour = at(row["cpu"]), "#0b6" if place == 0 else "#8aa4c8"
                parts.append(
                    f'<rect x="{left}" y="{y + 4}" width="{max(2, end - left):.1f}" height="16" fill="{colour}"/>'
                )
                parts.append(f'<text x="{end + 5:.1f}" y="{y + 16}" fill="#555">{unit(row["cpu"])}</text>')
                labelled, cheats = row["labelled"], row["cheats"]
                share = 100 * (labelled["accepted"] + labelled["refused"]) / labelled["judged"]
                cells = (
                    times(row["ratio"]),
                    f"{share:.1f} %",
                    f"{cheats['accepted']} of {cheats['judged']}",
                )
                for column, text in enumerate(cells):
                    parts.append(
                        f'<text x="{right + 80 + 85 * column}" y="{y + 16}" text-anchor="end">{text}</text>'
                    )
            y += step
    return "\n".join([*parts, "</svg>", ""])


def unit(micros: float) -> str:
    """A time in two digits, with its unit."""
    micros = float(f"{micros:.2g}")
    for size, name in ((1e6, "s"), (1e3, "ms")):
        if micros >= size:
            return f"{micros / size:g} {name}"
    return f"{micros:g} µs"


def keep(kept: dict[str, Any]) -> None:
    """Write the figures, the picture and the tables."""
    from tests.tables import rendered

    (DOCS / "benchmarks.json").write_text(json.dumps(kept, indent=1) + "\n")
    (DOCS / "benchmarks.svg").write_text(plot(kept["peers"]))
    page = DOCS / "benchmarks.md"
    page.write_text(rendered(page.read_text()))
