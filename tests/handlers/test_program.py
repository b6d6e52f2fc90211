"""Which text of a response is the program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._program import blocks, canonical, extract, guess
from tests.cost import cpu_within

F = "def f(x):\n    return x + 1"
STDIO = "n = int(input())\nprint(n * 2)"
CPP = "#include <iostream>\nint main() { std::cout << 1; }"


def fence(source: str, language: str = "python") -> str:
    return f"```{language}\n{source}\n```"


DEFINES = {
    "one block": fence(F),
    "no language": fence(F, ""),
    "py": fence(F, "py"),
    "Python3, spaces after it": f"```Python3   \n{F}\n```",
    "attributes after the language": f"```python title=\"x\"\n{F}\n```",
    "braces": f"```{{.python}}\n{F}\n```",
    "tildes": f"~~~python\n{F}\n~~~",
    "no line break before the closing fence": f"```python\n{F}```",
    "no line break before the opening fence": f"The code: ```python\n{F}\n```",
    "in a list": "1. so:\n   ```python\n   def f(x):\n       return x + 1\n   ```",
    "quoted fence inside": fence('def f(x):\n    """\n    >>> f(1)  # ``\n    """\n    return x + 1').replace("``\n", "`\n"),
    "a fence in a docstring": fence('def f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n    return x + 1'),
    "after thinking": f"<think>{fence('def f(x): return 0')}</think>{fence(F)}",
    "the last that defines it": f"{fence('def f(x): return 0')}\nNo:\n{fence(F)}",
    "usage example later": f"{fence(F)}\nUsage:\n{fence('print(f(1))')}",
    "sample output later": f"{fence(F)}\nOutput:\n{fence('2', '')}",
    "shell later": f"{fence(F)}\n{fence('python solution.py', 'bash')}",
    "another language later": f"{fence(F)}\n{fence(CPP, 'cpp')}",
    "end of turn": fence(F) + "<|im_end|>",
    "windows line ends": fence(F).replace("\n", "\r\n"),
    "no fence at all": F,
    "an unclosed block later": fence(F) + "\n```python\ndef f(x): return 0",
}  # fmt: skip


@pytest.mark.parametrize("response", DEFINES.values(), ids=DEFINES.keys())
def test_the_last_complete_block_that_defines_what_is_called(response: str) -> None:
    found = extract(response, "python", ["f"])
    assert found is not None and found.fits and found.language == "python"
    scope: dict[str, object] = {}
    exec(found.source, scope)
    assert scope["f"](1) == 2  # type: ignore[operator]


@pytest.mark.parametrize(
    ("source", "names", "fits"),
    [
        ("class Solution:\n    def g(self): pass", ["Solution.g"], True),
        ("class Solution:\n    def h(self): pass", ["Solution.g"], False),
        ("class Solution(Base):\n    pass", ["Solution.g"], True),
        ("f = lambda x: x", ["f"], True),
        ("f: int = 3", ["f"], True),
        ("f, g = 1, 2", ["g"], True),
        ("async def f(): pass", ["f"], True),
        ("if True:\n    def f(): pass", ["f"], True),
        ("def f(x) return x", ["f"], True),
        ("class f(\n", ["f"], True),
        ("def f2(x): pass", ["f"], False),
        ("def g():\n    def f(): pass", ["f"], False),
        ("# def f(x):", ["f"], False),
        ("def f(): pass", ["f", "g"], False),
        ("def f(): pass\nclass g: pass", ["f", "g"], True),
    ],
)
def test_defining(source: str, names: list[str], fits: bool) -> None:
    found = extract(fence(source), "python", names)
    assert found is not None and found.fits is fits


@pytest.mark.parametrize(
    "response",
    [
        "",
        "I could not solve it.",
        "```python\ndef f(x): return x",
        fence("", "python"),
        fence(CPP, "cpp"),
        "<think>" + fence(F),
    ],
)
def test_no_program(response: str) -> None:
    assert extract(response, "python", ["f"]) is None


PROGRAMS = {
    "one block": fence(STDIO),
    "sample input and output later": f"{fence(STDIO)}\nInput\n{fence('3', '')}\nOutput\n{fence('6', '')}",
    "words as output": f"{fence(STDIO)}\n{fence('YES', '')}",
    "usage example later": f"{fence(STDIO)}\n{fence('print(solve(3))')}",
    "a fragment later": f"{fence(STDIO)}\nThe key line is\n{fence('n * 2')}",
    "shell later": f"{fence(STDIO)}\n{fence('echo 3 | python a.py', 'bash')}",
    "the last one": f"{fence('print(0)')}\n{fence(STDIO)}",
}  # fmt: skip


@pytest.mark.parametrize("response", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_last_block_that_is_a_program(response: str) -> None:
    found = extract(response, "python", ())
    assert found is not None and found.source == STDIO


def test_languages_from_the_fence_the_row_or_the_text() -> None:
    assert extract(fence(CPP, "c++"), None) == (CPP, "cpp", True)
    assert extract(fence(CPP, ""), None) == (CPP, "cpp", True)
    assert extract(fence(CPP, ""), "cpp") == (CPP, "cpp", True)
    assert extract(fence("int main() {}", "c"), "cpp") == ("int main() {}", "cpp", True)
    both = fence(STDIO) + "\n" + fence(CPP, "cpp")
    assert extract(both, None) == (CPP, "cpp", True)
    assert extract(both, "python") == (STDIO, "python", True)
    assert extract(both, "java") is None
    assert canonical("Python3") == "python" and canonical("C++17") == "cpp" and canonical("brainfuck") is None
    assert guess("fn main() {}") == "rust" and guess("1 2 3 ?") is None


def test_a_program_that_lacks_an_import_is_not_passed_over_for_an_example() -> None:
    lacking = "n = int(input())\nprint(gcd(n, 4))"
    assert extract(f"{fence(lacking)}\n{fence('print(gcd(3, 4))')}\n{fence('3', '')}", "python") == (
        lacking,
        "python",
        False,
    )


def test_a_program_that_does_not_parse_is_the_answer_all_the_same() -> None:
    assert extract(fence("print(1"), "python") == ("print(1", "python", False)


@given(st.text(alphabet="`~\npython def f(x):{}", max_size=300))
def test_any_text_has_at_most_one_program(text: str) -> None:
    found = extract(text, "python", ["f"])
    assert found is None or found.source.strip()
    for block in blocks(text):
        assert block.source in text.replace("\r\n", "\n") or "\n" in block.source


@pytest.mark.parametrize(
    "text", ["```" * 80_000, "```python\n" * 20_000, "~~~\n```\n" * 30_000, "(" * 60_000, fence("(" * 60_000)]
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    with cpu_within(2.0):
        extract(text, "python", ["f"])
