"""Assert-style tests against a program in another process: what passes, what fails, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.sandbox_runtime.drive import run_tests

LINKED = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def chain(values):
    head = None
    for value in reversed(values):
        head = ListNode(value, head)
    return head

def unchain(node):
    found = []
    while node:
        found.append(node.val)
        node = node.next
    return found
"""
REVERSE = """
class Solution:
    def turn(self, head):
        last = None
        while head:
            head.next, last, head = last, head, head.next
        return last
"""
STACK = """
class Empty(ValueError):
    pass

class Stack:
    size = 3
    def __init__(self):
        self.items = []
    def push(self, x):
        self.items.append(x)
        return self
    def pop(self):
        if not self.items:
            raise Empty("nothing there")
        return self.items.pop()
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __contains__(self, x):
        return x in self.items
    def __getitem__(self, n):
        return self.items[n]
    def __str__(self):
        return f"Stack({self.items})"
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.items.clear()
"""


class Case(NamedTuple):
    source: str
    tests: str
    entry: str = "f"
    preamble: str = ""
    framework: str = "script"
    options: dict[str, Any] = {}  # noqa: RUF012


CHECK = "def check(candidate):\n    "
PASSES = {
    "plain asserts": Case("def f(x): return x * 2", "assert f(2) == 4\nassert f('a') == 'aa'"),
    "check function": Case("def f(x): return x * 2", CHECK + "assert candidate(2) == 4\ncheck(f)"),
    "check framework": Case("def f(x): return x * 2", CHECK + "assert candidate(2) == 4", framework="check"),
    "bound method": Case(
        "class Solution:\n    def g(self, x): return x + 1", CHECK + "assert candidate(x=1) == 2\ncheck(Solution().g)",
        "Solution().g",
    ),
    "method without an instance": Case(
        "class Solution:\n    def g(self, x): return x + 1", CHECK + "assert candidate(1) == 2\ncheck(Solution.g)",
        "Solution.g",
    ),
    "static method": Case(
        "class Solution:\n    @staticmethod\n    def g(x): return x + 1", "assert Solution.g(1) == 2", "Solution.g"
    ),
    "asserts sent ahead": Case(
        "def f(n): return n * n",
        CHECK + "\n    ".join(f"assert candidate({n}) == {n * n}" for n in range(300)) + "\ncheck(f)",
    ),
    "deep equality loop": Case(
        "def f(a, b): return (a / b, [a])",
        "ins = [(1, 3), (2, 4)]\nouts = [[1 / 3 + 1e-9, [1]], [0.5, [2]]]\n"
        "def same(a, b):\n    if isinstance(b, (list, tuple)):\n"
        "        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))\n"
        "    return abs(a - b) < 1e-6 if isinstance(b, float) else a == b\n"
        "for i, o in zip(ins, outs):\n    assert same(f(*i), o)",
    ),
    "typed values": Case(
        "import collections, fractions, decimal, datetime\nVALUES = [(1, 2), {3, 4}, frozenset('a'), {(1,): b'x'}, 1j, "
        "range(3), 2 ** 80, -(2 ** 90), float('inf'), fractions.Fraction(1, 3), decimal.Decimal('1.50'), "
        "datetime.date(2024, 1, 2), datetime.timedelta(days=1), None, bytearray(b'y'), True, 1.0]\n"
        "def f(n): return VALUES[n]\ndef g(): return collections.Counter('aab')",
        "import fractions, decimal, datetime\n"
        "want = [(1, 2), {3, 4}, frozenset('a'), {(1,): b'x'}, 1j, range(3), 2 ** 80, -(2 ** 90), float('inf'), "
        "fractions.Fraction(1, 3), decimal.Decimal('1.5'), datetime.date(2024, 1, 2), datetime.timedelta(days=1), None, "
        "bytearray(b'y'), True, 1.0]\n"
        "for n, w in enumerate(want):\n    assert f(n) == w and type(f(n)) is type(w), n\nassert g() == {'a': 2, 'b': 1}",
        "f,g",
    ),
    "typed arguments": Case(
        "def f(x): return type(x).__name__, x",
        "for v in [(1,), {1}, 2 ** 80, {'a': (1, 2)}, b'x', 1j, None, [1.5, [2]], float('-inf')]:\n"
        "    assert f(v) == (type(v).__name__, v)",
    ),
    "generator": Case(
        "def f(n):\n    for i in range(n):\n        yield i",
        "assert list(f(200)) == list(range(200))\nit = iter(f(2))\nassert next(it) == 0\nassert sum(f(4)) == 6\n"
        "assert [*map(str, f(2))] == ['0', '1']",
    ),
    "endless generator": Case(
        "import itertools\ndef f(): return itertools.count()", "from itertools import islice\n"
        "assert list(islice(f(), 5)) == [0, 1, 2, 3, 4]",
    ),
    "argument that is an iterator": Case("def f(it): return sum(it)", "assert f(iter([1, 2])) == 3\nassert f(n for n in (4,)) == 4"),
    "large arguments sent ahead": Case(
        "def f(x, y): return x + [y]",
        "inputs = [[[n] * 60_000, n] for n in range(10, 80)]\nresults = [[n] * 60_001 for n in range(10, 80)]\n"
        "for x, y in zip(inputs, results):\n    assert f(*x) == y",
    ),
    "call-backs": Case(
        "def f(g, x): return g(g(x))",
        "seen = []\ndef g(x):\n    seen.append(x)\n    return x + 1\n"
        "assert f(g, 5) == 7 and seen == [5, 6]\nassert f(lambda s: s + 'a', 'b') == 'baa'\nassert f(abs, -3) == 3",
    ),
    "call-back raises": Case(
        "def f(g):\n    try:\n        return g()\n    except KeyError as e:\n        return 'caught'",
        "def g(): raise KeyError('x')\nassert f(g) == 'caught'",
    ),
    "in place": Case(
        "def f(xs): xs.reverse()",
        "a = [1, [2], 3]\ninner = a[1]\nassert f(a) is None\nassert a == [3, [2], 1]\nd = {'a': 1}\n",
    ),
    "in place by declaration": Case(
        "def f(xs):\n    xs.sort()\n    return len(xs)", "a = [2, 1]\nassert f(a) == 2 and a == [1, 2]",
        options={"in_place": True},
    ),
    "arguments stay as they were": Case(
        "def f(xs):\n    xs.sort()\n    return xs", "a = [2, 1]\nassert f(a) == [1, 2] and a == [2, 1]"
    ),
    "linked list": Case(
        REVERSE, "assert unchain(Solution().turn(chain([1, 2, 3]))) == [3, 2, 1]\nassert Solution().turn(None) is None",
        "Solution", LINKED,
    ),
    "long linked list": Case(
        REVERSE, "n = list(range(5000))\nassert unchain(Solution().turn(chain(n))) == n[::-1]", "Solution", LINKED
    ),
    "class defined again by the program": Case(
        "class ListNode:\n    def __init__(self, val=0, next=None):\n        self.val, self.next = val, next\n" + REVERSE,
        "assert unchain(Solution().turn(chain([1, 2]))) == [2, 1]", "Solution", LINKED,
    ),
    "cyclic list": Case(
        "def f(head):\n    while head.next.val: head = head.next\n    return head.val",
        "a, b = ListNode(1), ListNode(0)\na.next, b.next = b, a\nassert f(a) == 1", "f", LINKED,
    ),
    "the same node comes back": Case(
        "def f(head): return head.next", "h = chain([1, 2, 3])\nassert f(h) is h.next", "f", LINKED
    ),
    "a class under test": Case(
        STACK,
        "s = Stack()\ns.push(1).push((2, 'b'))\nassert len(s) == 2 and list(s) == [1, (2, 'b')]\nassert s.pop() == (2, 'b')\n"
        "assert 1 in s and s[0] == 1 and str(s) == 'Stack([1])' and f'{s}' == 'Stack([1])'\n"
        "assert Stack.size == 3 and s.items == [1]\nassert isinstance(s, Stack) and not isinstance(3, Stack)\n"
        "with s as t:\n    assert t is s\nassert not s\n"
        "try:\n    s.pop()\n    raise SystemExit(3)\nexcept ValueError as error:\n    assert 'nothing' in str(error)",
        "Stack",
    ),
    "exceptions by name": Case(
        "def f(x): return {'a': 1}[x]",
        "try:\n    f('b')\nexcept KeyError as e:\n    assert e.args == ('b',)\nelse:\n    assert False",
    ),
    "helper from the preamble": Case("def f(x): return x", "assert helper(f(2)) == 4", "f", "def helper(x): return x * 2"),
    "helper from the prompt": Case(
        "def f(x): return x\ndef helper(x): return 0", "def helper(x): return x * 2\n" + CHECK + "assert helper(candidate(2)) == 4\ncheck(f)",
    ),
    "pytest": Case(
        STACK,
        "import pytest\nfrom solution import *\n\n@pytest.fixture\ndef full():\n    s = Stack()\n    s.push(1)\n    yield s\n"
        "\n@pytest.mark.parametrize('n,want', [(1, 2), pytest.param(2, 3)])\ndef test_push(full, n, want):\n"
        "    for i in range(n):\n        full.push(i)\n    assert len(full) == want\n\n"
        "class TestMore:\n    def setup_method(self):\n        self.s = Stack()\n    def test_empty(self):\n"
        "        with pytest.raises(Empty, match='nothing'):\n            self.s.pop()\n"
        "    def test_approx(self):\n        assert [0.1 + 0.2] == pytest.approx([0.3])\n",
        "Stack", framework="pytest",
    ),
    "pytest sees what the program prints": Case(
        "def f(x): print('hello', x)",
        "from solution import f\ndef test_out(capsys):\n    f('you')\n    assert capsys.readouterr().out == 'hello you\\n'",
        framework="pytest",
    ),
    "unittest": Case(
        "def f(x): return x", "import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n"
        "    def test_a(self):\n        self.assertEqual(f([1]), [1])\n    def test_b(self):\n        self.assertRaises(TypeError, f)\n",
        framework="unittest",
    ),
    "solution file": Case(
        "def f(x): return x", "import unittest\nimport solution\nclass T(unittest.TestCase):\n"
        "    def test_a(self):\n        self.assertEqual(solution.f([1]), [1])\nif __name__ == '__main__':\n    unittest.main()\n",
        "",
    ),
    "a demonstration doesn't run": Case(
        "def f(x): return x\nif __name__ == '__main__':\n    import sys\n    sys.exit(3)", "assert f(1) == 1"
    ),
    "future import first": Case("from __future__ import annotations\ndef f(x: Nope): return x", "assert f(1) == 1", preamble="import math"),
    "well-known names": Case("def f(x): return x", "assert Counter(f('aa')) == {'a': 2} and math.isclose(f(1), 1)"),
    "a program with tests of its own": Case(
        "import pytest\ndef f(x): return x\n@pytest.mark.parametrize('x', [1])\ndef test_f(x):\n    assert f(x)", "assert f(2) == 2"
    ),
    "coroutine": Case(
        "async def f(x): return x + 1", "import asyncio\nasync def main():\n    assert await f(1) == 2\nasyncio.run(main())\n"
        "assert asyncio.run(f(2)) == 3",
    ),
    "deep helper of the task": Case(
        "def f(n): return n", "assert down(f(chain(range(4000)))) == 4000", "f",
        LINKED + "def down(node): return 1 + down(node.next) if node else 0\n",
    ),
    "an object of the program's as key of nothing, compared by identity": Case(
        "class N: pass\nn = N()\ndef f(): return n", "assert f() is f()"
    ),
    "custom error by its base": Case(STACK, "from solution import Empty, Stack\nimport pytest\ndef test_a():\n"
        "    with pytest.raises(ValueError):\n        Stack().pop()\n    with pytest.raises(Empty):\n        Stack().pop()",
        "Stack", framework="pytest",
    ),
    "named tuple": Case(
        "from collections import namedtuple\nfrom typing import NamedTuple\nP = namedtuple('P', 'x y')\nclass Q(NamedTuple):\n    a: int\n"
        "def f(): return [P(1, 2), Q(3)]",
        "p, q = f()\nassert p.x == 1 and p == (1, 2) and q.a == 3 and q._asdict() == {'a': 3}",
    ),
    "members of an Enum": Case(
        "from enum import Enum\nclass Color(Enum):\n    RED = 'r'\n    BLUE = (1, 2)\ndef f(x): return Color.RED if x else Color.BLUE\n"
        "def g(c): return c.name",
        "from solution import Color, f, g\nassert f(1) == Color.RED and f(0) == Color.BLUE != f(1) and f(0).value == (1, 2)\n"
        "assert g(Color.BLUE) == 'BLUE' and f(1) in [Color.RED] and f(1) is not None and {Color.RED: 1}[f(1)] == 1", "f,g,Color",
    ),
    "a custom error with attributes": Case(
        "class Bad(Exception):\n    def __init__(self, code, why):\n        super().__init__(why)\n        self.code = code\n"
        "    def __str__(self): return f'{self.code}: {self.args[0]}'\ndef f(): raise Bad(7, 'no')",
        "from solution import Bad, f\ntry:\n    f()\nexcept Bad as error:\n    assert (error.code, str(error), error.args) == (7, '7: no', ('no',))\nelse:\n    assert False",
    ),
    "a dataclass": Case(
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x)", "assert f(3).x == 3", "f,P"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PASSES.values(), ids=PASSES.keys())
def test_passes(case: Case) -> None:
    result = run_tests(case.source, case.tests, case.entry, case.preamble, case.framework, **case.options)
    assert result["status"] == "ok", result
    assert result["passed"] >= 1 and result["failed"] == 0 and not result["flags"]


ALWAYS = "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    def __hash__(s): return 0\n"
TESTED = (
    CHECK
    + "assert candidate([2, 1]) == [1, 2]\n    assert candidate([]) == []\n    assert candidate([5]) == [5]\n"
)
FAILS = {
    "wrong": (Case("def f(x): return x", TESTED + "check(f)"), "tests_failed", ""),
    "always equal": (Case(ALWAYS + "def f(x): return E()", TESTED + "check(f)"), "tests_failed", "unverifiable_eq"),
    "equal inside a list": (
        Case(ALWAYS + "def f(x): return [E() for _ in x]", TESTED + "check(f)"), "tests_failed", "unverifiable_eq",
    ),
    "equal in a set": (
        Case(ALWAYS + "def f(x): return [E()]", "assert set(f(1)) == {1}"), "tests_failed", "unverifiable_eq",
    ),
    "equal on the other side": (Case(ALWAYS + "def f(x): return E()", "assert 1 == f(1)"), "tests_failed", "unverifiable_eq"),
    "refusal swallowed by the tests": (
        Case(ALWAYS + "def f(x): return E()", "try:\n    assert f(1) == 1\nexcept Exception:\n    pass"),
        "tests_failed", "unverifiable_eq",
    ),
    "arithmetic": (
        Case("class D(float):\n    pass\nclass Z:\n    def __sub__(s, o): return 0.0\ndef f(x): return Z()", "assert abs(f(1) - 2.0) < 1e-6"),
        "tests_failed", "unverifiable_eq",
    ),
    "contains everything": (
        Case("class C:\n    def __contains__(s, x): return True\n    def __iter__(s): return iter(())\ndef f(x): return C()", "assert 3 in f(1)"),
        "tests_failed", "",
    ),
    "planted in the caller's list": (
        Case(ALWAYS + "def f(x): x[:] = [E() for _ in x]", "a = [1, 2]\nf(a)\nassert a == [2, 1]"), "tests_failed", "unverifiable_eq",
    ),
    "empties the argument": (
        Case("def f(x):\n    x[:] = []\n    return []", "a = [2, 1]\nassert f(a) == sorted(a)"), "tests_failed", "",
    ),
    "exit on import": (Case("import os\nos._exit(0)", TESTED + "check(f)"), "runtime_error", "exit_before_tests"),
    "exit in a call": (Case("import os\ndef f(x): os._exit(0)", TESTED + "check(f)"), "runtime_error", "exit_before_tests"),
    "exit swallowed by the tests": (
        Case("import os\ndef f(x): os._exit(0)", "try:\n    f(1)\nexcept:\n    pass"), "runtime_error", "exit_before_tests",
    ),
    "SystemExit in a call": (Case("import sys\ndef f(x): sys.exit(0)", TESTED + "check(f)"), "tests_failed", ""),
    "a skip": (
        Case("import unittest\ndef f(x): raise unittest.SkipTest('x')", "from solution import f\ndef test_a():\n    f(1)", framework="pytest"),
        "tests_failed", "",
    ),
    "the program's assertion": (
        Case("def f(x): assert x > 1", "try:\n    f(0)\nexcept AssertionError:\n    pass"), "tests_failed", "",
    ),
    "replaces a built-in": (Case("abs = lambda x: 0\ndef f(x): return 9", "assert abs(f(1) - 1) < 1e-6"), "tests_failed", ""),
    "replaces the check": (Case("def check(c): pass\ndef f(x): return x", TESTED + "check(f)"), "tests_failed", ""),
    "replaces a helper of the prompt": (
        Case("def f(x): return 0\ndef helper(x): return 4",
             "def helper(x): return x * 2\n" + CHECK + "assert helper(candidate(2)) == 4\ncheck(f)"),
        "tests_failed", "",
    ),
    "replaces a module": (
        Case("import types\nmath = types.SimpleNamespace(isclose=lambda *a: True)\ndef f(x): return 5", "from solution import *\nassert math.isclose(f(1), 1)"),
        "tests_failed", "",
    ),
    "replaces a module beside import solution": (
        Case("class math:\n    @staticmethod\n    def isclose(*a): return True\ndef f(x): return 5",
             "import math\nimport solution\nfrom solution import *\nassert math.isclose(solution.f(1), 1)"),
        "tests_failed", "",
    ),
    "one member for all": (
        Case("from enum import Enum\nclass E(Enum):\n    A = 1\nclass Color:\n    def __getattr__(s, n): return E.A\n    RED = BLUE = E.A\ndef f(x): return E.A",
             "from solution import Color, f\nassert f(1) == Color.RED\nassert f(2) == Color.BLUE", "f,Color"),
        "tests_failed", "unverifiable_eq",
    ),
    "members under other names": (
        Case("from enum import Enum\nclass Color(Enum):\n    RED = 1\n    BLUE = 1\ndef f(x): return Color.RED",
             "from solution import Color, f\nassert f(1) == Color.RED\nassert f(2) == Color.BLUE", "f,Color"),
        "tests_failed", "unverifiable_eq",
    ),
    "members that the program chose": (
        Case("from enum import Enum\nclass Color(Enum):\n    RED = 1\n    @classmethod\n    def _missing_(c, v): return c.RED\ndef f(x): return Color.RED",
             "from solution import Color, f\nassert f(2) == Color(2)", "f,Color"),
        "tests_failed", "unverifiable_eq",
    ),
    "lacks the function": (Case("def g(x): return x", TESTED + "check(f)"), "compile_error", ""),
    "does not compile": (Case("def f(x) return x", TESTED + "check(f)"), "compile_error", ""),
    "raises on import": (Case("1 / 0", TESTED + "check(f)"), "runtime_error", ""),
    "a helper that nothing defines": (
        Case("def f(x): return x\ndef helper(x): return 4", CHECK + "assert helper(candidate(2)) == 4\ncheck(f)"),
        "runtime_error", "missing_helper",
    ),
    "no test at all": (Case("def f(x): return x", "import pytest\nfrom solution import f", framework="pytest"), "tests_failed", ""),
    "tests that call nothing": (Case("def f(x): return x", "assert True"), "runtime_error", "tests_call_nothing"),
    "tests that don't parse": (Case("def f(x): return x", "assert ("), "runtime_error", "malformed_tests"),
    "unittest skipped": (
        Case("def f(x): return x", "import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n    @unittest.skip('no')\n"
             "    def test_a(self): f(1)\n", framework="unittest"),
        "tests_failed", "",
    ),
    "writes to its channel": (
        Case("import os, stat\ndef f(x):\n    for fd in range(3, 30):\n        try: stat.S_ISSOCK(os.fstat(fd).st_mode) and os.write(fd, b'\\x00\\x00\\x00\\x02{}')\n        except OSError: pass\n    return [0]",
             TESTED + "check(f)"),
        "tests_failed", "",
    ),
    "an object for the number": (
        Case("class N:\n    def __float__(s): return 1.0\ndef f(x): return N()", "assert f(1) <= 1.0"), "tests_failed", "unverifiable_eq",
    ),
    "a method in place of data": (
        Case("def f(h):\n    h.__dict__['unchained'] = 1\n    return h", "assert f(chain([1])).unchained() == 1", "f",
             LINKED.replace("self.next = next", "self.next = next\n    def unchained(self): return 2", 1)),
        "tests_failed", "unreadable_value",
    ),
    "a flood of nesting": (
        Case("def f(x):\n    y = []\n    for _ in range(100000):\n        y = [y]\n    return y", TESTED + "check(f)"), "tests_failed", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "status", "flag"), FAILS.values(), ids=FAILS.keys())
def test_fails(case: Case, status: str, flag: str) -> None:
    result = run_tests(case.source, case.tests, case.entry, case.preamble, case.framework, **case.options)
    assert result["status"] == status, result
    if flag:
        assert flag in result["flags"], result


def test_counts_every_assertion_when_asked_to() -> None:
    tests = CHECK + "\n    ".join(f"assert candidate({n}) == {min(n, 5)}" for n in range(10)) + "\ncheck(f)"
    result = run_tests("def f(n): return n", tests, every_assert=True)
    assert (result["status"], result["passed"], result["failed"]) == ("tests_failed", 6, 4)


def test_tests_draw_at_random_but_always_the_same_and_not_what_the_program_draws(tmp_path: Path) -> None:
    program = (
        f"import random\nmine = random.random()\ndef f(n):\n    with open({str(tmp_path / 'drawn')!r}, 'a') as out:\n"
        "        print(n, mine, file=out)\n    return n"
    )
    for _ in range(2):
        assert run_tests(program, "import random\nassert f(random.random())")["status"] == "ok"
    one, other = ((tmp_path / "drawn").read_text()).splitlines()
    assert one == other and len(set(one.split())) == 2


def test_says_how_far_it_came() -> None:
    tests = CHECK + "\n    ".join(f"assert candidate({n}) == {min(n, 5)}" for n in range(10)) + "\ncheck(f)"
    result = run_tests("def f(n): return n", tests)
    assert (result["status"], result["passed"], result["failed"]) == ("tests_failed", 6, 4)
    assert "5" not in result["message"].replace("line", "")[:20]


def test_a_failure_never_quotes_a_tests_input() -> None:
    result = run_tests("class Odd(Exception): pass\ndef f(n): raise Odd(n)", "assert f(777001) == 3")
    assert result["status"] == "tests_failed" and "777001" not in str(result)


def test_a_failure_never_quotes_what_was_expected() -> None:
    result = run_tests("def f(n): return n", "assert f(3) == 777001, 'want 777001'")
    assert "777001" not in str(result)


LOGS = "from solution import f\nimport logging\ndef test_a(caplog):\n    logging.warning('x%s', f(1))\n    assert 'x1' in caplog.text\n"


@pytest.mark.parametrize(
    ("source", "tests", "status"),
    [
        ("def f(x): return x", LOGS, "ok"),
        ("def f(x): return 2", LOGS, "tests_failed"),
        (
            ALWAYS + "def f(x): return E()",
            LOGS.replace("in caplog.text", "in caplog.text\n    assert f(1) == 1"),
            "tests_failed",
        ),
        ("import os\ndef f(x): os._exit(0)", LOGS, "runtime_error"),
        ("import unittest\ndef f(x): raise unittest.SkipTest('x')", LOGS, "tests_failed"),
        (
            "def f(x): return x",
            LOGS + "import pytest\n@pytest.mark.skip\ndef test_b(): pass\n",
            "tests_failed",
        ),
        (
            "def f(x): return x",
            LOGS + "import pytest\n@pytest.mark.xfail\ndef test_b(): assert f(1) == 2\n",
            "tests_failed",
        ),
    ],
)
def test_what_only_pytest_has_is_run_by_pytest(source: str, tests: str, status: str) -> None:
    assert run_tests(source, tests, framework="pytest")["status"] == status
