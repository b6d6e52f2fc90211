"""What holds for every handler, whoever wrote it: examples, hostile rows, determinism, cost, and what replies never say.

A handler that joins the registry is tested here without a line of its own. `python -m pytest -k "[name"` runs one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_service.engine.channel import HEADER, decision_from_plain, decision_to_plain, pack, unpack
from reward_service.questions import Ask, Opinion
from reward_service.questions import Verdict as Said
from reward_service.registry import Handler, Source, load
from reward_service.runs import RunResult, RunStatus, Work
from reward_service.types import REASONS, Item, Outcome, Profile, Reason, Status

HANDLERS = dict(load().handlers)
SOURCES = {source.name: (handler, source) for handler in HANDLERS.values() for source in handler.sources}

GURU_PAYS_LESS = {
    "table__hitab": "`1{,}204` is no number to the published scorer",
    "table__finqa": "`14.3\\%` is further than 0.1 % from 0.14336",
    "table__tatqa": "a scale word is text to it",
    "table__wtq": "two ways to write a date are two texts to it",
    "table__tablebench": "a list has an order there unless `|` stands between its entries",
    "table__tabfact": "`entailed` and 1 are two texts to it",
    "hiyouga/geometry3k": "a tenth of its score is for a format",
    "math_dapo": "its name is caught by `math*`, whose scorer wants a box",
}
"""Sources whose example the guru profile pays less, and why. Everywhere else both profiles pay it alike."""


def item(
    handler: Handler,
    source: Source,
    response: str,
    gold: Any,
    profile: Profile = Profile.STRICT,
    extra: Any = None,
    *,
    explain: bool = False,
) -> Item:
    """As the scorer makes it: the canonical name, and only the declared fields."""
    fields = source.example.extra_info if extra is None else extra
    return Item(
        source.name.replace("*", "example"),
        response,
        gold,
        {name: value for name, value in fields.items() if name in handler.reads},
        profile,
        source.name,
        explain,
    )


RESULTS = [
    RunResult(RunStatus.OK, stdout="zzqq\n", value='["str","zzqq"]', exit_code=0, cpu_seconds=0.1),
    RunResult(RunStatus.OK, stdout="", value=None),
    RunResult(RunStatus.OK, stdout="1" * 5_000, value="[" * 3_000),
    *(RunResult(status, stderr="Traceback", message="why", exit_code=1, signal=9) for status in RunStatus),
]
"""What a sandbox may say to a run: fine, nothing, hostile, or how it failed."""


def answers(work: Work) -> Iterator[list[RunResult]]:
    """What a sandbox may say to work, as the port has it: all alike, or a failure after some that went well."""
    for result in RESULTS:
        failed = work.stop_early and result.status is not RunStatus.OK
        yield [result] if failed else [result] * len(work.runs)
        if failed and len(work.runs) > 1:
            yield [RESULTS[0], result]


def outcomes(handler: Handler, one: Item, depth: int = 0) -> Iterator[Outcome]:
    """Every outcome that the item can come to: work is judged on whatever may come back."""
    decision = handler.plan(one)
    yield from decided(handler, one, decision, depth)


def decided(handler: Handler, one: Item, decision: Outcome | Work | Ask, depth: int) -> Iterator[Outcome]:
    assert isinstance(decision, Outcome | Work | Ask), f"{handler.name} returned {type(decision).__name__}"
    body = pack(decision_to_plain(decision))[HEADER.size :]
    if isinstance(decision, Outcome):
        yield decision
        return
    assert handler.judge is not None, f"{handler.name} asks for runs or an opinion and judges none"
    if isinstance(decision, Ask):
        yield from opined(handler, one, decision, body)
        return
    assert decision.runs, "work without runs would be judged on nothing"
    arrived = decision_from_plain(unpack(body), handler.name, handler.version, 0.0, 0.0)
    assert arrived == decision, "what is sent must be what was asked for: plain data only"
    blank = Item(one.data_source, "", None, one.extra_info, one.profile, one.source, one.explain)
    for place, results in enumerate(answers(decision)):
        if depth == 0 or (depth < 3 and place == 0):
            arrived = decision_from_plain(unpack(body), handler.name, handler.version, 0.0, 0.0)
            assert isinstance(arrived, Work)  # afresh: each call of a judge gets notes of its own
            yield from decided(handler, one, handler.judge(blank, arrived.notes, results), depth + 1)


def opined(handler: Handler, one: Item, asked: Ask, body: bytes) -> Iterator[Outcome]:
    """What comes of a question, whatever the judge model says. Only "yes" pays, and nothing clear is no score."""
    assert handler.judge is not None
    blank = Item(one.data_source, "", None, one.extra_info, one.profile, one.source, one.explain)
    for said, score in ((Said.YES, 1.0), (Said.NO, 0.0), (Said.ABSTAIN, None)):
        arrived = decision_from_plain(unpack(body), handler.name, handler.version, 0.0, 0.0)
        assert arrived == asked, "what is sent must be what was asked: plain data only"
        outcome = handler.judge(blank, arrived.notes, [Opinion(said, "a model")])
        assert isinstance(outcome, Outcome), "one question is asked, and not another after it"
        assert outcome.score == score
        if said is not Said.YES:  # what a judge grants is no answer that a rule took for the ground truth
            yield outcome


def check(outcome: Outcome, *, explain: bool = False) -> None:
    """What an outcome of any handler keeps to."""
    status, _, _ = REASONS[outcome.reason]
    assert outcome.status is status
    if outcome.status is Status.SCORED:
        assert type(outcome.score) is float
        assert 0.0 <= outcome.score <= 1.0
        assert outcome.correct is (outcome.score == 1.0)
    else:
        assert outcome.score is None and outcome.correct is None
        assert outcome.reason in {
            Reason.MALFORMED_GROUND_TRUTH,
            Reason.MALFORMED_ITEM,
            Reason.JUDGE_UNAVAILABLE,
        }, "what a row can have wrong, and a judge that says nothing clear"
        assert outcome.detail["message"]
    assert all(
        type(flag) is str and flag and flag == flag.lower() and len(flag) <= 64 for flag in outcome.flags
    )
    assert explain or not outcome.trace, "expected values leave only for those who asked"
    json.dumps(decision_to_plain(outcome), allow_nan=False)
    assert len(json.dumps(decision_to_plain(outcome)[-2])) < 20_000, (
        "detail is a remark, not a copy of the response"
    )


# Examples


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("profile", Profile)
def test_an_example_scores_what_it_says(name: str, profile: Profile) -> None:
    handler, source = SOURCES[name]
    example = source.example
    decision = handler.plan(item(handler, source, example.response, example.ground_truth, profile))
    if isinstance(decision, Work):
        return  # with a sandbox only: tests/handlers has the recorded results
    check(decision)
    if profile is Profile.GURU and name in GURU_PAYS_LESS:
        assert decision.status is Status.SCORED
        return
    assert (decision.status, decision.score) == (Status.SCORED, example.score)


@pytest.mark.parametrize("name", SOURCES)
def test_an_example_is_worth_showing(name: str) -> None:
    """It is what `/v1/data-sources` shows: a score that is more than 0, nothing undeclared, JSON, found under its name."""
    handler, source = SOURCES[name]
    example = source.example
    assert example.score > 0.0
    assert set(example.extra_info) <= set(handler.reads)
    assert json.loads(json.dumps(example.ground_truth)) == example.ground_truth
    route = load().route(source.name.replace("*", "example"))
    assert route is not None
    assert (route.handler, route.source) == (handler, source)


@pytest.mark.parametrize("name", SOURCES)
def test_an_example_without_its_answer_scores_nothing(name: str) -> None:
    handler, source = SOURCES[name]
    for response, profile in product(("", "I don't know.", "<think>hm</think>"), Profile):
        for outcome in outcomes(
            handler, item(handler, source, response, source.example.ground_truth, profile)
        ):
            check(outcome)
            assert (outcome.status, outcome.score) == (Status.SCORED, 0.0), (response, profile)


def test_the_sources_that_guru_pays_less_exist() -> None:
    assert set(GURU_PAYS_LESS) <= set(SOURCES)


# Rows of every kind

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
PIECES = st.sampled_from(
    ["<answer>", "</answer>", "<think>", "</think>", "\\boxed{", "}", "{", "```json\n", "```python\n", "\n```", "Answer: ", "**", "[", "]",
     '"', "'", ":", ",", "|", "\n", " ", "1", "-", ".", "%", "A", "B", "yes", "no", "not ", " or ", "²", "½", "\ud800", "\0", "1e999",
     "0x", "9" * 40, "\\frac{1}{2}", "\\text{", "=", "<table>", "<td>", "(", ")", "def f(x):\n    return x"]
)  # fmt: skip
MESS = st.lists(PIECES, max_size=16).map("".join)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a value."""
    found = [path]
    if isinstance(value, dict):
        found += [deeper for key, entry in value.items() for deeper in places(entry, (*path, key))]
    elif isinstance(value, list):
        found += [deeper for index, entry in enumerate(value) for deeper in places(entry, (*path, index))]
    return found


def replaced(value: Any, path: Sequence[Any], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {
            key: replaced(entry, path[1:], new) if key == path[0] else entry for key, entry in value.items()
        }
    return [
        replaced(entry, path[1:], new) if index == path[0] else entry for index, entry in enumerate(value)
    ]


def unpacked(gold: Any) -> tuple[Any, bool]:
    """The ground truth, and whether it was JSON in a string."""
    if isinstance(gold, str) and gold.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(gold), True
        except ValueError:
            return gold, False
    return gold, False


@st.composite
def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """A value with one place of it replaced by any JSON."""
    plain, in_string = unpacked(value)
    new = replaced(plain, draw(st.sampled_from(places(plain))), draw(JSON))
    return json.dumps(new) if in_string and draw(st.booleans()) else new


@st.composite
def responses(draw: st.DrawFn, source: Source) -> str:
    """Any text, text in the dress of an answer, or the example's response with something cut out or put in."""
    text = draw(MESS | st.text(max_size=60))
    own = source.example.response
    at = draw(st.integers(0, len(own)))
    match draw(st.integers(0, 4)):
        case 0:
            return text
        case 1:
            return f"<answer>{text}</answer>"
        case 2:
            return f"so \\boxed{{{text}}}"
        case 3:
            return own[:at] + text + own[at:]
        case _:
            return own[:at] + own[draw(st.integers(at, len(own))) :]


class Row(NamedTuple):
    """A source and what a row of it says."""

    source: Source
    response: str
    gold: Any
    extra: dict[str, Any]
    profile: Profile


@st.composite
def rows(draw: st.DrawFn, handler: Handler) -> Row:
    source = draw(st.sampled_from(handler.sources))
    gold = draw(spoilt(source.example.ground_truth) | JSON | st.just(source.example.ground_truth))
    extra = dict(source.example.extra_info)
    if handler.reads and draw(st.booleans()):
        extra[draw(st.sampled_from(handler.reads))] = draw(JSON)
    return Row(source, draw(responses(source)), gold, extra, draw(st.sampled_from(list(Profile))))


QUIET = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("name", HANDLERS)
@QUIET
@given(data=st.data())
def test_any_row_is_judged_or_refused_and_always_alike(name: str, data: st.DataObject) -> None:
    handler = HANDLERS[name]
    row = data.draw(rows(handler))
    for explain in (False, True):
        one = item(handler, row.source, row.response, row.gold, row.profile, row.extra, explain=explain)
        before = json.dumps(row.gold)
        first, second = list(outcomes(handler, one)), list(outcomes(handler, one))
        for outcome in first:
            check(outcome, explain=explain)
        assert first == second
        assert json.dumps(row.gold) == before, "the ground truth is the row's"


@pytest.mark.parametrize("name", HANDLERS)
@QUIET
@given(data=st.data())
def test_explaining_changes_no_verdict(name: str, data: st.DataObject) -> None:
    handler = HANDLERS[name]
    row = data.draw(rows(handler))
    silent, asked = (
        list(
            outcomes(
                handler,
                item(handler, row.source, row.response, row.gold, row.profile, row.extra, explain=explain),
            )
        )
        for explain in (False, True)
    )
    assert [(o.score, o.reason, o.extracted, o.flags) for o in silent] == [
        (o.score, o.reason, o.extracted, o.flags) for o in asked
    ]


def nested(depth: int, kind: str = "list") -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


AWKWARD: dict[str, Any] = {
    "null": None, "true": True, "false": False, "zero": 0, "negative": -1, "float": 0.5, "tiny": 5e-324, "huge": 1.7e308,
    "long integer": 10**4000, "empty text": "", "space": " ", "NUL": "\0", "surrogate": "\ud800", "long text": "x" * 100_000,
    "digits": "9" * 5_000, "brackets": "[" * 5_000, "braces": '{"a":' * 5_000, "NaN in text": "[NaN]", "infinity in text": '{"a": 1e999}',
    "empty list": [], "empty object": {}, "list of nothing": [None], "list of lists": [[], [[]]], "ragged": [[1], [1, 2], "x"],
    "deep list": nested(190), "deep object": nested(190, "object"), "long list": list(range(20_000)), "many keys": {str(n): n for n in range(5_000)},
    "empty key": {"": ""}, "mixed": [1, "a", None, {"b": [2.5, True]}], "json text": '{"a": [1, 2]}', "json list": '["a", 1]',
    "broken json": '{"a": ', "code": "__import__('os').system('true')", "box": "\\boxed{1}", "tags": "<answer>1</answer>",
}  # fmt: skip
ANSWERS = [
    "",
    "<answer>1</answer>",
    "so \\boxed{1}",
    '```json\n{"a": [1, 2]}\n```',
    "Answer: x",
    "```python\ndef f(x):\n    return x\n```",
]


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("what", AWKWARD)
def test_a_ground_truth_of_another_kind_is_refused_or_used(name: str, what: str) -> None:
    handler = HANDLERS[name]
    for source, profile in product(handler.sources[:6], Profile):
        for response in (*ANSWERS, source.example.response):
            for outcome in outcomes(handler, item(handler, source, response, AWKWARD[what], profile)):
                check(outcome)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("what", ["null", "empty text", "empty list", "empty object"])
def test_a_row_without_ground_truth_is_never_scored(name: str, profile: Profile, what: str) -> None:
    """A column that was lost on the way would else be reward 0 for a whole run, or 1 for an empty answer.

    Without the declared fields too: some sources have what an answer is checked against in there.
    """
    handler, source = SOURCES[name]
    for response in (
        *ANSWERS,
        source.example.response,
        "<answer></answer>",
        "\\boxed{}",
        "<answer>null</answer>",
        "```json\nnull\n```",
    ):
        for outcome in outcomes(handler, item(handler, source, response, AWKWARD[what], profile, {})):
            assert outcome.status is Status.ERROR, f"{response!r} scored {outcome.score} ({outcome.reason})"


# Cost

SIZE = 20_000
SHAPES = {
    "a": "a", "digits": "1", "spaces": " ", "lines": "\n", "tabs": "\t", "brackets": "[", "closing": "]", "braces": "{", "parens": "(",
    "quotes": '"', "apostrophes": "'", "ticks": "`", "stars": "*", "dollars": "$", "backslashes": "\\", "pipes": "|", "commas": ",",
    "signs": "-", "dots": ".", "percent": "%", "boxes": "\\boxed{", "closed boxes": "\\boxed{1} ", "tags": "<answer>", "closed tags": "<answer>1</answer>",
    "thoughts": "<think></think>", "texts": "\\text{", "fractions": "\\frac{1}{", "roots": "\\sqrt{", "powers": "2^", "powers of braces": "2^{", "sums": "1+",
    "products": "2*", "factorials": "9!", "big numbers": "9" * 400 + " ", "exponents": "1e999 ", "decimals": "1.5,", "thousands": "1,234,567 ",
    "pairs": '"a":1,', "objects": '{"a":1},', "lists": "[1],", "tuples": "(1,2),", "table": "| a | b |\n", "html": "<tr><td>1</td></tr>",
    "open html": "<table><tr><td>", "csv": "a,b\n", "tsv": "a\tb\n", "grids": "1 2 3\n", "letters": "A ", "options": "A) x\n", "hedges": "not A or B ",
    "answers": "The answer is A. ", "answer lines": "Answer: 1\n", "knights": "A is a knight and B is a knave. ", "arrows": "a -> b -> ",
    "numbered": "1. a\n", "bullets": "- a\n", "dates": "2020-01-01 ", "code": "def f():\n    pass\n", "fences": "```python\n1\n```\n",
    "open fences": "```python\n", "unary": "- - ", "marks": "a\u0301\u0323", "marks only": "\u0301\u0323", "raised": "²", "halves": "½", "wide": "４",
    "latex lists": "\\item 1 ", "matrices": "\\begin{pmatrix}1&2\\\\", "integrals": "\\int_0^1 x dx ", "sets": "\\{1,2\\},", "intervals": "(0,1]\\cup", "units": "5 km/h ",
}  # fmt: skip
DRESSES = ["{}", "<answer>{}</answer>", "\\boxed{{{}}}", "```json\n{}\n```", "Answer: {}"]


@pytest.mark.parametrize("name", HANDLERS)
def test_twenty_kilobytes_of_anything_cost_little(name: str) -> None:
    """CPU time below a quarter of the handler's own budget, so that a long answer is judged and not cut off."""
    handler = HANDLERS[name]
    bound = handler.limits.cpu_seconds / 4
    slow: dict[tuple[str, str, str], float] = {}
    for place, source in enumerate(handler.sources):
        gold = source.example.ground_truth
        list(
            outcomes(handler, item(handler, source, source.example.response, gold))
        )  # what is loaded only once
        shapes = list(SHAPES.items())[place % 3 :: 3] if place else list(SHAPES.items())
        for (shape, piece), dress in product(shapes, DRESSES if place == 0 else DRESSES[:3]):
            response = dress.format((piece * (SIZE // len(piece) + 1))[:SIZE])
            spent = min(cost(handler, source, response, gold, bound) for _ in range(2))
            if spent > bound:
                slow[source.name, shape, dress] = round(spent, 2)
    assert not slow


def cost(
    handler: Handler, source: Source, response: str, gold: Any, bound: float, seen: list[float] | None = None
) -> float:
    """CPU seconds of judging in the dearer profile."""
    worst = 0.0
    for profile in Profile:
        started = time.process_time()
        decision = handler.plan(item(handler, source, response, gold, profile))
        worst = max(worst, time.process_time() - started)
        if isinstance(decision, Outcome):
            check(decision)
    return worst


# What a reply says

WRONG = [
    "I don't know.", "<answer>zzqq</answer>", "so \\boxed{zzqq}", '```json\n{"zzqq": 1}\n```', "```python\ndef zzqq():\n    return 1\n```",
    "Answer: zzqq", "<answer>[['zzqq']]</answer>", "<answer>-7777777</answer>", "\\boxed{-7777777}", "| zzqq |\n| --- |\n| 7777777 |",
]  # fmt: skip


def leaves(value: Any) -> Iterator[str]:
    """The texts and numbers of a ground truth that are long enough to be told from chance."""
    plain, _ = unpacked(value)
    if isinstance(plain, dict):
        for entry in plain.values():
            yield from leaves(entry)
    elif isinstance(plain, list):
        for entry in plain:
            yield from leaves(entry)
    elif isinstance(plain, str | int | float) and not isinstance(plain, bool):
        text = str(plain).strip()
        if len(text) >= 4:
            yield text


def said(outcome: Outcome) -> str:
    """Everything of an outcome that goes into a reply, in lower case."""
    return json.dumps(
        [outcome.extracted, outcome.flags, dict(outcome.detail)], default=str, ensure_ascii=False
    ).lower()


@pytest.mark.parametrize("name", SOURCES)
def test_a_reply_to_a_wrong_answer_never_quotes_the_ground_truth(name: str) -> None:
    """What a trainer logs can end in a prompt."""
    handler, source = SOURCES[name]
    secrets = {secret.lower() for secret in leaves(source.example.ground_truth)}
    others = [other.example.response for other in handler.sources if other is not source]
    for response, profile, explain in product((*WRONG, *others), Profile, (False, True)):
        known = (response + json.dumps(dict(source.example.extra_info), ensure_ascii=False)).lower()
        one = item(handler, source, response, source.example.ground_truth, profile, explain=explain)
        for outcome in outcomes(handler, one):
            if outcome.correct:
                continue
            text = said(outcome)
            assert not [secret for secret in secrets if secret in text and secret not in known], response


MARK = "gehezzlo"


def marked(value: Any) -> Any:
    """The value with a mark in every text, and instead of every number."""
    plain, in_string = unpacked(value)
    if isinstance(plain, dict):
        new: Any = {key: marked(entry) for key, entry in plain.items()}
    elif isinstance(plain, list):
        new = [marked(entry) for entry in plain]
    else:
        new = f"{plain}{MARK}"
    return json.dumps(new) if in_string else new


@pytest.mark.parametrize("name", SOURCES)
def test_a_message_about_a_ground_truth_never_quotes_it(name: str) -> None:
    handler, source = SOURCES[name]
    gold = source.example.ground_truth
    bad = [marked(gold), MARK, [MARK], {MARK: MARK}, {"a": MARK}, f'{{"{MARK}": ', [[MARK, 1]], f"[{MARK}]"]
    for value, profile in product(bad, Profile):
        for response in (source.example.response, "<answer>zzqq</answer>", ""):
            for outcome in outcomes(handler, item(handler, source, response, value, profile)):
                assert MARK not in said(outcome), value


def test_the_checks_of_this_file_notice() -> None:
    """They must be able to fail."""
    for broken in (
        Outcome(Status.SCORED, Reason.EQUAL, None, None),
        Outcome(Status.SCORED, Reason.EQUAL, 1.0, False),
        Outcome(Status.SCORED, Reason.EQUAL, 2.0, False),
        Outcome(Status.SCORED, Reason.DEADLINE, 0.0, False),
        Outcome(Status.ERROR, Reason.INTERNAL, None, None, detail={"message": "x"}),
        Outcome(Status.ERROR, Reason.MALFORMED_GROUND_TRUTH, 0.0, False, detail={"message": "x"}),
        Outcome(Status.SCORED, Reason.EQUAL, 1.0, True, trace={"gold": 1}),
        Outcome(Status.SCORED, Reason.EQUAL, 1.0, True, flags=("Bad Flag",)),
    ):
        with pytest.raises((AssertionError, KeyError)):
            check(broken)
    assert list(leaves({"a": ["long text", 1, 12345], "b": '{"c": "inner"}'})) == [
        "long text",
        "12345",
        "inner",
    ]
