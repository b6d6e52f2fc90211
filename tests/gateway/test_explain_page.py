"""The page that explains, in a real Chromium over a live service: what is shown, what is shared, and who can't misuse it."""

from __future__ import annotations

import base64
import json
import random
import string
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.gateway.browser import PHONE, Watched, watched
from tests.gateway.conftest import live

pytestmark = pytest.mark.browser
MATH = {
    "data_source": "aime24",
    "response": "<think>\n\\boxed{9}? No 😀.\n</think>\nSo x is $\\boxed{\\dfrac{1}{2}}$. Done.",
    "ground_truth": "0.25",
}
ZEBRA = {
    "data_source": "zebra",
    "solution_str": '<answer>{"header": ["#", "Job"], "rows": [["1", "cook"], ["2", "cook"]]}</answer>',
    "reward_model": {"ground_truth": {"header": ["#", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]}},
    "prompt": [{"role": "user", "content": "Who lives where?"}],
}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>"
    "</textarea></pre>\"'><iframe srcdoc='<script>alert(4)</script>'>javascript:alert(5) \u202egnp.exe\x1b[31m\x00"
)


def fragment(row: object) -> str:
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(json.dumps(row).encode()) + packer.flush()
    return "1." + base64.urlsafe_b64encode(packed).decode().rstrip("=")


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Watched]:
    with watched(browser, url) as found:
        found.open("/explain")
        found.page.wait_for_selector("body[data-ready]")
        yield found


def paste(page: Page, row: object) -> None:
    if page.locator("#paste-area").is_hidden():
        page.get_by_role("button", name="Paste a row").click()
    page.get_by_label("A line of a JSONL").fill(json.dumps(row))


def explain(page: Page) -> None:
    page.get_by_role("button", name="Explain", exact=True).click()
    page.wait_for_selector('#result[aria-busy="false"] #told:not([hidden])')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_pasted_row_is_explained(browser: Browser, url: str, scheme: Any) -> None:
    with watched(browser, url, color_scheme=scheme) as found:
        page = found.open("/explain")
        paste(page, MATH)
        explain(page)
        expect(page.locator(".verdict .figure")).to_have_text("0")
        # The place is right although a character of two UTF-16 units stands before it.
        expect(page.locator("#read")).to_have_text("\\boxed{\\dfrac{1}{2}}")
        assert page.locator(".text .outside").first.text_content() == "<think>\n\\boxed{9}? No 😀.\n</think>"
        expect(page.locator(".ladder .fired")).to_contain_text("not equal")
        expect(page.locator(".sides tbody tr").first).to_contain_text("0.25")
        assert Axe().run(page).violations_count == 0
        found.keep(f"explain-math-{scheme}")


def test_gurus_layout_and_the_table_of_checks(page: Watched) -> None:
    paste(page.page, ZEBRA)
    assert page.page.get_by_label("Response", exact=True).input_value() == ZEBRA["solution_str"]
    expect(page.page.locator("#kind")).to_have_value("json")
    explain(page.page)
    row = page.page.locator(".checks tr.failed")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("house 2, job")
    assert row.locator(".diff mark").all_text_contents() == ["pilot", "cook"]
    page.keep("explain-checks")


def test_every_example_can_be_picked_and_scores_full_marks(page: Watched) -> None:
    page.page.wait_for_selector("body[data-examples]")
    options = page.page.locator("#example option")
    names = [str(option.get_attribute("value")) for option in options.all()][1:]
    assert len(names) > 40
    for name in ("logic__graph_logical_dataset", "table__hitab", "stem__gpqa*"):
        assert name in names
        with page.page.expect_response("**/v1/explain"):
            page.page.select_option("#example", name)
        expect(page.page.locator(".verdict .figure")).to_have_text("1")


def test_by_keyboard_alone(page: Watched) -> None:
    one = page.page
    one.locator("#data_source").focus()
    one.keyboard.type("logic__graph")
    one.keyboard.press("Tab")  # the profile
    one.keyboard.press("Tab")
    one.keyboard.type("<answer>owl</answer>")
    one.keyboard.press("Tab")
    one.keyboard.press("Tab")
    one.keyboard.type("owl")
    one.keyboard.press("Control+Enter")
    expect(one.locator(".verdict .figure")).to_have_text("1")
    assert one.evaluate("document.activeElement.id") == "told-title"


def test_a_link_carries_the_row_and_nothing_is_judged_before_its_reader_says_so(
    browser: Browser, url: str, page: Watched
) -> None:
    paste(page.page, MATH)
    page.page.get_by_role("button", name="Copy link").click()
    expect(page.page.locator("#shared")).to_be_visible()
    link = page.page.get_by_label("Link to this row").input_value()
    assert link.startswith(f"{url}/explain#1.") and "boxed" not in link
    with watched(browser, url) as other:
        asked: list[str] = []
        other.page.on("request", lambda request: asked.append(request.url + (request.post_data or "")))
        other.open(link.removeprefix(url))
        expect(other.page.locator("#note")).to_contain_text("came with a link")
        assert other.page.get_by_label("Response", exact=True).input_value() == MATH["response"]
        assert not any("v1/explain" in one or "dfrac" in one or "#" in one for one in asked)
        explain(other.page)
        expect(other.page.locator("#read")).to_have_text("\\boxed{\\dfrac{1}{2}}")


def test_a_row_too_large_for_a_link_says_so(page: Watched) -> None:
    noise = "".join(random.Random(1).choices(string.ascii_letters, k=60_000))
    paste(page.page, {**MATH, "response": noise + MATH["response"]})
    page.page.get_by_role("button", name="Copy link").click()
    expect(page.page.locator("#trouble")).to_contain_text("characters")
    explain(page.page)
    expect(page.page.locator("#read")).to_be_in_viewport()


@pytest.mark.parametrize(
    "tail",
    [
        "1.AAAA",
        "1.!!!",
        fragment([1, 2]),
        fragment("x" * 5_000_000),
        "1." + "A" * 100_000,
    ],
    ids=["no deflate", "no base64", "no object", "bomb", "long"],
)
def test_a_broken_link_says_so(browser: Browser, url: str, tail: str) -> None:
    with watched(browser, url) as found:
        found.open(f"/explain#{tail}")
        expect(found.page.locator("#trouble")).to_contain_text("can't be read")


def test_nothing_that_a_response_ground_truth_or_link_says_is_ever_run(browser: Browser, url: str) -> None:
    """Dialogs, requests elsewhere and console errors fail the test; see `Watched`."""
    rows = [
        {"data_source": "logic__graph", "response": f"<answer>{HOSTILE}</answer>", "ground_truth": HOSTILE},
        {"data_source": "math__aime", "response": f"\\boxed{{{HOSTILE}}}", "ground_truth": HOSTILE},
        {"data_source": HOSTILE, "response": HOSTILE, "ground_truth": [HOSTILE]},
        {
            "data_source": "logic__ordering_puzzle",
            "response": "<answer>" + json.dumps([HOSTILE]) + "</answer>",
            "ground_truth": [HOSTILE + "2"],
            "extra_info": {HOSTILE: HOSTILE},
        },
    ]
    with watched(browser, url) as found:
        elsewhere: list[str] = []
        found.page.on(
            "request", lambda one: elsewhere.append(one.url) if not one.url.startswith(url) else None
        )
        for row in rows:
            found.open("/dashboard")
            found.open(f"/explain#{fragment(row)}")
            expect(found.page.locator("#note")).to_contain_text("came with a link")
            explain(found.page)
            told = found.page.locator("#told")
            assert told.locator("script, img, svg, iframe, object, embed, [onerror], [onload]").count() == 0
            text = found.page.locator("#told").inner_text()
            assert "<script>alert(1)</script>" in text
            assert "\u202e" not in text and "\x1b" not in text and "\\u202e" in text
        found.open("/explain?verdict=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        expect(found.page.locator("#trouble")).to_contain_text("no verdict")
        assert elsewhere == []


def test_kept_verdicts_are_listed_and_opened(browser: Browser, url: str, http: httpx2.Client) -> None:
    item = {"data_source": "logic__graph", "response": "<answer>emu</answer><answer>yak</answer>"}
    reply = http.post("/v1/score?verdicts=1", json={**item, "ground_truth": "owl"})
    name = reply.json()["verdict"]
    with watched(browser, url) as found:
        page = found.open(f"/explain?verdict={name}")
        expect(page.locator(".verdict .figure")).to_have_text("0")
        expect(page.locator("#read")).to_have_text("<answer>yak</answer>")
        expect(page.locator(".flags")).to_contain_text("multiple_answers")
        assert page.get_by_label("Ground truth").input_value() == "owl"
        page.locator("#kept summary").click()
        page.locator("#kept-list button", has_text="yak").first.click()
        page.wait_for_url(f"**/explain?verdict={name}")
        found.keep("explain-kept")
        page.goto(f"{url}/explain?verdict=0123456789abcdef")
        expect(page.locator("#trouble")).to_contain_text("not kept")
        found.said = [said for said in found.said if "404" not in said]


def test_on_a_phone(browser: Browser, url: str) -> None:
    with watched(browser, url, viewport=PHONE, has_touch=True) as found:
        page = found.open(f"/explain#{fragment({**ZEBRA, 'ground_truth': ZEBRA['reward_model']['ground_truth'], 'response': ZEBRA['solution_str']})}")  # type: ignore[index]  # fmt: skip
        expect(page.locator("#note")).to_contain_text("came with a link")
        explain(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert Axe().run(page).violations_count == 0
        found.keep("explain-phone")


def test_a_service_that_is_gone_is_said(browser: Browser) -> None:
    from reward_service.assemble import build_app
    from reward_service.settings import Settings

    settings = Settings(processes=1, spare_processes=0, sandbox="none", verdict_bytes=0)
    with live(build_app(settings)) as base, watched(browser, base) as found:
        page = found.open("/explain")
        page.wait_for_selector("body[data-examples]")
        paste(page, MATH)
        page.route("**/v1/explain", lambda route: route.abort())
        page.get_by_role("button", name="Explain", exact=True).click()
        expect(page.locator("#trouble")).to_contain_text("Not explained")
        page.unroute("**/v1/explain")
        page.locator("#kept summary").click()
        expect(page.locator("#kept-none")).to_be_visible()
        found.said = [said for said in found.said if "ERR_FAILED" not in said]
