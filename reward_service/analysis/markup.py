"""HTML in which text can't become markup.

What is decided here: only this module makes `Html`, and whatever else is put into an element is escaped, and made visible where
it would move or hide text. So a page that is built with `tag` shows a hostile response as what it is, wherever it is put.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from reward_service.visible import clean

_NAME = re.compile(r"[a-z][a-z0-9-]*\Z", re.IGNORECASE)
_VOID = {"meta", "link", "br", "hr"}
_UNSAFE = {"script", "iframe", "object", "embed", "base", "form", "foreignobject", "use", "image", "img", "a"}


class Html(str):
    """Markup that is safe to write as it is."""

    __slots__ = ()


Content = Html | str | int | None | Iterable["Content"]
Value = str | int | float | bool | None


def safe(content: Content) -> Html:
    """Markup as it is, anything else as text; nothing for None."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str | int):
        return Html(escape(clean(str(content))))
    return Html("".join(safe(part) for part in content))


def tag(name: str, /, *content: Content, **attributes: Value) -> Html:
    """An element. Attributes: `class_` and `for_` lose the underscore, others become hyphens; None leaves one out.

    Elements that load, run or link to anything can't be made, nor can `style` and `on…` attributes: the page's policy forbids
    them, too. ValueError for those.
    """
    if not _NAME.match(name) or name.lower() in _UNSAFE:
        raise ValueError(f"no element {name!r} on this page")
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        if not _NAME.match(key) or key.startswith("on") or key in ("style", "src", "href", "srcdoc"):
            raise ValueError(f"no attribute {key!r} on this page")
        parts.append(key if value is True else f'{key}="{escape(clean(number(value)), quote=True)}"')
    head = f"<{' '.join(parts)}>"
    return Html(head) if name in _VOID else Html(f"{head}{safe(content)}</{name}>")


def link(anchor: str, text: str) -> Html:
    """A link to a place on the page. `anchor` is ours."""
    if not _NAME.match(anchor):
        raise ValueError(f"no anchor {anchor!r}")
    return Html(f'<a href="#{anchor}">{safe(text)}</a>')


def document(title: str, style: str, body: Html) -> str:
    """A whole page that loads nothing, runs nothing, and has no style but `style` (which is ours)."""
    from base64 import b64encode
    from hashlib import sha256

    if "</" in style:
        raise ValueError("a style sheet can't hold an end tag")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        Html(f"<style>{style}</style>"),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def number(value: Value) -> str:
    """A number as short as a chart needs it; text as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
