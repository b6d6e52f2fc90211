"""The dashboard in a real Chromium, over telemetry that a test decides: what is shown, to whom, and what can't happen.

Over a service under load it is tested in test_dashboard_live.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from reward_service.types import REASONS, Status
from tests.gateway.browser import PHONE, Watched, watched
from tests.gateway.telemetry_sample import NAMES, telemetry

pytestmark = pytest.mark.browser
Answer = Callable[[dict[str, str]], dict[str, Any] | int]
OVERVIEW = [
    "Mean score by data source", "No answer by data source", "Throughput", "Outcomes", "Flags", "Time of an item",
    "Time of a request", "Cache", "Pool and sandbox", "Queue depth",
]  # fmt: skip
OF_ONE = ["Mean score", "No answer, flags, errors", "Outcomes", "Throughput", "Flags", "Time of an item"]
DRILLED = "/dashboard#source=codegen__leetcode2k"


def sample(asked: dict[str, str]) -> dict[str, Any]:
    return telemetry(source=asked.get("data_source"))


@contextmanager
def dashboard(
    browser: Browser, url: str, path: str = "/dashboard", answer: Answer = sample, **options: Any
) -> Iterator[Watched]:
    """The page at `path`, with these answers of `/v1/telemetry`, once it has drawn the first."""

    def fulfil(route: Route) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()}
        given = answer(asked)
        if isinstance(given, int):
            route.fulfill(status=given)
        else:
            route.fulfill(json=given)

    with watched(browser, url, **options) as found:
        found.page.route("**/v1/telemetry*", fulfil)
        found.open(path)
        found.page.wait_for_selector("body[data-ready]")
        yield found


def seen(page: Page) -> None:
    """Scroll through the page, as a reader does: charts are drawn when they come into view."""
    page.evaluate(
        """async () => {
            for (let y = 0; y < document.documentElement.scrollHeight; y += 500) {
                scrollTo(0, y);
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            }
            scrollTo(0, 0);
        }"""
    )


@pytest.mark.parametrize(
    ("path", "titles", "name"), [("/dashboard", OVERVIEW, "overview"), (DRILLED, OF_ONE, "one")]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn(
    browser: Browser, url: str, path: str, titles: list[str], name: str, scheme: str
) -> None:
    with dashboard(browser, url, path, color_scheme=scheme) as found:
        seen(found.page)
        charts = found.page.locator("figure:visible")
        assert charts.locator("h3").all_text_contents() == titles
        # A canvas with more than a handful of colours has been drawn on.
        painted = charts.locator("canvas").evaluate_all(
            """(canvases) => canvases.map((canvas) => {
                const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                let some = 0;
                for (let at = 3; at < data.length; at += 4) if (data[at]) some += 1;
                return some;
            })"""
        )
        assert len(painted) == len(titles)
        assert min(painted) > 500
        assert all(charts.nth(place).locator(".legend li").count() for place in range(len(titles)))
        found.keep(f"{name}-{scheme}")
        background = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) > 380) is (scheme == "light")


def test_the_first_thing_seen_is_what_is_wrong_where_and_since_when(browser: Browser, url: str) -> None:
    with dashboard(browser, url) as found:
        page = found.page
        expect(page.get_by_role("heading", level=2).first).to_have_text(
            "Something looks wrong in the service, and in 2 data sources"
        )
        alerts = page.locator("#alerts > li")
        assert alerts.locator(".where").all_text_contents() == ["Whole service", NAMES[6], NAMES[2]]
        assert "since 13:46:50, 27 min ago" in (alerts.nth(1).text_content() or "")
        # One cause that raises two alerts is one thing.
        assert alerts.nth(2).locator(".tag").all_text_contents() == [
            "Score jumped",
            "Signs of reward hacking",
        ]
        box = alerts.nth(2).bounding_box()
        assert box
        assert box["y"] + box["height"] < 500, "alerts have to be seen without scrolling"


def test_a_data_source_is_a_page_of_its_own_and_back_leads_back(browser: Browser, url: str) -> None:
    asked: list[dict[str, str]] = []

    def answer(query: dict[str, str]) -> dict[str, Any]:
        asked.append(query)
        return sample(query)

    with dashboard(browser, url, answer=answer) as found:
        page = found.page
        page.locator("#sources tbody a", has_text=NAMES[2]).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(NAMES[2])
        assert page.evaluate("document.activeElement.id") == "title", "a screen reader must hear of it"
        assert page.title() == f"{NAMES[2]} · Reward Service"
        page.wait_for_selector(f"body[data-ready='#source={NAMES[2]}']")
        assert asked[-1] == {"data_source": NAMES[2]}
        assert page.locator("#alerts > li").count() == 1
        assert page.locator("#lengths tr").count() == 8
        facts = dict(
            zip(
                page.locator("#facts dt").all_text_contents(),
                page.locator("#facts dd").all_text_contents(),
                strict=True,
            )
        )
        assert facts["Handler"] == "code 3"
        links = page.locator("#verdicts tbody a")
        assert links.count() == 20
        assert links.first.get_attribute("href") == "explain?verdict=0000000000000000"
        page.get_by_label("Which verdicts").select_option("Flagged")
        assert set(page.locator("#verdicts tbody tr .tag").all_text_contents()) == {"exit_before_tests"}
        assert page.locator("#verdicts tbody tr").count() == 7
        page.go_back()
        expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")
        page.get_by_label("Run").select_option(index=1)
        page.wait_for_selector("body[data-ready='#run=grpo-qwen3-8b-7']")
        assert asked[-1] == {"run": "grpo-qwen3-8b-7"}
        page.get_by_label("Last").select_option("5 min")
        page.wait_for_selector("body[data-ready='#run=grpo-qwen3-8b-7&minutes=5']")
        assert asked[-1] == {"run": "grpo-qwen3-8b-7", "minutes": "5"}


def rows(page: Page) -> list[str]:
    return page.locator("#sources tbody th a").all_text_contents()


def test_the_table_sorts_filters_and_pages_by_keyboard_alone(browser: Browser, url: str) -> None:
    with dashboard(browser, url, answer=lambda _: telemetry(sources=60)) as found:
        page = found.page
        assert rows(page)[:2] == [NAMES[2], NAMES[6]], "alerts first"
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.startsWith('Mean score')"):
                break
        page.keyboard.press("Enter")
        head = page.locator("#sources th", has_text="Mean score")
        expect(head).to_have_attribute("aria-sort", "ascending")
        means = [float(text) for text in page.locator("#sources td:nth-child(3)").all_text_contents()]
        assert means == sorted(means)
        assert len(means) == 25
        page.keyboard.press("Space")
        expect(head).to_have_attribute("aria-sort", "descending")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", "the focus can't be seen"
        found.keep("keyboard", full=False)
        page.get_by_role("button", name="Next").press("Enter")
        expect(page.locator("#found")).to_have_text("26–50 of 60")
        page.get_by_label("Filter data sources").press_sequentially("zebra")
        assert all("zebra" in row.text_content() for row in page.locator("#sources tbody tr").all())
        expect(page.locator("#found")).to_contain_text("60")
        page.get_by_label("Filter data sources").fill("")
        page.get_by_label("only with alerts").press("Space")
        assert sorted(rows(page)) == sorted([NAMES[2], NAMES[6]])
        page.get_by_label("Filter data sources").fill("nowhere")
        expect(page.locator("#found")).to_have_text("No data source matches.")


def test_charts_have_words_and_a_table(browser: Browser, url: str) -> None:
    with dashboard(browser, url) as found:
        chart = found.page.locator("figure:visible", has_text="Outcomes")
        words = chart.get_by_role("img").get_attribute("aria-label") or ""
        assert words.startswith("Outcomes. Latest: right 45 %")
        assert "Judge model is down at 14:05" in words
        chart.locator("summary").press("Enter")
        table = chart.get_by_role("table")
        expect(table.locator("tbody tr")).to_have_count(179)
        assert table.locator("thead th").all_text_contents()[:2] == ["Time", "right"]


@pytest.mark.parametrize("path", ["/dashboard", DRILLED])
@pytest.mark.parametrize("width", [360, 768])
def test_nothing_sticks_out_of_a_phone(browser: Browser, url: str, path: str, width: int) -> None:
    with dashboard(browser, url, path, viewport={**PHONE, "width": width}, has_touch=True) as found:
        seen(found.page)
        assert found.page.evaluate("document.documentElement.scrollWidth") == width
        if width == PHONE["width"]:
            found.keep(f"phone-{'one' if path == DRILLED else 'overview'}")
        # Nor inside the table of the overview: nobody scrolls two ways with a thumb.
        assert width > 640 or found.page.evaluate(
            "[...document.querySelectorAll('#sources .scroll')].every((node) => node.scrollWidth <= node.clientWidth + 1)"
        )


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/dashboard", {"color_scheme": "light"}),
        ("/dashboard", {"color_scheme": "dark", "viewport": PHONE}),
        (DRILLED, {"color_scheme": "dark"}),
    ],
)
def test_axe_finds_nothing_serious(browser: Browser, url: str, path: str, options: dict[str, Any]) -> None:
    with dashboard(browser, url, path, **options) as found:
        seen(found.page)
        found.page.locator("figure:visible summary").first.click()
        result = Axe().run(found.page)
        grave = [one for one in result.response["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in grave] == []
        assert len(result.response["passes"]) > 20


def test_the_theme_is_the_visitors_and_stays(browser: Browser, url: str) -> None:
    with dashboard(browser, url, color_scheme="dark") as found:
        page = found.page
        button = page.get_by_role("button", name="Theme")
        expect(button).to_have_text("Theme: auto")
        button.click()
        expect(button).to_have_text("Theme: light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
        page.reload()
        expect(button).to_have_text("Theme: light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"


ATTACK = "".join(
    (
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        '"><svg onload="window.hacked=1">',
        "javascript:window.hacked=1",
        "'; window.hacked = 1; //",
        "{{constructor.constructor('window.hacked=1')()}}",
        "\u202egnorw si\u202c &lt;b&gt; %3Cscript%3E",
    )
)


def poisoned(value: Any, attack: str) -> Any:
    """Every text in the telemetry, and every name that is not the contract's, with an attack in it."""
    if isinstance(value, str):
        return value + attack
    if isinstance(value, list):
        return [poisoned(one, attack) for one in value]
    if isinstance(value, dict):
        return {name: poisoned(one, attack) for name, one in value.items()}
    return value


@pytest.mark.parametrize("attack", [ATTACK, "javascript:window.hacked=1", "__proto__"])
@pytest.mark.parametrize("drilled", [False, True])
def test_what_a_policy_writes_is_only_ever_text(
    browser: Browser, url: str, attack: str, drilled: bool
) -> None:
    def answer(asked: dict[str, str]) -> dict[str, Any]:
        data: dict[str, Any] = poisoned(telemetry(steps=20, source=asked.get("data_source")), attack)
        for lists in (data["totals"]["reasons"], data["totals"]["flags"], data["gauges"]):
            for name in list(lists):
                lists[name + attack] = lists.pop(name)
        data["alerts"][1]["kind"] = data["sources"][0]["suspect"] = attack
        return data

    name = f"codegen__leetcode2k{attack}"
    with dashboard(browser, url, "/dashboard", answer) as found:
        page = found.page
        if drilled:
            page.locator("#sources tbody a", has_text=name).click()
            page.wait_for_selector("body[data-ready^='#source']")
            expect(page.get_by_role("heading", level=1)).to_have_text(name)
            assert page.locator("#verdicts tbody tr").count() == 20
        seen(page)
        assert attack in (page.locator("#main").text_content() or "")
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("({}).polluted") is None
        # Nothing but our own scripts and drawings came to be.
        assert page.locator("main script, main img, main iframe, main object, main style").count() == 0
        assert page.locator("main svg:not(.spark)").count() == 0
        hrefs = page.locator("main a").evaluate_all("(links) => links.map((link) => link.protocol)")
        assert set(hrefs) == {"http:"}


def test_a_poll_touches_only_what_changed(browser: Browser, url: str) -> None:
    now = [1_790_000_004.0]

    def answer(_: dict[str, str]) -> dict[str, Any]:
        data = telemetry(sources=200)
        data["now"] = now[0]
        data["sources"][2]["items"] += int(now[0] - 1_790_000_004)
        return data

    with watched(browser, url) as found:
        page = found.page
        page.clock.install()
        page.route("**/v1/telemetry*", lambda route: route.fulfill(json=answer({})))
        found.open("/dashboard")
        page.wait_for_selector("body[data-ready]")
        seen(page)
        assert page.locator("#sources tbody tr").count() == 25
        page.locator("#sources tbody a").nth(3).focus()
        page.evaluate(
            """() => {
                window.changes = [];
                new MutationObserver((seen) => window.changes.push(...seen.map((one) => one.target.textContent.slice(0, 40))))
                    .observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
                window.focused = document.activeElement;
            }"""
        )
        now[0] += 1
        with page.expect_response("**/v1/telemetry*"):
            page.clock.run_for(10_500)
        expect(page.locator("#fresh")).to_have_text("Updated 14:13:25")
        changes = page.evaluate("window.changes")
        # The time of the update, the one figure, and the times that are told as "8 min ago" when they tick over.
        assert len(changes) <= 6, changes
        assert page.evaluate("document.activeElement === window.focused")


def test_nothing_is_asked_while_nobody_looks(browser: Browser, url: str) -> None:
    asked: list[str] = []
    with watched(browser, url) as found:
        page = found.page
        page.clock.install()

        def answer(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(json=telemetry(sources=1, steps=12))

        def wait(seconds: int) -> int:
            before = len(asked)
            for _ in range(0, seconds, 6):
                page.clock.run_for(6000)
                page.evaluate("fetch('static/icon.svg').then(() => 1)")  # time for an answer
            return len(asked) - before

        page.route("**/v1/telemetry*", answer)
        found.open("/dashboard")
        page.wait_for_selector("body[data-ready]")
        assert wait(60) >= 2
        page.evaluate(
            """() => {
                Object.defineProperty(document, 'hidden', {value: true, configurable: true});
                document.dispatchEvent(new Event('visibilitychange'));
            }"""
        )
        assert wait(60) == 0
        before = len(asked)
        page.evaluate(
            "() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }"
        )
        wait(2)
        assert len(asked) == before + 1, "who comes back sees news at once"
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#fresh")).to_contain_text("Paused at")
        assert wait(60) == 0
        before = len(asked)
        page.get_by_role("button", name="Resume").click()
        wait(6)
        assert len(asked) > before


def test_a_service_that_does_not_answer_is_said_so(browser: Browser, url: str) -> None:
    answers: list[dict[str, Any] | int] = [telemetry(), 503, 503, telemetry()]
    with watched(browser, url) as found:
        page = found.page
        page.clock.install()
        page.route(
            "**/v1/telemetry*",
            lambda route: (
                route.fulfill(json=given)
                if isinstance(given := answers.pop(0), dict)
                else route.fulfill(status=given)
            ),
        )
        found.open("/dashboard")
        page.wait_for_selector("body[data-ready]")
        page.clock.run_for(10_500)
        expect(page.get_by_role("alert")).to_contain_text("the service answered 503")
        since = page.get_by_role("alert").text_content()
        page.clock.run_for(10_500)
        page.evaluate("fetch('static/icon.svg').then(() => 1)")
        expect(page.get_by_role("alert")).to_have_text(since or "")
        found.keep("trouble", full=False)
        page.clock.run_for(10_500)
        expect(page.get_by_role("alert")).to_be_hidden()
        assert (
            found.said.count(
                "error: Failed to load resource: the server responded with a status of 503 (Service Unavailable)"
            )
            == 2
        )
        found.said.clear()


@pytest.mark.parametrize("steps", [0, 1, 12])
def test_an_idle_service_is_no_alarm(browser: Browser, url: str, steps: int) -> None:
    data = telemetry(sources=0, steps=steps, alerts=False)
    data["totals"] = {name: [0] * steps for name in data["totals"] if name not in ("reasons", "flags")}
    data["totals"]["request_p50_ms"] = data["totals"]["request_p95_ms"] = [None] * steps
    data["totals"]["reasons"] = data["totals"]["flags"] = {}
    data["gauges"] = {name: [None] * steps for name in data["gauges"]}
    for path, words in (
        ("/dashboard", "Nothing has been scored yet"),
        (DRILLED, "Nothing was scored in this window"),
    ):
        answer = {**data, "lengths": [], "verdicts": []}
        with dashboard(browser, url, path, lambda _, given=answer: given) as found:
            seen(found.page)
            expect(found.page.locator("#headline")).to_have_text(words)
            text = found.page.locator("#main").text_content() or ""
            assert "NaN" not in text
            assert "undefined" not in text
            assert "Infinity" not in text
            found.keep(f"idle-{'one' if path == DRILLED else 'overview'}")


def test_reasons_and_gauges_have_words(browser: Browser, url: str, http: httpx2.Client) -> None:
    with dashboard(browser, url) as found:
        errors = found.page.evaluate("import('./static/dashboard/series.js').then((m) => [...m.ERRORS])")
        assert set(errors) == {reason for reason, (status, _, _) in REASONS.items() if status is Status.ERROR}
        right = found.page.evaluate(
            "import('./static/dashboard/series.js').then((m) => [...m.GROUPS[0].reasons])"
        )
        assert set(right) <= set(REASONS)
        state = http.get("/v1/info").json()["state"]
        named = found.page.evaluate(
            "(state) => import('./static/dashboard/charts.js').then((m) => m.gauges({gauges: state}).map((one) => one.name))",
            {name: [1] for name in state},
        )
        assert len(named) >= len(state) - 2  # what belongs to a judge is left out where there is none
        assert not [name for name in named if "_" in name or not name[0].isupper()]
