"""`/docs`: Swagger UI over the API's description, served from this machine.

What is decided here: FastAPI's own page loads its script from a public host. A cluster often reaches none, and whoever
changed that script would act with the reader's key. So the files are those of the package `fastapi-offline`, which
ships Swagger UI as released, and a browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI

from reward_service.gateway.pages import SECURITY, STATIC, TYPES, File, add_files, add_page, file, policy

POLICY = policy("style-src 'self' 'unsafe-inline'", "img-src 'self' data:")
"""Swagger UI styles its elements and draws its icons inline. It makes HTML as well, of the API's own description only."""
HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reward Service: API</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<main id="swagger-ui"></main>
<script src="{bundle}"></script>
<script src="{start}"></script>
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
    return {
        "icon.svg": file((STATIC / "icon.svg").read_bytes(), TYPES[".svg"]),
        "swagger-ui.css": file((vendor / "swagger-ui.css").read_bytes(), TYPES[".css"]),
        "swagger-ui-bundle.js": file((vendor / "swagger-ui-bundle.js").read_bytes(), TYPES[".js"]),
        "start.js": file(START, TYPES[".js"]),
    }


def add_routes(app: FastAPI) -> None:
    """`/docs` and what it loads."""
    found = files()
    icon, style, *scripts = [f"docs/{name}?v={one.tag}" for name, one in found.items()]
    text = HTML.format(icon=icon, style=style, bundle=scripts[0], start=scripts[1])
    security = {**SECURITY, "Content-Security-Policy": POLICY}
    add_page(app, "/docs", file(text.encode(), "text/html; charset=utf-8"), security)
    add_files(app, "/docs", found, security)
