"""Text can't become markup, and the page's policy lets nothing run."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.analysis.markup import Html, document, link, safe, tag
from reward_service.visible import clean


class Seen(HTMLParser):
    """What a browser would see: elements, attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</title><img src=x onerror=alert(1)>",
        "\"' onload=x",
        "&lt;b&gt;",
        "]]>",
        "<!--",
        "\u202e\x00\ud800",
    ]
)


@given(HOSTILE, HOSTILE)
def test_text_stays_text(text: str, value: str) -> None:
    seen = Seen(tag("p", text, title=value))
    assert seen.elements == [("p", {"title": clean(value)})]
    assert "".join(seen.text) == clean(text)


def test_markup_is_kept_and_nothing_is_nothing() -> None:
    made = tag(
        "p",
        tag("b", "<"),
        None,
        [1, " & ", Html("<br>")],
        class_="a",
        for_="x",
        hidden=True,
        title=None,
        cx=1 / 3,
    )
    assert made == '<p class="a" for="x" hidden cx="0.33333"><b>&lt;</b>1 &amp; <br></p>'
    assert safe(Html("<i></i>")) == "<i></i>"


@pytest.mark.parametrize(
    "name", ["script", "SCRIPT", "iframe", "img", "a", "form", "object", "base", "x y", "", "b>"]
)
def test_elements_that_load_or_run_can_not_be_made(name: str) -> None:
    with pytest.raises(ValueError, match="element"):
        tag(name)


@pytest.mark.parametrize("name", ["onclick", "style", "src", "href", "srcdoc", "a b", "x>"])
def test_attributes_that_load_or_run_can_not_be_made(name: str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        tag("p", **{name: "x"})


def test_links_go_to_places_on_the_page() -> None:
    assert link("part-2", "<x>") == '<a href="#part-2">&lt;x&gt;</a>'
    with pytest.raises(ValueError, match="anchor"):
        link("x y", "")


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    page = document("</title><script>", "p { color: red }", tag("p", "x"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    digest = b64encode(sha256(b"p { color: red }").digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert [name for name, _ in Seen(page).elements if name in ("script", "title")] == ["title"]
    with pytest.raises(ValueError, match="end tag"):
        document("", "</style>", Html(""))
