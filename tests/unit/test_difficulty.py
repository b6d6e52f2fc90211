"""The difficulty filter: its rules by hand, against a plain reimplementation, and over files."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_service.analysis.difficulty import (
    Cause,
    Rules,
    Suspicion,
    Tally,
    Verdict,
    parse_rate,
    suspicions,
    undressed,
)
from reward_service.analysis.filtering import BOTH, STRONG, WEAK, Ask, Filter, Found, Role, summary_json
from reward_service.dump import Refused
from reward_service.registry import load
from tests.unit.test_report import outcome, write

GURU = Rules(parse_rate("0.9"), parse_rate("1/16"))
REGISTRY = load()


def tally(c: int, n: int = 16, **more: int) -> Tally:
    return Tally(n=n, c=c, **more)


@pytest.mark.parametrize(
    ("weak", "strong", "verdict"),
    [
        # Guru's released rates: weak in [0, 0.875], strong in [0.0625, 1].
        (tally(14), tally(1), Verdict.KEPT),
        (tally(15), tally(16), Verdict.TOO_EASY),
        (tally(0), tally(0), Verdict.IMPOSSIBLE),
        (tally(16), tally(0), Verdict.IMPOSSIBLE),
        (tally(9, 10), tally(5), Verdict.TOO_EASY),  # 0.9 is too easy, exactly
        (tally(0), tally(1, 17), Verdict.IMPOSSIBLE),  # 1/17 is less than 1/16
        (tally(0), tally(1, 15, errors=1), Verdict.KEPT),
        (tally(0), tally(0, 0, errors=16), Verdict.UNDECIDED),
        (tally(0, 0, errors=16), tally(3), Verdict.UNDECIDED),
        (tally(0, 0), tally(0), Verdict.IMPOSSIBLE),  # one rule is enough to drop
        (tally(16), tally(0, 0), Verdict.TOO_EASY),
    ],
)
def test_verdicts_by_hand(weak: Tally, strong: Tally, verdict: Verdict) -> None:
    assert GURU.verdict(weak, strong) is verdict


def test_a_rule_that_is_left_out_says_nothing() -> None:
    assert Rules(None, Fraction(1, 16)).verdict(tally(0, 0), tally(16)) is Verdict.KEPT
    assert Rules(Fraction(1, 2), None).verdict(tally(0), tally(0, 0)) is Verdict.KEPT
    assert Rules(Fraction(1, 2), None, samples=17).verdict(tally(16), tally(0)) is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("strong", "causes"),
    [
        (tally(0, no_answer=16), {Cause.NO_ANSWER}),  # nothing would be left to say it is impossible
        (tally(0, no_answer=15), set()),  # one wrong answer remains: still impossible
        (tally(0, unclear=16), {Cause.UNCLEAR}),
        (tally(0, limits=16), {Cause.LIMITS}),
        (tally(0, no_answer=8, limits=8), set()),
        (tally(1, 32, no_answer=16), {Cause.NO_ANSWER}),  # 1 of 32 is too few, 1 of 16 is not
        (tally(1, 31, no_answer=15, limits=15), {Cause.NO_ANSWER, Cause.LIMITS}),
        (tally(5, no_answer=11), set()),  # not impossible at all
    ],
)
def test_what_a_drop_rests_on(strong: Tally, causes: set[Cause]) -> None:
    strong = strong._replace(n=max(strong.n, strong.c + strong.no_answer + strong.unclear + strong.limits))
    assert set(GURU.causes(tally(0), strong)) == causes


def test_errors_would_and_could() -> None:
    assert GURU.errors_would_drop(tally(0), tally(0, 0, errors=16))
    assert GURU.errors_would_drop(tally(0), tally(1, 10, errors=10))  # 1/10 is kept, 1/20 would not be
    assert not GURU.errors_would_drop(tally(0), tally(0, 8, errors=8))  # impossible anyway
    assert GURU.errors_may_matter(tally(0), tally(0, 15, errors=1))
    assert not GURU.errors_may_matter(tally(0), tally(0))
    assert GURU.errors_may_matter(tally(9, 10, errors=6), tally(9))
    assert not GURU.errors_may_matter(tally(5, 10, errors=6), tally(9))


def test_suspicions_by_hand() -> None:
    def found(weak: Tally, strong: Tally, **more: Any) -> list[Suspicion]:
        return list(
            suspicions(weak, strong, **{"most_agree": 0, "looks_equal": 0, "two_models": True, **more})
        )

    assert found(tally(0), tally(0), most_agree=12) == [Suspicion.AGREEMENT]
    assert found(tally(0), tally(0), most_agree=11) == []
    assert found(tally(0), tally(0, 3), most_agree=3) == []
    assert found(tally(2), tally(0)) == [Suspicion.WEAK_PASSES]
    assert found(tally(2), tally(0), two_models=False) == []
    assert found(tally(0), tally(0), looks_equal=1) == [Suspicion.LOOKS_EQUAL]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("$\\text{Red}$.", "red", True),
        ("\\left( 1, 2 \\right)", "(1,2)", True),
        ("1.5", "15", False),
        ("-3", "3", False),
        ("{1,2}", "1,2", True),
    ],
)
def test_undressed(one: str, other: str, alike: bool) -> None:
    assert (undressed(one) == undressed(other)) is alike


@pytest.mark.parametrize("text", ["2", "-0.1", "x", "1/0", "nan", "inf", ""])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


def test_rates_are_exact() -> None:
    assert (parse_rate("0.9"), parse_rate("1/16"), parse_rate("1e-5")) == (
        Fraction(9, 10),
        Fraction(1, 16),
        Fraction(1, 100_000),
    )


# Over files

SAMPLES = st.lists(
    st.tuples(
        st.sampled_from([WEAK, STRONG]),
        st.integers(0, 4),
        st.sampled_from(
            [
                "equal",
                "not_equal",
                "no_answer",
                "time_limit",
                "ambiguous_answer",
                "deadline",
                "sandbox_unavailable",
            ]
        ),
    ),
    max_size=60,
)
ERRORS = {"deadline", "sandbox_unavailable"}


def sample(prompt: int, reason: str, **more: Any) -> dict[str, Any]:
    score = None if reason in ERRORS else float(reason == "equal")
    base = {"data_source": "logic__graph", "prompt_id": prompt, "response": "r", "ground_truth": "8"}
    return {**base, **more, "outcome": outcome(score, reason, extracted=more.get("extracted", "7"))}


def run(place: Path, samples: list[tuple[Role, int, str]], **ask: Any) -> tuple[Found, list[dict[str, Any]]]:
    files = []
    for role, name in ((WEAK, "weak"), (STRONG, "strong")):
        rows = [sample(prompt, reason, model=name) for whose, prompt, reason in samples if whose is role]
        if rows:
            files.append((write(place / f"{name}.jsonl", rows), role))
    asked = Ask(files, place / "kept.jsonl", **{"rules": GURU, **ask})
    found = Filter(asked, REGISTRY, lambda now: None).run()
    return found, [json.loads(line) for line in asked.out.read_text().splitlines()]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    SAMPLES,
    st.sampled_from(["0", "1/3", "0.5", "0.9", "1"]),
    st.sampled_from(["0", "1/16", "0.5", "1"]),
    st.integers(1, 3),
)
def test_against_a_plain_reimplementation(
    samples: list[tuple[Role, int, str]], easy: str, hard: str, least: int
) -> None:
    """Counts by dictionary, rates as fractions; and the same without any error row: errors are never failures."""
    roles = {role for role, *_ in samples}
    if roles != {WEAK, STRONG}:
        return
    rules = Rules(parse_rate(easy), parse_rate(hard), samples=least)
    judged: dict[tuple[int, Role], list[bool]] = defaultdict(list)
    for role, prompt, reason in samples:
        if reason not in ERRORS:
            judged[prompt, role].append(reason == "equal")
    expected = set()
    for prompt in {prompt for _, prompt, _ in samples}:
        weak, strong = judged[prompt, WEAK], judged[prompt, STRONG]
        if min(len(weak), len(strong)) < least:
            continue
        if Fraction(sum(weak), len(weak)) < Fraction(easy) and Fraction(sum(strong), len(strong)) >= Fraction(
            hard
        ):
            expected.add(prompt)
    with tempfile.TemporaryDirectory() as place:
        found, kept = run(Path(place), samples, rules=rules)
        assert {row["prompt_id"] for row in kept} == expected
        assert len(kept) == sum(prompt in expected for _, prompt, _ in samples) == found.total.rows_kept
        assert (
            sum(found.total.verdicts.values())
            == found.total.prompts
            == len({prompt for _, prompt, _ in samples})
        )
        without = [one for one in samples if one[2] not in ERRORS]
        if {role for role, *_ in without} == {WEAK, STRONG}:
            again, rest = run(Path(place), without, rules=rules)
            assert {row["prompt_id"] for row in rest} == expected
            for verdict in (Verdict.TOO_EASY, Verdict.IMPOSSIBLE, Verdict.KEPT):
                assert again.total.verdicts[verdict] == found.total.verdicts[verdict]


def test_a_summary_by_hand(tmp_path: Path) -> None:
    """Eight prompts, four samples of each model, every kind of drop once."""
    weak, strong = WEAK, STRONG
    prompts = {
        1: (["equal"] * 2 + ["not_equal"] * 2, ["equal"] * 4),  # kept
        2: (["equal"] * 4, ["equal"] * 4),  # too easy
        3: (["not_equal"] * 4, ["not_equal"] * 3 + ["no_answer"]),  # impossible
        4: (["not_equal"] * 4, ["no_answer"] * 4),  # impossible only by format
        5: (["equal"] + ["not_equal"] * 3, ["time_limit"] * 4),  # impossible by limits; the weak model passes
        6: (["not_equal"] * 4, ["deadline"] * 4),  # undecided
        7: (["not_equal"] * 4, ["equal", "deadline", "deadline", "deadline"]),  # kept
        8: (["not_equal"] * 4, ["not_equal"] * 3 + ["deadline"]),  # impossible, but for one error
    }
    samples = [
        (role, prompt, reason)
        for prompt, both in prompts.items()
        for role, reasons in zip((weak, strong), both, strict=True)
        for reason in reasons
    ]
    found, kept = run(tmp_path, samples, rules=Rules(parse_rate("0.9"), parse_rate("1/4")))
    assert {row["prompt_id"] for row in kept} == {1, 7}
    told = json.loads(summary_json(found, Ask([], tmp_path / "x.jsonl", GURU)))["total"]
    assert told == {
        "prompts": 8, "kept": 2, "too_easy": 1, "impossible": 4, "undecided": 1, "undecided_because_of_errors": 1,
        "impossible_only_because_of": {"no_answer": 1, "ambiguous_or_malformed": 0, "over_a_limit": 1},
        "impossible_if_errors_were_failures": 1,  # prompt 6; 1 of 4 would still do for prompt 7
        "dropped_but_errors_could_have_kept_it": 1,
        "suspected_false_negatives": 3,
        # Every failing sample extracted "7" here; prompt 8 has three judged ones, too few to say that they agree.
        "suspicions": {"samples_agree": 3, "weak_model_passes": 1, "looks_equal": 0},
        "rows": 64, "rows_not_judged": 8, "rows_kept": 16,
    }  # fmt: skip
    assert [one.extracted for one in found.suspects] == ["7"] * 3
    assert found.suspects[0].ground_truth == "8" and found.suspects[0].line


def test_right_answers_that_a_verifier_rejects_are_suspected(tmp_path: Path) -> None:
    rows = [
        sample(1, "not_equal", ground_truth="Red", extracted=text)
        for text in ("\\text{red}", "blue", "blue", "green")
    ]
    found = Filter(
        Ask([(write(tmp_path / "a", rows), None)], tmp_path / "k.jsonl", GURU), REGISTRY, lambda now: None
    ).run()
    assert found.total.suspicions == {Suspicion.LOOKS_EQUAL: 1}


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.jsonl.gz", "kept.jsonl.zst"])
def test_rows_are_written_byte_for_byte(tmp_path: Path, name: str) -> None:
    strange = '{"z":1.0e2,  "data_source":"logic__graph","prompt_id":1,"response":"\\u00e4 \u2028","a":{"b":[1e400]},"outcome":0.5}'
    dropped = '{"data_source":"logic__graph","prompt_id":2,"response":"x","outcome":0}'
    source = write(
        tmp_path / "a.jsonl",
        [strange.replace("1e400", "12345678901234567890"), dropped, strange.replace("[1e400]", "null")],
    )
    ask = Ask([(source, None)], tmp_path / name, Rules(None, Fraction(1, 2), pass_score=0.5))
    Filter(ask, REGISTRY, lambda now: None).run()
    lines = source.read_bytes().splitlines(keepends=True)
    data = ask.out.read_bytes()
    if name.endswith("gz"):
        data = gzip.decompress(data)
    elif name.endswith("zst"):
        import zstandard

        data = b"".join(zstandard.ZstdDecompressor().read_to_iter(data))
    assert data == lines[0] + lines[2]
    assert not list(tmp_path.glob("*.partial"))


def test_parquet_keeps_columns_and_types(tmp_path: Path) -> None:
    rows = [
        {
            "data_source": "logic__graph",
            "prompt_id": number // 2,
            "response": "r",
            "when": number,
            "vector": [1.5, number],
            "reward": float(number % 4 == 0),
        }
        for number in range(1_000)
    ]
    schema = pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt_id", pa.int32()),
            ("response", pa.large_string()),
            ("when", pa.timestamp("us")),
            ("vector", pa.list_(pa.float32())),
            ("reward", pa.float64()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    ask = Ask(
        [(tmp_path / "a.parquet", None)],
        tmp_path / "kept.parquet",
        Rules(None, Fraction(1, 2)),
        column="reward",
    )
    found = Filter(ask, REGISTRY, lambda now: None).run()
    kept = pq.read_table(ask.out)
    assert kept.schema == schema
    assert kept.to_pylist() == [
        row for row in pa.Table.from_pylist(rows, schema).to_pylist() if row["prompt_id"] % 2 == 0
    ]
    assert found.total.rows_kept == 500


def test_lines_become_parquet_and_the_other_way_round(tmp_path: Path) -> None:
    rows = [sample(1, "equal"), sample(2, "not_equal"), sample(1, "equal")]
    first = Ask(
        [(write(tmp_path / "a.jsonl", rows), None)], tmp_path / "k.parquet", Rules(None, Fraction(1, 2))
    )
    Filter(first, REGISTRY, lambda now: None).run()
    assert [json.loads(row["outcome"])["score"] for row in pq.read_table(first.out).to_pylist()] == [1.0, 1.0]
    second = Ask([(first.out, None)], tmp_path / "b.jsonl", Rules(None, Fraction(1, 2)))
    assert Filter(second, REGISTRY, lambda now: None).run().total.rows_kept == 2
    assert len(second.out.read_text().splitlines()) == 2


def test_models_by_column(tmp_path: Path) -> None:
    rows = [sample(1, "equal", meta={"model": "7b"}), sample(1, "equal", meta={"model": "30b"}), sample(2, "not_equal", meta={"model": "7b"}),
            sample(2, "equal", meta={"model": "30b"}), sample(2, "not_equal", meta={"model": "other"}), sample(2, "not_equal")]  # fmt: skip
    ask = Ask(
        [(write(tmp_path / "a.jsonl", rows), None)],
        tmp_path / "k.jsonl",
        GURU,
        model_column="meta.model",
        weak_model="7b",
        strong_model="30b",
    )
    found = Filter(ask, REGISTRY, lambda now: None).run()
    assert found.total.verdicts == {Verdict.TOO_EASY: 1, Verdict.KEPT: 1}
    assert found.other_models == 2


def test_rows_of_a_data_set_once_per_prompt(tmp_path: Path) -> None:
    scored = write(
        tmp_path / "a.jsonl",
        [sample(prompt, "equal" if prompt % 2 else "not_equal") for prompt in range(6) for _ in range(4)],
    )
    data = write(
        tmp_path / "data.jsonl",
        [{"data_source": "logic__graph", "prompt_id": prompt, "prompt": "?"} for prompt in (5, 3, 3, 0, 77)],
    )
    ask = Ask([(scored, BOTH)], tmp_path / "k.jsonl", Rules(None, Fraction(1, 2)), data=data, once=True)
    found = Filter(ask, REGISTRY, lambda now: None).run()
    assert [json.loads(line)["prompt_id"] for line in ask.out.read_text().splitlines()] == [5, 3]
    assert (found.not_scored, found.total.rows_kept, found.total.rows) == (1, 2, 24)


def test_undecided_prompts_are_kept_when_that_is_asked_for(tmp_path: Path) -> None:
    samples = [(WEAK, 1, "deadline"), (STRONG, 1, "deadline")]
    found, kept = run(tmp_path, samples)
    assert kept == [] and found.total.undecided_by_errors == 1
    _, kept = run(tmp_path, samples, keep_undecided=True)
    assert len(kept) == 2


def test_asks_that_make_no_sense_are_refused_and_write_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [sample(1, "equal")])
    other = write(
        tmp_path / "b.jsonl",
        [
            {
                **{key: value for key, value in sample(1, "equal").items() if key != "prompt_id"},
                "extra_info": {"index": 1},
            }
        ],
    )
    for files, more, words in (
        ([(path, None)], {"rules": Rules()}, "give --weak-max"),
        ([], {}, "name the scored dumps"),
        ([(path, WEAK)], {}, "--strong-min needs samples"),
        ([(path, STRONG)], {}, "--weak-max needs samples"),
        ([(path, None), (path, WEAK)], {}, "some files have a role"),
        ([(path, None)], {"model_column": "m"}, "--model-column needs"),
        ([(path, WEAK), (other, STRONG)], {}, "name what they share"),
        ([(path, None)], {"out": path}, "output is an input"),
        ([(path, None)], {"out": tmp_path / "k.txt"}, "name the output"),
        ([(path, None)], {"out": tmp_path / "none" / "k.jsonl"}, "no such directory"),
        ([(path, None)], {"data": tmp_path / "none.jsonl"}, "No such file"),
    ):
        with pytest.raises(Refused, match=words):
            Filter(
                Ask(files, **{"out": tmp_path / "k.jsonl", "rules": GURU, **more}), REGISTRY, lambda now: None
            ).run()
        assert sorted(found.name for found in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]
        assert path.read_text().count("\n") == 1
