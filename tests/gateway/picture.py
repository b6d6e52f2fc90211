"""`python -m tests.gateway.picture`: draws docs/dashboard.png again, from a live service with a policy that cheats.

Nothing in it is made up: two minutes of real traffic through the service, then a policy that finds the planted hole of
`staged.py`. At most 200 kB.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.gateway.browser import chromium
from tests.gateway.staged import HOLED
from tests.gateway.test_dashboard_live import play, stage

PICTURE = Path(__file__).parents[2] / "docs" / "dashboard.png"
LARGEST = 200_000


def main() -> None:
    """Play, wait for the alert, and keep the picture."""
    with chromium() as browser, stage(browser) as (found, policy):
        page = found.page
        page.set_viewport_size({"width": 1280, "height": 975})

        def rows(exploits: bool) -> None:
            batch = [*policy.ordinary(100), *policy.capitals(60, exploits=exploits)]
            policy.send(batch)
            policy.send(batch[:20])

        play(page, 440, lambda: rows(False))
        until = time.monotonic() + 120
        while page.locator("#alerts > li", has_text=HOLED).locator(".tag").count() < 2:
            assert time.monotonic() < until, "no alert"
            play(page, 4, lambda: rows(True))
        play(page, 80, lambda: rows(True))
        page.screenshot(path=PICTURE)
    assert PICTURE.stat().st_size <= LARGEST, "too large for the repository"


if __name__ == "__main__":
    main()
