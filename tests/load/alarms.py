"""How often the watch over rewards cries wolf, and how soon it sees one: `python -m tests.load.alarms`.

Plays training runs: in every point so many prompts are answered sixteen times each; a prompt's chance lies around the run's
level (a beta law, wide: most prompts are easy or hard), and the level is steady, learns (+0.4 over the run, or in its first
quarter), or steps up or down by so much at the middle: the hack. Prints false alarms per run of 100 points, and the
share of hacks that were seen within two points.
"""

from __future__ import annotations

import math
import random

from reward_service.health.alerts import FIGURES
from reward_service.health.jumps import KEPT, Point, jumped

POINTS = 100
RUNS = 200


def level(kind: str, place: int) -> float:
    """The run's level at a point."""
    done = place / POINTS
    if kind == "learns":
        return 0.3 + 0.4 * done
    if kind == "learns fast":
        return 0.2 + 0.4 * min(1.0, 4 * done)
    if kind.startswith("hack"):
        return 0.4 + (float(kind.split()[1]) if place >= POINTS // 2 else 0.0)
    return 0.4


def point(draw: random.Random, at: int, mean: float, prompts: int) -> Point:
    """The mean of so many prompts, sixteen samples each."""
    right = 0
    for _ in range(prompts):
        chance = draw.betavariate(1.2 * mean, 1.2 * (1 - mean))
        right += sum(draw.random() < chance for _ in range(16))
    share = right / (16 * prompts)
    return Point(at, share, math.sqrt(share * (1 - share) / (16 * prompts)))


def main() -> None:
    """Print the table."""
    score = FIGURES[0]
    print(
        f"{'run':14} {'prompts a point':>15} {'false per run':>14} {'seen in 2':>10} {'in 4':>6} {'in 8':>6} {'in 16':>6}"
    )
    for kind in ("steady", "learns", "learns fast", "hack 0.2", "hack 0.3", "hack 0.5", "hack -0.3"):
        for prompts in (4, 16, 64):
            draw, false = random.Random(5), 0
            delays: list[int] = []
            for _ in range(RUNS):
                points: list[Point] = []
                alarmed_at, delay = -100, 1_000
                for place in range(POINTS):
                    points.append(point(draw, place, level(kind, place), prompts))
                    jump = jumped(points[-KEPT:], score.least, score.floor)
                    if jump is None or place - alarmed_at < 20:
                        continue
                    alarmed_at = place
                    if kind.startswith("hack") and place >= POINTS // 2:
                        delay = min(delay, place - POINTS // 2 + 1)
                    else:
                        false += 1
                delays.append(delay)
            seen = [f"{sum(delay <= bound for delay in delays) / RUNS:6.0%}" for bound in (2, 4, 8, 16)]
            hack = " ".join(seen) if kind.startswith("hack") else ""
            print(f"{kind:14} {prompts:15} {false / RUNS:14.3f}     {hack}", flush=True)


if __name__ == "__main__":
    main()
