"""One row of ours in every shape of the code data sets, on a real sandbox: the right program is paid, the wrong one isn't."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from reward_service.registry import load
from reward_service.types import Profile, Status
from tests.carry import carry, item_for
from tests.sandboxes import sandbox

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox

__all__ = ["sandbox"]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


class Row(NamedTuple):
    source: str
    gold: Any
    right: list[str]
    wrong: list[str]
    extra: dict[str, Any] = {}  # noqa: RUF012
    fence: str = "python"


LEETCODE = (
    "from typing import *\nfrom functools import *\nfrom collections import *\nfrom itertools import *\nfrom math import *\ninf = float('inf')\n\n"
    "class TreeNode:\n    def __init__(self, val=0, left=None, right=None):\n        self.val = val\n        self.left = left\n        self.right = right\n\n"
    "def tree_node(values):\n    nodes = [None if v is None else TreeNode(v) for v in values]\n    kids = deque(nodes[1:])\n    for n in nodes:\n"
    "        if n:\n            n.left = kids.popleft() if kids else None\n            n.right = kids.popleft() if kids else None\n    return nodes[0] if nodes else None\n\n"
    "def is_same_tree(p, q):\n    if not p or not q:\n        return p is q\n    return p.val == q.val and is_same_tree(p.left, q.left) and is_same_tree(p.right, q.right)\n"
)
MIRROR = (
    "def check(candidate):\n    assert is_same_tree(candidate(root = tree_node([1,2,3,4])), tree_node([1,3,2,None,None,None,4]))\n"
    "    assert is_same_tree(candidate(root = tree_node([])), tree_node([]))\n\n\ncheck(Solution().mirror)"
)
PLUS = (
    "import math\n\ndef is_floats(x):\n    return isinstance(x, float) or (isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x))\n\n"
    "def assertion(out, exp, atol):\n    if atol == 0 and is_floats(exp):\n        atol = 1e-6\n    if out != exp and atol != 0:\n"
    "        assert all(math.isclose(a, b, rel_tol=1e-07, abs_tol=atol) for a, b in zip(out, exp))\n    else:\n        assert out == exp\n\n"
)
TESTS_PLUS = (
    PLUS
    + "inputs = [[[1, 2], 2], [[], 3], [[4], 8], [[0.1], 3]]\nresults = [[2, 4], [], [32], [0.3]]\nfor i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(scale(*inp), exp, 0)\n"
)
CHECK_PLUS = (
    PLUS
    + "def check(candidate):\n    inputs = [[[1, 2], 2], [[], 3], [[4], 8], [[0.1], 3]]\n    results = [[2, 4], [], [32], [0.3]]\n    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        assertion(candidate(*inp), exp, 0)\n"
)
SCALE = [
    "def scale(xs, k):\n    return [x * k for x in xs]",
    "from typing import List\n\ndef scale(xs: List[float], k: float) -> List[float]:\n    return list(map(lambda x: k * x, xs))",
]
NOT_SCALE = [
    "def scale(xs, k):\n    return [x + k for x in xs]",
    "def scale(xs, k):\n    return [2, 4]",
    "def scale(xs, k):\n    while True: pass",
]
DEEP = (
    "_inputs = [[[3, 1, 2]], [[[1, 2]]]]\n_outputs = [[1, 2, 3], [[1, 2]]]\nimport math\ndef _deep_eq(a, b, tol=1e-5):\n"
    "    if isinstance(a, float) or isinstance(b, float):\n        return math.isclose(a, b, rel_tol=tol, abs_tol=tol)\n"
    "    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):\n        return len(a) == len(b) and all(_deep_eq(x, y, tol) for x, y in zip(a, b))\n"
    "    return a == b\n\nfor i, o in zip(_inputs, _outputs):\n    assert _deep_eq(arrange(*i), o)\n"
)
KODCODE = (
    "import pytest\nfrom solution import Account, InsufficientFunds, summary\n\n@pytest.fixture\ndef account():\n    return Account('Ana', 50)\n\n"
    "def test_deposit(account):\n    account.deposit(25)\n    assert account.balance == 75\n\n@pytest.mark.parametrize('amount', [51, 1000])\n"
    "def test_too_much(account, amount):\n    with pytest.raises(InsufficientFunds) as info:\n        account.withdraw(amount)\n    assert str(amount) in str(info.value)\n\n"
    "def test_summary(account, capsys):\n    summary([account])\n    assert capsys.readouterr().out.strip() == 'Ana: 50.00'\n\n"
    "def test_repr(account):\n    assert repr(account) == \"Account('Ana', 50)\"\n"
)
ACCOUNT = (
    "class InsufficientFunds(Exception):\n    pass\n\nclass Account:\n    def __init__(self, owner, balance=0):\n        self.owner, self.balance = owner, balance\n"
    "    def deposit(self, amount):\n        self.balance += amount\n    def withdraw(self, amount):\n        if amount > self.balance:\n"
    "            raise InsufficientFunds(f'cannot take {amount}')\n        self.balance -= amount\n    def __repr__(self):\n        return f'Account({self.owner!r}, {self.balance})'\n\n"
    "def summary(accounts):\n    for a in accounts:\n        print(f'{a.owner}: {a.balance:.2f}')\n"
)
PRIVATE = base64.b64encode(
    zlib.compress(pickle.dumps(json.dumps([{"input": "2\n5 6\n", "output": "11\n", "testtype": "stdin"}])))
).decode()
SUM_CPP = "#include <iostream>\nint main() { int n; std::cin >> n; long long s = 0, x; while (n--) { std::cin >> x; s += x; } std::cout << s << '\\n'; }"
SUM_JS = "const [, ...xs] = require('fs').readFileSync(0, 'utf8').split(/\\s+/).filter(Boolean).map(Number);\nconsole.log(xs.reduce((a, b) => a + b, 0));"
SUM = "n = int(input())\nprint(sum(map(int, input().split())))"
CYCLE = "def spin(s: str):\n    '''Moves the first letter to the end.'''\n    return s[1:] + s[:1]\n\n\ndef unspin(s: str):\n    '''Undoes spin.'''\n"
SPIN_TEST = "def check(candidate):\n    for word in ('abc', 'x', 'wheel'):\n        assert candidate(spin(word)) == word\n\n\ncheck(unspin)"

ROWS = {
    "humaneval": Row("codegen__humaneval", {"functional": "METADATA = {}\n\ndef check(candidate):\n    assert candidate([1, 2], 3) == [3, 6]\n    assert abs(candidate([0.5], 3)[0] - 1.5) < 1e-6\n\ncheck(scale)"}, SCALE, NOT_SCALE),
    "humaneval with a helper": Row(
        "codegen__humaneval", {"functional": SPIN_TEST},
        ["def unspin(s):\n    return s[-1:] + s[:-1]", CYCLE + "    return s[-1:] + s[:-1]"],
        ["def spin(s): return s\n\ndef unspin(s): return s", "def unspin(s):\n    return s", CYCLE.replace("s[1:]", "s[2:]") + "    return s[-1:] + s[:-1]"],
        {"question": CYCLE},
    ),
    "humaneval+": Row("codegen__humanevalplus", {"test": CHECK_PLUS, "entry_point": "scale"}, SCALE, NOT_SCALE),
    "mbpp": Row("codegen__mbpp", {"functional": "assert scale([1, 2], 2) == [2, 4]\nassert scale([], 1) == []\nassert set(scale((1,), 7)) == {7}"}, SCALE, NOT_SCALE),
    "mbpp with a class": Row(
        "codegen__mbpp", {"test_list": ["assert far([Point(3, 4), Point(0, 1)]) == 5.0", "assert far([Point(0, 0)]) == 0.0"]},
        ["class Point:\n    def __init__(self, x, y):\n        self.x, self.y = x, y\n\ndef far(ps):\n    return max((p.x ** 2 + p.y ** 2) ** 0.5 for p in ps)"],
        ["class Point:\n    def __init__(self, x, y): pass\n\ndef far(ps): return 5.0", "def far(ps): return 5.0"],
    ),
    "mbpp+": Row("codegen__mbppplus", {"functional": TESTS_PLUS}, SCALE, NOT_SCALE),
    "leetcode": Row(
        "codegen__leetcode2k", {"functional": MIRROR},
        ["class Solution:\n    def mirror(self, root: Optional[TreeNode]) -> Optional[TreeNode]:\n        if root:\n            root.left, root.right = self.mirror(root.right), self.mirror(root.left)\n        return root",
         "class Solution:\n    @cache\n    def mirror(self, root):\n        return root and TreeNode(root.val, self.mirror(root.right), self.mirror(root.left))"],
        ["class Solution:\n    def mirror(self, root): return root", "class Solution:\n    def flip(self, root): return root",
         "def is_same_tree(p, q): return True\nclass Solution:\n    def mirror(self, root): return root"],
        {"prefix": LEETCODE},
    ),
    "leetcode without an instance": Row(
        "codegen__leetcode2k", {"functional": "def check(candidate):\n    assert candidate([2,7,11,15],9)==[0,1]\n\n\ncheck(Solution.twoSum)"},
        ["class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        seen = {}\n        for i, n in enumerate(nums):\n            if target - n in seen: return [seen[target - n], i]\n            seen[n] = i"],
        ["class Solution:\n    def twoSum(self, nums, target): return [1, 0]"], {"prefix": "from typing import *\n"},
    ),
    "livecodebench, stdin": Row("codegen__livecodebench", {"public_test_cases": [{"input": "1\n4\n", "output": "4\n", "testtype": "stdin"}], "private_test_cases": PRIVATE}, [SUM], ["input()\nprint(int(input().split()[0]))"]),
    "livecodebench, functional": Row(
        "codegen__livecodebench", [{"input": "[1, 2]\n2", "output": "[2, 4]", "testtype": "functional"}, {"input": "[]\n2", "output": "[]", "testtype": "functional"}],
        ["class Solution:\n    def scale(self, xs: List[int], k: int) -> List[int]:\n        return [x * k for x in xs]"],
        ["class Solution:\n    def scale(self, xs, k): return [2, 4]"], {"fn_name": "scale"},
    ),
    "livecodebench, Guru's": Row(
        "codegen__livecodebench", {"functional": "def check_scale():\n    assert Solution.scale([1, 2], 2) == [2, 4]\n    assert Solution.scale([], 2) == []\n\ncheck_scale()"},
        ["class Solution:\n    def scale(self, xs, k):\n        return [x * k for x in xs]", "class Solution:\n    @staticmethod\n    def scale(xs, k):\n        return [x * k for x in xs]"],
        ["class Solution:\n    def scale(self, xs, k): return [2, 4]"],
    ),
    "taco, calls": Row("codegen__taco", {"fn_name": "scale", "inputs": [[[1, 2], 2], [[], 1]], "outputs": [[[2, 4]], [[]]]}, SCALE, NOT_SCALE),
    "taco, Guru's": Row("codegen__taco", {"functional": DEEP}, ["def arrange(xs):\n    return sorted(xs)", "def arrange(xs):\n    return tuple(sorted(xs))"], ["def arrange(xs): return xs", "def arrange(xs): return [1, 2, 3]"]),
    "apps": Row("apps", {"input_output": json.dumps({"inputs": ["2\n1 2\n", "1\n9\n"], "outputs": ["3\n", "9\n"]})}, [SUM], ["print(3)", "print(sum([1, 2]), 9)", "1 / 0"]),
    "primeintellect": Row("codegen__primeintellect", {"test_cases": [{"type": "function_call", "fn_name": "scale", "input": [[1], 2], "output": [2]}]}, SCALE, NOT_SCALE),
    "kodcode": Row("codegen__kodcode", {"pytest": KODCODE}, [ACCOUNT], [ACCOUNT.replace("raise InsufficientFunds", "return "), ACCOUNT.replace(".2f", ".1f"), ACCOUNT.replace("+=", "-=")]),
    "solution file": Row(
        "codegen__kodcode", {"solution_file": "from solution import scale\n\ndef test_one():\n    assert scale([1], 2) == [2]\n\nif __name__ == '__main__':\n    test_one()\n    print('ok')\n"},
        SCALE, NOT_SCALE,
    ),
    "codecontests, C++": Row("codecontests", {"public_tests": {"input": ["2\n1 2\n"], "output": ["3\n"]}}, [SUM_CPP], [SUM_CPP.replace("s += x", "s = x"), "int main( {", "int main() { for (;;); }"], {}, "cpp"),
    "codeforces, JavaScript": Row("codeforces", {"official_tests": [{"input": "2\n1 2\n", "output": "3\n"}]}, [SUM_JS], ["console.log(4)", "console.log("], {}, "javascript"),
    "a checker": Row("codeforces", {"inputs": ["3\n"], "outputs": ["1\n2\n3\n"]}, ["for k in (3, 1, 2): print(k)"], ["print(1, 2, 3)", "print(1); print(2)"], {"checker": "unordered_lines"}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_right_programs_are_paid_and_wrong_ones_are_not(sandbox: Sandbox, row: Row) -> None:
    if row.fence not in sandbox.languages():
        pytest.skip(f"this sandbox has no {row.fence}")
    text = json.dumps(row.gold)
    for program, gold, score in [
        *((program, gold, 1.0) for program in row.right for gold in (row.gold, text)),
        *((program, text, 0.0) for program in row.wrong),
    ]:
        response = f"<think>Hm.</think>So:\n```{row.fence}\n{program}\n```\nFor example:\n```\n3\n```"
        outcome, _ = await carry(sandbox, item_for(row.source, response, gold, time_limit=1, **row.extra))
        assert (outcome.status, outcome.score) == (Status.SCORED, score), (program, outcome)


SCIENCE = {
    "numpy": (
        "import numpy as np\n\ndef check(candidate):\n    assert np.allclose(candidate(np.array([3.0, 4.0])), [0.6, 0.8])\n"
        "    assert candidate(np.ones((2, 2))).shape == (2, 2)\n\ncheck(unit)",
        "import numpy as np\ndef unit(v): return v / np.linalg.norm(v)",
        "import numpy as np\nnp.allclose = lambda *a: True\ndef unit(v): return v",
    ),
    "pandas": (
        "import pandas as pd\n\ndef check(candidate):\n    t = pd.DataFrame({'k': ['a', 'b', 'a'], 'v': [1, 2, 3]})\n"
        "    want = pd.DataFrame({'k': ['a', 'b'], 'v': [4, 2]})\n    pd.testing.assert_frame_equal(candidate(t), want)\n\ncheck(unit)",
        "def unit(t): return t.groupby('k', as_index=False)['v'].sum()",
        "import pandas as pd\npd.testing.assert_frame_equal = lambda *a: None\ndef unit(t): return t",
    ),
}  # fmt: skip


@pytest.mark.parametrize("package", SCIENCE)
async def test_arrays_and_tables_cross_the_border(sandbox: Sandbox, package: str) -> None:
    probe = item_for(
        "code__probe", f"```python\nimport {package}\nprint(1)\n```", {"inputs": [""], "outputs": ["1"]}
    )
    if not (await carry(sandbox, probe)).outcome.correct:
        pytest.skip(f"NOT TESTED: this sandbox has no {package}")
    tests, right, wrong = SCIENCE[package]
    for program, score in ((right, 1.0), (wrong, 0.0)):
        response = f"```python\n{program}\n```"
        outcome, _ = await carry(sandbox, item_for("codegen__humaneval", response, {"functional": tests}))
        assert (outcome.status, outcome.score) == (Status.SCORED, score), outcome


EXAMPLES = [
    pytest.param(handler.name, source, id=source.name)
    for handler in load().handlers.values()
    if handler.judge is not None
    for source in handler.sources
]


@pytest.mark.parametrize(("name", "source"), EXAMPLES)
@pytest.mark.parametrize("profile", Profile)
async def test_the_example_of_every_source_is_paid(
    sandbox: Sandbox, name: str, source: Any, profile: Profile
) -> None:
    data_source = source.name.replace("*", "anything")
    example = source.example
    item = item_for(data_source, example.response, example.ground_truth, profile, **example.extra_info)
    outcome, _ = await carry(sandbox, item)
    assert outcome.score == example.score, outcome
