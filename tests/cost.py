"""A bound on the CPU time of something that must not blow up on hostile input.

What is decided here: such a test tells linear from quadratic, not fast from slow. So what isn't the work's own is
left out: the garbage collection of everything that the test process holds by then (half a second in a full run),
and how slow the machine is at that moment, which a fixed piece of work just before and after shows.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

PACE_SECONDS = 0.0012
"""CPU time of `_pace`'s work on the machine that the bounds were written for, when it is quiet."""


@contextmanager
def cpu_within(seconds: float, what: object = "") -> Iterator[None]:
    """Fail if the block takes more CPU time than that; more is allowed as long as the machine is slow."""
    pace = _pace()
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.process_time()
        yield
        spent = time.process_time() - start
    finally:
        if collecting:
            gc.enable()
    allowed = seconds * max(1.0, pace, _pace())
    assert spent <= allowed, f"{what} took {spent:.3f} s of CPU time, allowed are {allowed:.3f}"


def _pace() -> float:
    """How many times slower than then the machine is now."""
    start = time.process_time()
    total = 0
    for n in range(20_000):
        total += len(str(n)) & n
    return (time.process_time() - start) / PACE_SECONDS if total else 1.0
