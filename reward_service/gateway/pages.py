"""The pages for people and their static files: what is served, and what a browser may do with it.

What is decided here: pages show what policies wrote, so a browser is told to run and load nothing but the files
of this package (no inline script or style, no other host, and no HTML made from text: `require-trusted-types-for`
makes `innerHTML` throw). Links are relative, so that the service may live under a path of a proxy. Everything is
read once, at the start, and served with its hash: an address with the hash is kept for good, one without is asked
for again by ETag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import NotFound

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served out of `static`; the pages' own HTML is not, it stands in the frame."""
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


def policy(*more: str) -> str:
    """A content security policy: nothing but this service's own files, and what `more` adds."""
    return "; ".join(
        (
            "default-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            *more,
        )
    )


SECURITY = {
    "Content-Security-Policy": policy("require-trusted-types-for 'script'", "trusted-types 'none'"),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its route, the text of its link, the file with its main part, and what it loads, in this order."""

    route: str
    title: str
    body: str
    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


PAGES = (
    Page(
        "/dashboard",
        "Dashboard",
        "dashboard.html",
        styles=("vendor/uplot/uPlot.min.css", "dashboard.css"),
        scripts=("vendor/uplot/uPlot.iife.min.js",),
        modules=("dashboard.js",),
    ),
    Page("/explain", "Explain", "explain.html", styles=("explain.css",), modules=("explain.js",)),
)


@dataclass(frozen=True, slots=True)
class File:
    """Something to serve. tag: the start of its SHA-256."""

    content: bytes
    kind: str
    tag: str


def file(content: bytes, kind: str) -> File:
    """Content with its hash."""
    return File(content, kind, hashlib.sha256(content).hexdigest()[:16])


def static_files(folder: Path = STATIC) -> dict[str, File]:
    """Every file that may be fetched, by its path below `/static/`."""
    return {
        path.relative_to(folder).as_posix(): file(path.read_bytes(), TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }


def render(page: Page, files: dict[str, File], folder: Path = STATIC) -> File:
    """The page in the frame that all share. KeyError if it names a file that isn't there."""

    def link(name: str) -> str:
        return f"static/{name}?v={files[name].tag}"

    head = [f'<link rel="stylesheet" href="{link(name)}">' for name in ("base.css", *page.styles)]
    # theme.js first and blocking: no page may flash in the other colours.
    head += [f'<script src="{link(name)}"></script>' for name in ("theme.js", *page.scripts)]
    head += [f'<script type="module" src="{link(name)}"></script>' for name in page.modules]
    links = [
        f'<a href="{escape(other.route[1:])}"{" aria-current=page" if other is page else ""}>{escape(other.title)}</a>'
        for other in PAGES
    ]
    parts = {
        "title": escape(page.title),
        "icon": link("icon.svg"),
        "head": "\n".join(head),
        "links": "\n".join(links),
        "main": (folder / page.body).read_text(),
    }
    text = (folder / "frame.html").read_text()
    for name, value in parts.items():
        text = text.replace(f"<!-- {name} -->", value)
    return file(text.encode(), "text/html; charset=utf-8")


def answer(request: Request, found: File, security: Mapping[str, str]) -> Response:
    """The file, or 304 if the browser has it."""
    asked = request.query_params.get("v")
    headers = {
        **security,
        "ETag": f'"{found.tag}"',
        "Cache-Control": FOREVER if asked == found.tag else ASK_AGAIN,
    }
    if f'"{found.tag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.kind, headers=headers)


def add_routes(app: FastAPI) -> None:
    """The pages and `/static/…`."""
    files = static_files()
    for page in PAGES:
        add_page(app, page.route, render(page, files))
    add_files(app, "/static", files)


def add_page(app: FastAPI, route: str, content: File, security: Mapping[str, str] = SECURITY) -> None:
    """One page."""

    @app.get(route, include_in_schema=False)
    async def page(request: Request) -> Response:
        return answer(request, content, security)


def add_files(
    app: FastAPI, below: str, files: Mapping[str, File], security: Mapping[str, str] = SECURITY
) -> None:
    """Files by their path below a route. Whatever else is asked for there is NotFound."""

    @app.get(f"{below}/{{name:path}}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        # A look-up in what was read at the start: no path of a request ever reaches the file system.
        if (found := files.get(name)) is None:
            raise NotFound("no such file")
        return answer(request, found, security)
