"""Where the answer is and which dress it wears: what is taken off, what never is, and that nothing is quadratic."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers import _logic, _text
from reward_service.handlers._logic import Answer, hedged, last_answer, plain, published_answer, undress
from reward_service.handlers._text import (
    TAIL,
    answer_lines,
    boxes,
    closing_brace,
    collapse,
    fences,
    final_part,
    peel,
    plain_characters,
    tags,
    unwrap_macros,
)
from tests.cost import cpu_within

# Where


@pytest.mark.parametrize(
    ("response", "final"),
    [
        ("", ""),
        ("42", "42"),
        ("<think>a</think>42", "42"),
        ("<think>a</think>b</think>42", "42"),
        ("<thinking>a</thinking>\n42", "\n42"),
        ("<think>a</think>b</thinking>42", "42"),
        ("<think>a</thinking>b</think>42", "42"),
        ("a</think>42", "42"),
        ("<think>42", ""),
        ("  \n<think>42", ""),
        ("<thinking>42", ""),
        ("<think>a</think><think>42", ""),
        ("<think>a</think>", ""),
        ("42<|im_end|>", "42"),
        ("42 <|im_end|>\n<|endoftext|>  ", "42"),
        ("42</s></s> </s>", "42"),
        ("42<｜end▁of▁sentence｜>", "42"),
        ("<|im_end|>42", "<|im_end|>42"),
        ("</s>", ""),
        ("42 \n", "42"),
        ("x" * TAIL + "42", "x" * (TAIL - 2) + "42"),
    ],
)
def test_the_final_part(response: str, final: str) -> None:
    assert final_part(response) == final


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{42}", ["42"]),
        (r"\boxed {42}", ["42"]),
        ("\\boxed\n{42}", ["42"]),
        (r"\fbox{42} \fboxed{43}", ["42", "43"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        (r"\boxed{\boxed{42}}", [r"\boxed{42}"]),
        (r"\boxed{a} then \boxed{b}", ["a", "b"]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\boxed{a\\}", [r"a\\"]),
        (r"\boxed{}", [""]),
        (r"\boxed{42", []),
        (r"\boxed{42\}", []),
        (r"\boxed{a \boxed{b}", ["b"]),
        (r"\boxed{a \boxed{b} \boxed{c}", ["b", "c"]),
        (r"\boxed{a{ \boxed{b} \boxed{c{} d}", ["b", "c{} d"]),
        (r"\boxed 42", []),
        (r"boxed{42}", []),
        (r"\boxes{42}", []),
        ("", []),
    ],
)
def test_boxes(text: str, contents: list[str]) -> None:
    spans = boxes(text)
    assert [span.content for span in spans] == contents
    for span in spans:
        assert text[span.start : span.end].startswith("\\") and text[: span.end].endswith(span.content + "}")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("{}", 0, 1), ("{a{b}c}", 0, 6), ("{a{b}c}", 2, 4), (r"{\}}", 0, 3), (r"{\{}", 0, 3), (r"{\\}", 0, 3), ("{", 0, None), ("{{}", 0, None)],
)  # fmt: skip
def test_the_brace_that_closes(text: str, start: int, end: int | None) -> None:
    assert closing_brace(text, start) == end


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("<answer>42</answer>", ["42"]),
        ("<ANSWER>42</Answer>", ["42"]),
        ("<answer>\n42\n</answer>", ["\n42\n"]),
        ("<answer>a</answer><answer>b</answer>", ["a", "b"]),
        ("<answer>a <answer>b</answer>", ["b"]),
        ("<answer>a</answer> b</answer>", ["a"]),
        ("</answer><answer>a", []),
        ("<answer>a", []),
        ("<answer >a</answer>", []),
        ("<answers>a</answers>", []),
        ("İ<answer>İ</answer>İ", ["İ"]),
        ("", []),
    ],
)
def test_tags(text: str, contents: list[str]) -> None:
    spans = tags(text, "answer")
    assert [span.content for span in spans] == contents
    for span in spans:
        assert text[span.start : span.end].lower().startswith("<answer>")
        assert text[span.start : span.end].lower().endswith("</answer>")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\nx = 1\n```", [("python", "x = 1")]),
        ("```\nx\n```", [("", "x")]),
        ("``` Python \nx\n```", [("python", "x")]),
        ("~~~c++\nx\n~~~", [("c++", "x")]),
        ("  ```py\n  x\n  ```", [("py", "  x\n  ")]),
        ("```python title=x.py\nx\n```", [("python", "x")]),
        ("```a\nx\n```\ntext\n```b\ny\n```", [("a", "x"), ("b", "y")]),
        ("```a\nx```", [("a", "x")]),
        ("```a\nx``` \nmore", [("a", "x")]),
        ("```a\nx\n``` and so on", [("a", "x")]),
        ("```a\nprint('```')\ny\n```", [("a", "print('```')\ny")]),
        ('```a\ns = "```" + x\n```', [("a", 's = "```" + x')]),
        ("````md\n```py\nx\n```\n````", [("md", "```py\nx\n```")]),
        ("````a\nx\n```", [("a", "x")]),
        ("```a\nx\n`````", [("a", "x")]),
        ("```a\nx\n```\n```b\ny", [("a", "x")]),
        ("```a\nx\n~~~", []),
        ("```a\nx", []),
        ("x ```a\ny\n```", []),
        ("`` `x` ``", []),
        ("```x```", []),
        ("", []),
    ],
)
def test_fences(text: str, found: list[tuple[str, str]]) -> None:
    spans = fences(text)
    assert [(span.language, span.body) for span in spans] == found
    assert all(text[span.start : span.end].strip()[:1] in "`~" for span in spans)


def test_a_fence_ends_where_it_says() -> None:
    text = "before\n```a\nx\n```\nafter"
    (span,) = fences(text)
    assert (text[: span.start], text[span.end :]) == ("before\n", "\nafter")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("The answer is 42", ["42"]),
        ("**Final Answer:** 42", ["42"]),
        ("answer: a\nAnswer = b", ["a", "b"]),
        ("The correct answer is: 42.", ["42."]),
        ("the answer is not known; the answer is 42", ["42"]),
        ("Answer:\n42", [""]),
        ("answers: 42", []),
        ("my answer will be 42", []),
        ("", []),
    ],
)
def test_answer_lines(text: str, lines: list[str]) -> None:
    assert list(answer_lines(text)) == lines


# Dress


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("**42**", "42"),
        ("`42`", "42"),
        ("``42``", "42"),
        ("$42$", "42"),
        ("$$42$$", "42"),
        (r"\(42\)", "42"),
        (r"\[ 42 \]", "42"),
        ('"42"', "42"),
        ("'42'", "42"),
        ("*42*.", "42"),
        ("**42.**", "42"),
        ("**$`42`$**", "42"),
        ("42.", "42"),
        (" 42 . ", "42"),
        ("42..", "42.."),
        ("42...", "42..."),
        ("wait . . .", "wait . . ."),
        (".", "."),
        ("", ""),
        ("*", "*"),
        ("**", "**"),
        ("$5$ and $6$", "$5$ and $6$"),
        ('"a" or "b"', '"a" or "b"'),
        ("'a', 'b'", "'a', 'b'"),
        ("a*b*", "a*b*"),
        ("$42", "$42"),
        ("-.5", "-.5"),
    ],
)
def test_peel(text: str, bare: str) -> None:
    assert peel(text) == bare


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (r"\text{a}", "a"),
        (r"x = \mathbf{\text{a}} b", "x = a b"),
        (r"\operatorname*{gcd}", "gcd"),
        (r"\text {a}", "a"),
        (r"\frac{\text{a}}{b}", r"\frac{a}{b}"),
        (r"\text{a \{b\} c}", r"a \{b\} c"),
        (r"\text{a", r"\text{a"),
        (r"\text{a \text{b}", r"\text{a b"),
        (r"\texture{a}", r"\texture{a}"),
        (r"\sqrt{2}", r"\sqrt{2}"),
        ("plain {a}", "plain {a}"),
    ],
)
def test_macros(text: str, bare: str) -> None:
    assert unwrap_macros(text) == bare


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("plain", "plain"),
        ("−5 – 6 — 7 ‐ 8", "-5 - 6 - 7 - 8"),
        ("‘a’ “b” ′", "'a' \"b\" '"),
        ("a\u00a0b\u202fc\u3000d", "a b c d"),
        ("a\u200bb\u00adc\ufeff", "abc"),
        ("４２％", "42%"),
        ("Ａｂ", "Ab"),
        ("𝟒𝟐", "42"),
        ("𝐱", "x"),
        ("ﬁne", "fine"),
        ("é", "é"),
        ("e\u0301", "é"),
        ("P｜Q∣R", "P|Q|R"),
        ("km²", "km2"),
        # What stands in the exponent is no digit of the number, and a fraction is none either.
        ("10²", "10^2"),
        ("10²³", "10^23"),
        ("10⁻³", "10^-3"),
        ("1.5×10⁶ m", "1.5×10^6 m"),
        ("2½", "2 1\u20442"),
        ("½", "1\u20442"),
        ("12¾ cups", "12 3\u20444 cups"),
        ("x₁", "x1"),
    ],
)
def test_look_alikes(text: str, ascii_text: str) -> None:
    assert plain_characters(text) == ascii_text


@given(st.text(alphabet="0123456789²³⁵⁻½¾.x ", min_size=1, max_size=12))
def test_no_two_numbers_become_one(text: str) -> None:
    """A digit that is raised never joins the digits before it."""
    digits = "".join(c for c in text if c in "0123456789")
    said = plain_characters(text)
    if any(c in text for c in "²³⁵½¾") and text[0].isascii() and digits == text[: len(digits)] and digits:
        assert said[len(digits) : len(digits) + 1] not in set("0123456789")


def test_honest_marks_stay_and_a_pile_of_them_is_cut() -> None:
    thirty = "a" + "\u0323\u0301" * 15
    assert plain_characters(thirty) == unicodedata.normalize("NFKC", thirty)
    assert len(plain_characters("a" + "\u0301" * 500)) <= 31
    family = "\U0001f468\U0001f469\U0001f467" * 40
    assert plain_characters(family) == family


def test_collapse() -> None:
    assert collapse(" a \n\t b  ") == "a b"
    assert collapse(" \n ") == ""


# The logic data sets


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<answer>a</answer>", Answer("a", True, False)),
        ("<answer>\na\n</answer>", Answer("a", True, False)),
        ("<answer>a</answer> <answer>b</answer>", Answer("b", True, True)),
        ("<answer>a</answer> <answer> a </answer>", Answer("a", True, False)),
        (r"\boxed{a}", Answer("a", True, False)),
        (r"<answer>a</answer> \boxed{b}", Answer("b", True, True)),
        (r"\boxed{b} <answer>a</answer>", Answer("a", True, False)),
        (r"<answer>\boxed{a}</answer>", Answer(r"\boxed{a}", True, False)),
        ("<answer>a", Answer("a", False, False)),
        ("<answer>a</answer><answer>b", Answer("b", False, True)),
        ("<Answer>a", Answer("a", False, False)),
        ("<think><answer>a</answer></think>b", None),
        ("<think><answer>a</answer>", None),
        ("nothing", None),
        (r"\boxed{a", None),
        ("", None),
    ],
)
def test_the_last_answer(response: str, answer: Answer | None) -> None:
    assert last_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<answer> a </answer>", "a"),
        ("<answer>a</answer> <answer>b</answer>", "b"),
        ("<answer>a <answer>b</answer>", "a <answer>b"),
        ("<answer>a</answer> <answer>b", "a"),
        ("<answer>a\n</answer>", None),
        ("<Answer>a</Answer>", None),
        ("<think><answer>a</answer>", "a"),
        ("<answer></answer>", ""),
        ("", None),
    ],
)
def test_the_published_answer(response: str, answer: str | None) -> None:
    assert published_answer(response) == answer


def test_the_published_answer_over_lines() -> None:
    assert published_answer("<answer>a\nb</answer>", over_lines=True) == "a\nb"
    assert published_answer("<answer>a</answer>\n<answer>b", over_lines=True) == "a"


@pytest.mark.parametrize(
    "text", ["not a", "a or b", "it isn't", "it isn’t", "MAYBE", "either", "a, if b", "never", "Nobody"]
)
def test_hedges(text: str) -> None:
    assert hedged(text)


@pytest.mark.parametrize("text", ["", "a", "knot", "the order is", "north", "iff", "it's", "normal", "bison"])
def test_what_only_looks_like_a_hedge(text: str) -> None:
    assert not hedged(text)


@pytest.mark.parametrize(
    ("content", "bare"),
    [
        ("```\na\n```", "a"),
        ("```json\n[1]\n```", "[1]"),
        ("```json [1]```", "[1]"),
        ("```a```", "a"),
        (r"\boxed{\text{**a**}}.", "a"),
        (r"The answer is \boxed{a}", "a"),
        (r"It is not \boxed{a}", r"It is not \boxed{a}"),
        (r"\boxed{a} or \boxed{b}", r"\boxed{a} or \boxed{b}"),
        ("“a”", "a"),
        ("a", "a"),
        ("", ""),
    ],
)
def test_undress(content: str, bare: str) -> None:
    assert undress(content) == bare


@pytest.mark.parametrize("name", ["time-travel", "Time_Travel", "time  travel", "TIME travel"])
def test_plain_names(name: str) -> None:
    assert plain(name) == "time travel"


def test_plain_names_keep_what_makes_them_others() -> None:
    assert len({plain(name) for name in ("timetravel", "time travel", "time-travels", "straße", "ß")}) == 5


# Whatever the text is

FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "final_part": final_part,
    "boxes": boxes,
    "tags": lambda text: tags(text, "answer"),
    "fences": fences,
    "plain_characters": plain_characters,
    "unwrap_macros": unwrap_macros,
    "peel": peel,
    "collapse": collapse,
    "answer_lines": lambda text: list(answer_lines(text)),
    "last_answer": last_answer,
    "published_answer": published_answer,
    "hedged": hedged,
    "undress": undress,
    "plain": plain,
}
PIECES = st.sampled_from(
    ["<answer>", "</answer>", "<think>", "</think>", r"\boxed{", "}", "{", r"\}", "```", "````", "~~~", "\n", "**", "$", "'", ".", " ",
     r"\text{", "a", "the answer is", "²", "½", "\u0301", "</s>", "\u200b", "\ud800", "İ"]
)  # fmt: skip
MESS = st.lists(PIECES, max_size=24).map("".join)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(text=MESS | st.text(max_size=80))
def test_any_text_has_a_result_and_always_the_same(name: str, text: str) -> None:
    assert FUNCTIONS[name](text) == FUNCTIONS[name](text)


@given(MESS)
def test_spans_are_in_order_and_apart(text: str) -> None:
    for spans in (boxes(text), tags(text, "answer"), fences(text)):
        places = [place for span in spans for place in (span.start, span.end)]
        assert places == sorted(places)
        assert all(0 <= place <= len(text) for place in places)


@given(MESS)
def test_undressing_twice_is_undressing_once_or_it_was_deeply_dressed(text: str) -> None:
    assert peel(peel(text)) == peel(text)
    assert plain_characters(plain_characters(text)) == plain_characters(text)


@given(st.text(alphabet=st.characters(exclude_characters="\\{}"), max_size=40))
def test_a_closed_box_gives_its_content_back(text: str) -> None:
    assert [span.content for span in boxes(f"so \\boxed{{{text}}} it is")] == [text]


# Everything is linear

LENGTH = 200_000
HOSTILE = {
    "end tokens": "x" + "</s>" * (LENGTH // 4),
    "end tokens and spaces": "x" + "<|im_end|>\n" * (LENGTH // 11),
    "open tags": "<answer>" * (LENGTH // 8),
    "closed tags": "</answer>" * (LENGTH // 9),
    "alternating tags": "<answer></answer>" * (LENGTH // 17),
    "thoughts": "<think></think>" * (LENGTH // 15),
    "open boxes": r"\boxed{" * (LENGTH // 7),
    "nested boxes": r"\boxed{" * (LENGTH // 8) + "}" * (LENGTH // 8),
    "almost closed boxes": r"\boxed{" * (LENGTH // 8) + "}" * (LENGTH // 8 - 1),
    "boxes": r"\boxed{}" * (LENGTH // 8),
    "box without brace": r"\boxed" + " " * LENGTH,
    "open macros": r"\text{" * (LENGTH // 6),
    "nested macros": r"\text{" * (LENGTH // 7) + "}" * (LENGTH // 7),
    "macros": r"\text{}" * (LENGTH // 7),
    "braces": "{" * LENGTH,
    "closed braces": "}" * LENGTH,
    "backslashes": "\\" * LENGTH,
    "ticks": "`" * LENGTH,
    "ticks and word": "`" * LENGTH + "x`",
    "a fence line that is none": "```" + "a" * LENGTH + "`",
    "spaces in a fence line": "```" + " " * LENGTH + "`",
    "tildes": "~" * LENGTH + "`",
    "fences": "```\n```\n" * (LENGTH // 8),
    "longer and longer fences": "\n".join("`" * n + "\nx\n```" for n in range(4, 600)),
    "open fences": "```x\n" * (LENGTH // 5),
    "ticks within lines": "```\n" + "a```b\n" * (LENGTH // 6),
    "full stops": "a" + " ." * (LENGTH // 2),
    "dots": "." * LENGTH,
    "quotes": "'\"" * (LENGTH // 2),
    "stars": "*" * LENGTH,
    "dollars": "$" * LENGTH,
    "dollars and stars": "$*" * (LENGTH // 2),
    "spaces": " " * LENGTH,
    "lines": "\n" * LENGTH,
    "the the the": "the " * (LENGTH // 4),
    "the": "the" + " " * LENGTH,
    "answers": "answer is " * (LENGTH // 10),
    "the answer": "the final answer" + " " * LENGTH + "was",
    "combining marks": "a" + "\u0301\u0323" * (LENGTH // 2),
    "hidden marks": "a" + "\uff9e\u0301" * (LENGTH // 2),
    "tibetan marks": "a" + "\u0f73\u0f71" * (LENGTH // 2),
    "raised digits": "1" + "²" * LENGTH,
    "fractions": "1½" * (LENGTH // 2),
    "long ligatures": "\ufdfa" * (LENGTH // 18),
    "invisible": "\u200b" * LENGTH,
    "apostrophes": "n't" * (LENGTH // 3),
    "words": "maybe not " * (LENGTH // 10),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_text_takes_more_than_linear_time(name: str) -> None:
    """200,000 characters, and at most two seconds of CPU time: what is quadratic takes minutes."""
    for what, text in HOSTILE.items():
        with cpu_within(2.0, what):
            FUNCTIONS[name](text)


def test_the_list_of_shared_functions_is_complete() -> None:
    public = {
        name
        for module in (_logic, _text)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
        and not isinstance(value, type)
    }
    assert public == {*FUNCTIONS, "closing_brace"}
