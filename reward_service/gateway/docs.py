"""`/docs`: Swagger UI over the API's description, served from this machine.

What is decided here: FastAPI's own page loads its script from a public host. A cluster often reaches none, and whoever
changed that script would act with the reader's key. So the files are those of the package `fastapi-offline`, which
ships Swagger UI as released, and a browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import NotFound
from reward_service.gateway.pages import SECURITY, STATIC, File, answer, file, policy

POLICY = policy("style-src 'self' 'unsafe-inline'", "img-src 'self' data:")
"""Swagger UI styles its elements and draws its icons inline. It makes HTML as well, of the API's own description only."""
HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reward Service: API</title>
<link rel="icon" href="docs/icon.svg?v={icon}">
<link rel="stylesheet" href="docs/swagger-ui.css?v={style}">
</head>
<body>
<main id="swagger-ui"></main>
<script src="docs/swagger-ui-bundle.js?v={bundle}"></script>
<script src="docs/start.js?v={start}"></script>
</body>
</html>
"""
START = b"""\
"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  showCommonExtensions: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
"""`validatorUrl`: else a public host is asked whether the description is valid."""


def files() -> dict[str, File]:
    """What the page loads, by its path below `/docs/`."""
    vendor = resources.files("fastapi_offline") / "static"
    script = "text/javascript; charset=utf-8"
    return {
        "swagger-ui.css": file((vendor / "swagger-ui.css").read_bytes(), "text/css; charset=utf-8"),
        "swagger-ui-bundle.js": file((vendor / "swagger-ui-bundle.js").read_bytes(), script),
        "start.js": file(START, script),
        "icon.svg": file((STATIC / "icon.svg").read_bytes(), "image/svg+xml"),
    }


def add_routes(app: FastAPI) -> None:
    """`/docs` and what it loads."""
    found = files()
    text = HTML.format(
        icon=found["icon.svg"].tag,
        style=found["swagger-ui.css"].tag,
        bundle=found["swagger-ui-bundle.js"].tag,
        start=found["start.js"].tag,
    )
    page = file(text.encode(), "text/html; charset=utf-8")
    headers = {**SECURITY, "Content-Security-Policy": POLICY}

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return answer(request, page, headers)

    @app.get("/docs/{name}", include_in_schema=False)
    async def part(name: str, request: Request) -> Response:
        if (one := found.get(name)) is None:
            raise NotFound("no such file")
        return answer(request, one, headers)
