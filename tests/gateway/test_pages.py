"""The pages' frame and static files: headers, caching, what is vendored, and that the wheel has all of it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from reward_service.gateway.pages import PAGES, STATIC, add_routes, static_files
from tests.gateway.conftest import live

ROOT = Path(__file__).parents[2]
ROUTES = [page.route for page in PAGES]


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_names_files_that_are_there_and_are_kept_for_good(http: httpx2.Client, route: str) -> None:
    page = http.get(route)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert "<!-- " not in page.text, "a part of the frame was not filled in"
    names = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    assert len(names) >= 3
    for name in names:
        found = http.get(f"/{name}")
        assert found.status_code == 200, name
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", [*ROUTES, "/static/base.css", "/static/theme.js"])
def test_headers_forbid_what_a_response_might_try(http: httpx2.Client, path: str) -> None:
    headers = http.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", [*ROUTES, "/static/base.css"])
def test_what_a_browser_has_is_not_sent_again(http: httpx2.Client, path: str) -> None:
    tag = http.get(path).headers["etag"]
    again = http.get(path, headers={"if-none-match": f'W/"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert http.get(path, headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing.js", "frame.html", "../pages.py", "%2e%2e/pages.py", "vendor", "", "/etc/passwd"]
)
def test_nothing_else_is_served(http: httpx2.Client, name: str) -> None:
    assert http.get(f"/static/{name}").status_code == 404


def test_a_setting_removes_the_pages() -> None:
    from reward_service.assemble import build_app
    from reward_service.settings import Settings

    with live(build_app(Settings(dashboard=False, sandbox="none", processes=1))) as url:
        for path in (*ROUTES, "/static/base.css"):
            assert httpx2.get(url + path).status_code == 404
        assert httpx2.get(url + "/healthz").status_code == 200


def test_pages_hold_no_script_style_or_handler_of_their_own() -> None:
    app = FastAPI()
    add_routes(app)
    client = TestClient(app)
    for route in ROUTES:
        text = client.get(route).text
        assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:|https?://", text), (
            route
        )


def test_our_scripts_never_make_html_from_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://"
    )
    for path in STATIC.rglob("*.js"):
        if "vendor" not in path.parts:
            text = path.read_text().replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
            assert not forbidden.search(text), path.name


def test_what_is_vendored_is_what_the_list_says() -> None:
    folder = STATIC / "vendor"
    listed = {
        fields[3]: fields[4]
        for line in (folder / "README.txt").read_text().splitlines()
        if len(fields := line.split()) == 5 and len(fields[4]) == 64
    }
    there = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "README.txt"
    }
    assert there == listed


def test_the_wheel_has_every_static_file(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert wanted
    assert wanted <= names
    assert {f"reward_service/gateway/static/{name}" for name in static_files()} <= names
