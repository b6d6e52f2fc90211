"""The data sources of the code handler: their names, the shapes of their tests, and a row of ours for each."""

from __future__ import annotations

import json
from typing import Any

from reward_service.registry import Source
from reward_service.types import Example

READS = (
    "prefix",
    "entry_point",
    "function_name",
    "fn_name",
    "question",
    "original_prompt",
    "reference",
    "language",
    "scoring",
    "checker",
    "in_place",
    "float_tolerance",
    "time_limit",
    "memory_limit_mb",
)

STDIO = '`{"inputs": ["1 2\\n", …], "outputs": ["3\\n", …]}`'
CALLS = '`{"fn_name": "add", "inputs": [[1, 2], …], "outputs": [3, …]}`'
CODE = '`{"functional": "def check(candidate): …\\ncheck(add)"}`, or `pytest`, or `solution_file`'
ANY = "tests: inputs and outputs, calls, or test code (JSON text or object)"

_ADD = "Add them.\n```python\ndef add(a, b):\n    return a + b\n```"
_CHECK = (
    "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == 0\n\ncheck(add)"
)
_SUM = "Read and add.\n```python\nprint(sum(map(int, input().split())))\n```"
_SUM_CPP = "Read and add.\n```cpp\n#include <iostream>\nint main() { long long a, b; std::cin >> a >> b; std::cout << a + b; }\n```"
_PAIRS = {"inputs": ["1 2\n", "40 2\n"], "outputs": ["3\n", "42\n"]}
_CALLS = {"fn_name": "add", "inputs": [[1, 2], [40, 2]], "outputs": [3, 42]}
_TWICE = "```python\nclass Solution:\n    def twice(self, n: int) -> int:\n        return 2 * n\n```"
_TWICE_CHECK = "def check(candidate):\n    assert candidate(n = 4) == 8\n\n\ncheck(Solution().twice)"


def _json(value: Any) -> str:
    return json.dumps(value)


SOURCES = (
    Source("codegen__humaneval", CODE, Example(_ADD, _json({"functional": _CHECK})), ("openai_humaneval", "human_eval")),
    Source(
        "codegen__humanevalplus",
        "`{\"test\": \"def check(candidate): …\", \"entry_point\": \"add\"}` or as HumanEval",
        Example(_ADD, {"test": _CHECK.removesuffix("\n\ncheck(add)"), "entry_point": "add"}),
        ("humaneval_plus", "evalplus/humanevalplus"),
    ),
    Source(
        "codegen__mbpp",
        "`{\"functional\": \"assert add(1, 2) == 3\"}`, or a list of such asserts, or the data set's own `test_list`",
        Example(_ADD, _json({"functional": "assert add(1, 2) == 3\nassert add(0, 0) == 0"})),
        ("google-research-datasets/mbpp", "mbpp_sanitized"),
    ),
    Source(
        "codegen__mbppplus",
        "as MBPP",
        Example(_ADD, {"test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}),
        ("mbpp_plus", "evalplus/mbppplus"),
    ),
    Source(
        "codegen__leetcode2k",
        CODE,
        Example(_TWICE, _json({"functional": _TWICE_CHECK}), {"prefix": "from typing import *\n"}),
        ("codegen__leetcode", "leetcode_dataset", "newfacade/leetcodedataset"),
    ),
    Source(
        "codegen__livecodebench",
        "`inputs`/`outputs`, `functional`, or the data set's own test cases, private ones compressed as they are",
        Example(_SUM, [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        ("lcb", "livecodebench/code_generation_lite"),
    ),
    Source("codegen__primeintellect", ANY, Example(_SUM, _json(_PAIRS)), ("primeintellect/verifiable-coding-problems", "synthetic_1")),
    Source("codegen__taco", f"{STDIO} or {CALLS}", Example(_ADD, _json(_CALLS)), ("baai/taco", "taco_verified")),
    Source("apps", f"{STDIO} or {CALLS}", Example(_SUM, _PAIRS), ("codeparrot/apps",)),
    Source(
        "codecontests",
        f'{STDIO}, or `{{"public_tests": {{"input", "output"}}, "private_tests": …}}`; any language',
        Example(_SUM_CPP, {"public_tests": {"input": ["1 2\n"], "output": ["3\n"]}}),
        ("code_contests", "deepmind/code_contests"),
    ),
    Source(
        "codeforces",
        f'{STDIO}, or `{{"official_tests": [{{"input", "output"}}]}}`; any language',
        Example(_SUM, {"official_tests": [{"input": "1 2\n", "output": "3\n"}]}),
        ("open-r1/codeforces",),
    ),
    Source("codegen__*", ANY, Example(_ADD, _json({"pytest": "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"}))),
    Source("code__*", ANY, Example(_SUM, _PAIRS), ("code", "code_stdio", "unit_tests")),
)  # fmt: skip
