"""The dashboard over a live service: under load, and in three staged troubles that a first-time user has to find.

The traffic is real: rows through the real gateway, pool, cache and judge client. Time is sped up by a setting only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from reward_service import keys
from reward_service.keys import Scope
from tests.gateway.browser import PHONE, Watched, watched
from tests.gateway.staged import ASKING, HOLED, TEXTUAL, Policy, judge
from tests.gateway.test_dashboard import OVERVIEW, seen
from tests.load.measure import service

pytestmark = pytest.mark.browser
FAST = {"processes": "1", "sandbox": "none", "telemetry_step_seconds": "1"}


@contextmanager
def stage(browser: Browser, **settings: str) -> Iterator[tuple[Watched, Policy]]:
    """A service, a policy that trains on it, and a dashboard that shows it."""
    with (
        service("tests.gateway.staged:registry", **{**FAST, **settings}) as (url, _),
        httpx2.Client(base_url=url, timeout=60) as http,
        watched(browser, url) as found,
    ):
        found.open("/dashboard")
        found.page.wait_for_selector("body[data-ready]")
        yield found, Policy(http, "grpo-7")


def play(page: Page, rounds: int, rows: Callable[[], object]) -> None:
    """Batches as a trainer sends them, at most one in a quarter of a second, while somebody watches."""
    for _ in range(rounds):
        started = time.monotonic()
        rows()
        page.wait_for_timeout(max(10.0, 250 - 1000 * (time.monotonic() - started)))


def since(page: Page, where: str) -> float:
    """When the trouble began, by the dashboard's words; Unix seconds."""
    text = page.locator("#alerts > li", has_text=where).locator(".since").text_content() or ""
    found = re.search(r"since (\d\d):(\d\d):(\d\d)", text)
    assert found, text
    hour, minute, second = map(int, found.groups())
    today = datetime.now(UTC).replace(hour=hour, minute=minute, second=second, microsecond=0)
    return today.timestamp()


def test_under_load_every_view_has_data_and_each_row_leads_to_its_verdicts(browser: Browser) -> None:
    with stage(browser) as (found, policy):
        page = found.page

        def rows() -> None:
            batch = policy.ordinary(96)
            policy.send(batch)
            policy.send(
                [*batch[:32], {"data_source": "math__aime", "response": "no box", "ground_truth": "4"}]
            )

        policy.send([{"data_source": "nowhere", "response": "x", "ground_truth": "y"}])
        play(page, 14, rows)
        expect(page.locator("#headline")).to_have_text("Nothing looks wrong")
        page.wait_for_function("document.querySelectorAll('#sources tbody tr').length >= 5")
        page.wait_for_timeout(1500)
        seen(page)
        for title in OVERVIEW:
            chart = page.locator("figure:visible").filter(has=page.locator("h3", has_text=title)).first
            if title == "Flags":
                continue  # nobody cheated
            expect(chart.locator("canvas")).to_be_visible()
            assert chart.locator(".legend li").count() >= 1, title
        figures = dict(zip(page.locator("#tiles dt").all_text_contents(), page.locator("#tiles .figure").all_text_contents(), strict=True))  # fmt: skip
        assert figures["From the cache"] not in ("–", "0 %")
        assert 0.4 < float(figures["Mean score"]) < 0.8
        assert page.locator("#reasons tr").count() >= 4
        expect(page.locator("#errors")).to_contain_text("unknown data source")
        found.keep("live-overview")
        page.get_by_label("Run").select_option(label=next(text for text in page.locator("#run option").all_text_contents() if text.startswith("grpo-7")))  # fmt: skip
        page.wait_for_selector("body[data-ready*='run=grpo-7']")
        page.locator("#sources tbody a", has_text="math").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("math")
        page.wait_for_selector("body[data-ready*='source=math']")
        expect(page.locator("#one-reasons")).to_contain_text("no answer")
        assert page.locator("#lengths tr").count() >= 1
        page.locator("#verdicts tbody a").first.wait_for()
        seen(page)
        found.keep("live-one")
        page.set_viewport_size(PHONE)
        seen(page)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        found.keep("live-one-phone")
        page.locator("#verdicts tbody a").first.click()
        page.wait_for_url("**/explain?verdict=*")
        expect(page.locator("main")).to_contain_text("math__aime")


def test_a_first_time_user_finds_the_verifier_that_rejects_right_answers(browser: Browser) -> None:
    with stage(browser) as (found, policy):
        page = found.page

        def rows() -> None:
            policy.send(policy.ordinary(40))
            policy.send(policy.fractions(40))

        until = time.monotonic() + 60
        while not page.locator("#alerts > li", has_text=TEXTUAL).count():
            assert time.monotonic() < until, page.locator("#health").text_content()
            play(page, 4, rows)
        assert page.locator("#alerts .where").all_text_contents() == [TEXTUAL], "and nobody else is accused"
        expect(page.locator("#headline")).to_have_text("Something looks wrong in 1 data source")
        alert = page.locator("#alerts > li")
        expect(alert.locator(".tag")).to_have_text("Verifier may reject right answers")
        expect(alert).to_contain_text("seems to refuse right answers")
        first = page.locator("#sources tbody tr").first
        expect(first).to_contain_text(TEXTUAL)
        expect(first).to_contain_text("rejects right answers?")
        seen(page)
        found.keep("scenario-a-overview")
        alert.get_by_role("link").click()
        page.wait_for_selector(f"body[data-ready='#source={TEXTUAL}']")
        page.get_by_label("Which verdicts").select_option("Scored 0")
        page.locator("#verdicts tbody tr").first.wait_for()
        seen(page)
        found.keep("scenario-a-one")


def test_a_first_time_user_finds_when_a_policy_began_to_exploit_a_hole(browser: Browser) -> None:
    with stage(browser) as (found, policy):
        page = found.page

        def rows(exploits: bool) -> None:
            policy.send([*policy.ordinary(40), *policy.capitals(150, exploits=exploits)])

        play(page, 40, lambda: rows(False))
        expect(page.locator("#headline")).to_have_text("Nothing looks wrong")
        began = time.time()
        until = time.monotonic() + 60
        while page.locator("#alerts > li", has_text=HOLED).locator(".tag").count() < 2:
            assert time.monotonic() < until, page.locator("#health").text_content()
            play(page, 4, lambda: rows(True))
        assert page.locator("#alerts .where").all_text_contents() == [HOLED], "and nobody else is accused"
        kinds = set(page.locator("#alerts > li .tag").all_text_contents())
        assert {"Score jumped", "Signs of reward hacking"} <= kinds
        expect(page.locator("#alerts")).to_contain_text("run grpo-7")
        assert abs(since(page, HOLED) - began) <= 5, "the time when it began"
        chart = page.locator("figure", has_text="Mean score by data source").get_by_role("img")
        expect(chart).to_have_attribute("aria-label", re.compile(f"Marked: .* in {HOLED} at"))
        play(page, 12, lambda: rows(True))
        seen(page)
        found.keep("scenario-b-overview")
        page.locator("#alerts").get_by_role("link", name=HOLED).click()
        page.wait_for_selector(f"body[data-ready='#source={HOLED}']")
        seen(page)
        found.keep("scenario-b-one")


def test_a_first_time_user_finds_that_the_judge_went_down(browser: Browser) -> None:
    with (
        judge() as model,
        stage(
            browser,
            judge_urls=model.url,
            judge_model="m",
            judge_canary_seconds="0",
            judge_timeout_seconds="2",
        ) as (found, policy),
    ):
        page = found.page

        def rows() -> None:
            policy.send([*policy.ordinary(40), *policy.essays(8)])
            policy.count += 8

        play(page, 16, rows)
        expect(page.locator("#headline")).to_have_text("Nothing looks wrong")
        model.die()
        died = time.time()
        until = time.monotonic() + 60
        while not page.locator("#alerts > li", has_text="Whole service").count():
            assert time.monotonic() < until, page.locator("#health").text_content()
            play(page, 4, rows)
        expect(page.locator("#headline")).to_contain_text("Something looks wrong in the service")
        alert = page.locator("#alerts > li", has_text="Whole service")
        expect(alert.locator(".tag")).to_have_text("Judge model is down")
        expect(alert).to_contain_text("judge model does not answer")
        assert abs(since(page, "Whole service") - died) <= 5, "the time when it died"
        play(page, 12, rows)
        expect(page.locator("#errors")).to_contain_text("judge unavailable")
        expect(page.locator("#errors")).to_contain_text(ASKING)
        # What does not need the judge goes on, and nobody else is accused.
        assert set(page.locator("#alerts .where").all_text_contents()) <= {"Whole service", ASKING}
        seen(page)
        found.keep("scenario-c-overview")


@pytest.mark.parametrize("in_the_address", [True, False])
def test_a_key_of_the_scope_read_opens_the_dashboard(
    browser: Browser, tmp_path: Path, in_the_address: bool
) -> None:
    file = tmp_path / "keys.json"
    secret, key = keys.make("watcher", (Scope.READ,))
    keys.write(file, [key])
    with service("tests.load.noop:registry", **FAST, keys_file=str(file)) as (url, _):
        assert httpx2.get(f"{url}/dashboard").status_code == 401
        address = url.replace("://", f"://any:{secret}@") if in_the_address else url
        options = {} if in_the_address else {"http_credentials": {"username": "any", "password": secret}}
        with watched(browser, address, **options) as found:
            found.open("/dashboard")
            expect(found.page.locator("#headline")).to_have_text("Nothing has been scored yet")
            expect(found.page.locator("#fresh")).to_contain_text("Updated")
