"""What counting costs per item: `python -m tests.load.health_bench`.

CPU microseconds per item of `Metrics.record` (Prometheus, steps and alerts together), in chunks as they come: one data source
in groups of sixteen, many data sources mixed, wrong answers (which are looked at), single items; and the cost of one
`GET /v1/telemetry` with 200 data sources.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from reward_service.engine.scorer import Row, Scored
from reward_service.telemetry import Metrics
from reward_service.types import Outcome, Reason, accept, reject
from reward_service.wire import encode

ROUNDS = 200


def chunk(items: int, sources: int, right: float, seed: int = 7) -> tuple[list[Row], list[Scored]]:
    """Rows in groups of sixteen with prompts of 400 characters and responses of 2,000, and their results."""
    draw = random.Random(seed)
    rows, results = [], []
    for place in range(items):
        source = f"source_{place % sources}"
        prompt = f"Question {place // 16}: " + "how many apples are left? " * 15
        rows.append(Row(source, f"({place}) " + "so we add them up, " * 100, str(place // 16), prompt=prompt))
        outcome: Outcome = (
            accept("12")
            if draw.random() < right
            else reject(
                Reason.NOT_EQUAL, str(draw.randint(0, 99)), flags=("multiple_answers",) * (place % 9 == 0)
            )
        )
        results.append(Scored(outcome, source, "math"))
    return rows, results


def spent(metrics: Metrics, chunks: Sequence[tuple[list[Row], list[Scored]]]) -> float:
    """CPU microseconds per item."""
    for rows, results in chunks[:5]:
        metrics.record(rows, results)
    started = time.process_time()
    for number in range(ROUNDS):
        metrics.record(*chunks[number % len(chunks)], "grpo-7")
    return 1e6 * (time.process_time() - started) / (ROUNDS * len(chunks[0][0]))


def main() -> None:
    """Print the table."""
    print(f"{'CPU µs per item':44} {'µs':>8}")
    for name, items, sources, right in (
        ("256 items, one data source", 256, 1, 1.0),
        ("256 items, one data source, half wrong", 256, 1, 0.5),
        ("256 items, 36 data sources", 256, 36, 0.5),
        ("256 items, 200 data sources", 256, 200, 0.5),
        ("1 item", 1, 1, 1.0),
    ):
        chunks = [chunk(items, sources, right, seed) for seed in range(40)]
        print(f"{name:44} {min(spent(Metrics('0'), chunks) for _ in range(5)):8.2f}")
    now = [1_700_000_000.0]
    metrics = Metrics("0")
    metrics.monitor.clock = lambda: now[0]
    rows, results = chunk(1_024, 200, 0.5)
    for _ in range(180):
        now[0] += 10
        metrics.record(rows, results)
    started = time.process_time()
    for _ in range(5):
        shown = metrics.monitor.show()
    made = time.process_time()
    body = encode(shown)
    done = time.process_time()
    print(f"GET /v1/telemetry, 200 data sources, 180 steps: {1e3 * (made - started) / 5:.1f} ms to make, "
          f"{1e3 * (done - made):.1f} ms to write, {len(body) >> 10} kB")  # fmt: skip


if __name__ == "__main__":
    main()
