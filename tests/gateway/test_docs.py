"""`/docs`: the API's description in a real Chromium, with nothing from elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.gateway.browser import watched


@pytest.mark.browser
def test_the_page_shows_the_routes_and_loads_nothing_from_elsewhere(browser: Browser, url: str) -> None:
    with watched(browser, url) as found:
        asked: list[str] = []
        found.page.on("request", lambda request: asked.append(request.url))
        page = found.open("/docs")
        expect(page.get_by_role("heading", name="Reward Service")).to_be_visible()
        expect(page.locator(".opblock")).not_to_have_count(0)
        assert page.locator(".opblock").count() >= 20
        page.locator("#operations-default-score_v1_score_post, [id$=v1_score_post]").first.click()
        page.get_by_role("button", name="Execute").first.click()
        expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
        found.keep("docs", full=False)
    assert {urlsplit(one).netloc for one in asked if not one.startswith("data:")} == {urlsplit(url).netloc}


def test_what_a_browser_may_do_there(http: httpx2.Client) -> None:
    reply = http.get("/docs")
    assert reply.status_code == 200 and "://" not in re.sub(r"<!doctype[^>]*>", "", reply.text)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "script-src" not in policy and "unsafe-eval" not in policy
    assert reply.headers["x-frame-options"] == "DENY"
    for name in re.findall(r'(?:href|src)="([^"]+)"', reply.text):
        part = http.get(f"/{name}")
        assert part.status_code == 200 and "immutable" in part.headers["cache-control"]
    assert http.get("/docs/nothing.js").status_code == http.get("/redoc").status_code == 404
