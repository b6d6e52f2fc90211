"""How far a dump is: a bar with rate and ETA on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from reward_service.bulk import Progress, Watch

LOG_SECONDS = 10.0


@contextmanager
def progress(console: Console, name: str, *, quiet: bool) -> Iterator[Watch]:
    """Something to call with each `bulk.Progress`."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console, name) as watch:
            yield watch
    else:
        yield _Log(console)


class _Log:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._last = time.monotonic()

    def __call__(self, now: Progress) -> None:
        moment = time.monotonic()
        if moment - self._last < LOG_SECONDS:
            return
        self._last = moment
        rate = (now.rows - now.resumed) / (moment - self._started)
        share = f", {100 * now.done / now.total:.0f} % read" if now.total else ""
        self._console.print(f"{now.rows:,} rows{share}, {rate:,.0f} rows/s", soft_wrap=True)


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Watch]:
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f}/s  ETA"),
        rich.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, rows=0, rate=0.0)
        started = time.monotonic()

        def watch(now: Progress) -> None:
            rate = (now.rows - now.resumed) / max(1e-3, time.monotonic() - started)
            bar.update(task, completed=now.done, total=now.total, rows=now.rows, rate=rate)

        yield watch
