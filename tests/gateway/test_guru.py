"""Every data source of Guru, training and evaluation, and of the trainer it came from: one right and one wrong rollout
each, posted to a running service under the names in the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2
import pytest

from reward_service.adapters import bubblewrap
from tests.engine import need, unavailable
from tests.load.measure import service


class Rollouts(NamedTuple):
    """A row's ground truth, a right and a wrong response, and its extra_info."""

    gold: Any
    right: str
    wrong: str
    extra: Mapping[str, Any] = MappingProxyType({})


def boxed(answer: str) -> str:
    return f"<think>Let me see …</think>\nSo the final answer is \\boxed{{{answer}}}."


def fenced(program: str, language: str = "python") -> str:
    return f"<think>Hm.</think>Here it is:\n```{language}\n{program}\n```"


def tagged(answer: str) -> str:
    return f"<think>One by one …</think>\n<answer>{answer}</answer>"


MATH = Rollouts("\\frac{3}{4}", boxed("0.75"), boxed("\\frac{4}{3}"))
TWICE = "class Solution:\n    def twice(self, n: int) -> int:\n        return 2 * n"
LEETCODE = Rollouts(
    json.dumps(
        {"functional": "def check(candidate):\n    assert candidate(n = 4) == 8\n\n\ncheck(Solution().twice)"}
    ),
    fenced(TWICE),
    fenced(TWICE.replace("2 * n", "n + n + 1")),
    {"prefix": "from typing import *\n"},
)
STDIO = Rollouts(
    json.dumps({"inputs": ["3 4\n", "10 -3\n"], "outputs": ["7\n", "7\n"]}),
    fenced("a, b = map(int, input().split())\nprint(a + b)"),
    fenced("print(7 if input() else 8)").replace("7 if", "input() and 7 if"),
)
ADD = "def add(a, b):\n    return a + b"
HUMANEVAL = Rollouts(
    json.dumps(
        {
            "functional": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(0, 0) == 0\n\ncheck(add)"
        }
    ),
    fenced(ADD),
    fenced("import sys\nsys.exit(0)"),
)
MBPP = Rollouts(
    json.dumps({"functional": "assert add(1, 2) == 3\nassert add(5, 5) == 10"}),
    fenced(ADD),
    fenced(ADD.replace("+", "*")),
)
GRID = Rollouts([[1, 0], [0, 1]], tagged("[[1, 0], [0, 1]]"), tagged("[[1, 0], [1, 0]]"))
ZEBRA_GOLD = {"header": ["Position", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]}
ZEBRA = Rollouts(
    ZEBRA_GOLD,
    tagged(json.dumps(ZEBRA_GOLD, indent=1)),
    tagged(json.dumps({"header": ["Position", "Job"], "rows": [["1", "pilot"], ["2", "cook"]]})),
)
CODE = "def f(s):\n    return s[::-1] + '!'"
QA = Rollouts({"target": ["Ada Lovelace", "Lovelace"]}, tagged("Ada Lovelace"), tagged("Charles Babbage"))
IFEVAL = Rollouts(
    [{"num_words": 5.0, "relation": "at least"}],
    "These are certainly more than five words.",
    "Too short.",
    {"instruction_id_list": ["length_constraints:number_words"], "prompt": "Answer with at least 5 words."},
)
IFBENCH = Rollouts(
    "[{'instruction_id': ['count:keywords_multiple'], 'kwargs': [{'keyword1': 'owl', 'keyword2': 'crow', 'keyword3': 'jay', "
    "'keyword4': 'wren', 'keyword5': 'swift'}]}]",
    "One owl sat above a crow and another crow. Then came a jay, a second jay and a third jay to look at them. In the hedge a wren "
    "sang to a wren, that wren to the next wren, and the last wren slept. Over the roof flew a swift, a swift and a swift, behind "
    "them a fourth swift, a fifth swift, a late swift and the smallest swift.",
    "owl and crow",
)

ROWS: dict[str, Rollouts] = {
    **dict.fromkeys(
        (
            "math__combined_54.4k",
            "math__math",
            "math__aime_repeated_8x",
            "math__amc_repeated_4x",
            "math__merged_deduped_dapo_or1_dataset",
            "math__deepscaler_preview",
            "lighteval/MATH",
            "DigitalLearningGmbH/MATH-lighteval",
            "numina_olympiads",
            "numina_synthetic_math",
            "numina_aops_forum",
            "numina_amc_aime",
            "numina_synthetic_amc",
            "numina_cn_k12",
            "hiyouga/geometry3k",
        ),
        MATH,
    ),
    "math_dapo": Rollouts("34", "Answer: 34", "Answer: 43"),
    "aime2024": Rollouts("204", "So …\nAnswer: 204", "So …\nAnswer: 205"),
    "openai/gsm8k": Rollouts("72", "She sold 48 + 24.\n#### 72", "She sold 48.\n#### 48"),
    "codegen__leetcode2k": LEETCODE,
    **dict.fromkeys(
        (
            "codegen__taco",
            "codegen__primeintellect",
            "codegen__livecodebench",
            "codecontests",
            "apps",
            "codeforces",
            "taco",
        ),
        STDIO,
    ),
    **dict.fromkeys(("codegen__humaneval", "codegen__humanevalplus"), HUMANEVAL),
    **dict.fromkeys(("codegen__mbpp", "codegen__mbppplus"), MBPP),
    "simulation__codeio": Rollouts(
        '"output": {"result": 42}',
        '```json\n{"output": {"result": 42}}\n```',
        '```json\n{"output": {"result": 24}}\n```',
    ),
    "simulation__cruxeval-o": Rollouts(
        json.dumps({"functional": CODE}),
        fenced("assert f('ab') == 'ba!'"),
        fenced("assert f('ab') == 'ab!'"),
        {"question": f"{CODE}\nassert f('ab') == ??"},
    ),
    "simulation__cruxeval-i": Rollouts(
        json.dumps({"functional": CODE}),
        fenced("assert f('ab') == 'ba!'"),
        fenced("assert f('ba') == 'ba!'"),
        {"question": f"{CODE}\nassert f(??) == 'ba!'"},
    ),
    **dict.fromkeys(
        (
            "simulation__arcagi1",
            "simulation__arcagi2",
            "simulation__barc",
            "logic__arcagi1_111",
            "logic__arcagi2_190",
            "logic__barc_1.6k",
        ),
        GRID,
    ),
    **dict.fromkeys(("logic__zebra_puzzle_dataset", "logic__zebra_puzzle_1.3k"), ZEBRA),
    "logic__ordering_puzzle_dataset": Rollouts(
        ["pigeon", "sparrow", "quail"],
        tagged("['pigeon', 'sparrow', 'quail']"),
        tagged("['quail', 'sparrow', 'pigeon']"),
    ),
    "logic__graph_logical_dataset": Rollouts("fdebme", tagged("fdebme"), tagged("emfdbe")),
    "table__hitab": Rollouts("142.0", boxed("142"), boxed("141")),
    "table__multihier": Rollouts("20 to 39|40 to 59", boxed("40 to 59 | 20 to 39"), boxed("20 to 39")),
    "table__finqa": Rollouts(
        0.125, boxed("12.5\\%"), boxed("12.5"), {"question": "what was the growth rate as a ratio?"}
    ),
    **dict.fromkeys(
        ("stem__gpqa_diamond", "stem__gpqa_diamond_no_box", "stem__supergpqa"),
        Rollouts("C", boxed("C"), boxed("B")),
    ),
    **dict.fromkeys(
        ("stem_web", "stem__web_3.6k"),
        Rollouts(
            "3.0e8 m/s",
            boxed("3 \\times 10^5 \\text{ km/s}"),
            boxed("3 \\times 10^6 \\text{ km/s}"),
            {"question": "How fast is light?"},
        ),
    ),
    "ood__ifeval": IFEVAL,
    "ood__ifbench": IFBENCH,
    "ood__livebench": Rollouts(
        "yes, no, yes",
        "It follows that **yes, no, yes**.",
        "It follows that **no, no, yes**.",
        {"task": "web_of_lies_v2"},
    ),
    "reasoning_gym": Rollouts(
        "7",
        tagged("7"),
        tagged("8"),
        {
            "task": "basic_arithmetic",
            "entry": {
                "question": "Calculate 3 + 4.",
                "answer": "7",
                "metadata": {"source_dataset": "basic_arithmetic"},
            },
        },
    ),
    **dict.fromkeys(
        (
            "searchR1_nq",
            "searchR1_triviaqa",
            "searchR1_popqa",
            "searchR1_hotpotqa",
            "searchR1_2wikimultihopqa",
            "searchR1_musique",
            "searchR1_bamboogle",
        ),
        QA,
    ),
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """A service with bubblewrap as its sandbox."""
    need("bwrap")
    if lacking := bubblewrap.missing():
        unavailable(lacking)
    with (
        service("reward_service.registry:load", processes="1", sandbox="bubblewrap", sandbox_places="2") as (
            base,
            _,
        ),
        httpx2.Client(base_url=base, timeout=110) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def results(http: httpx2.Client) -> dict[tuple[str, str], dict[str, Any]]:
    """Every rollout's result, posted in one batch."""
    items = [
        {
            "id": f"{name}|{kind}",
            "data_source": name,
            "solution_str": response,
            "reward_model": {"ground_truth": rollouts.gold},
            "extra_info": dict(rollouts.extra),
        }
        for name, rollouts in ROWS.items()
        for kind, response in (("right", rollouts.right), ("wrong", rollouts.wrong))
    ]
    reply = http.post("/v1/score/batch", json={"items": items})
    assert reply.status_code == 200, reply.text
    found = {}
    for result in reply.json()["results"]:
        name, _, kind = result["id"].partition("|")
        found[name, kind] = result
    return found


@pytest.mark.parametrize("name", ROWS)
def test_the_right_one_is_paid_and_the_wrong_one_is_not(
    results: dict[tuple[str, str], dict[str, Any]], name: str
) -> None:
    right, wrong = results[name, "right"], results[name, "wrong"]
    assert right["score"] == 1.0, right
    assert (wrong["status"], wrong["score"]) == ("scored", 0.0), wrong
