"""Dumps: what is read, what is written, and that an interruption costs nothing that was written."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from reward_service import dump as dumps
from reward_service.bulk import Job, Progress, Run, Stopped
from reward_service.dump import Output, Record, Refused, open_input, outcome_of, with_outcome
from reward_service.types import accept, reject
from reward_service.wire import ItemIn, result


class Judge:
    """A backend that pays for the word "right", and remembers what it was asked. Raises after `lasts` items."""

    def __init__(self, lasts: int | None = None) -> None:
        self.asked: list[str] = []
        self.lasts = lasts

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        await asyncio.sleep(0)
        if self.lasts is not None and len(self.asked) + len(items) > self.lasts:
            raise Stopped("gone")
        self.asked += [item.response or "" for item in items]
        return [
            result(accept(item.response) if "right" in (item.response or "") else reject(), place, None)
            for place, item in enumerate(items)
        ]


def run(job: Job, judge: Judge | None = None, watch: Any = None) -> Run:
    """A whole run with a judge."""
    one = Run(job, watch or (lambda _: None))
    try:
        if one.prepare():
            asyncio.run(one.score(judge or Judge()))
    finally:
        one.close()
    return one


def row(number: int, /, **more: Any) -> dict[str, Any]:
    word = "right" if number % 3 else "wrong"
    return {"data_source": f"s{number % 2}", "response": f"{word} {number}", "ground_truth": "x", **more}


def write(path: Path, rows: Sequence[dict[str, Any] | str]) -> Path:
    """A dump in the format that the path's name says."""
    text = "".join(
        (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in rows
    )
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([one for one in rows if isinstance(one, dict)]), path)
        return path
    path.write_bytes(data)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of an output; a Parquet `detail` decoded."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        for one in rows:
            one["outcome"]["detail"] = json.loads(one["outcome"]["detail"])
        return rows
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return [json.loads(line) for line in data.decode().split("\n") if line]


def records(path: Path) -> list[Record]:
    """What a dump is read as."""
    source = open_input(path, "c")
    found = list(source.records())
    source.close()
    return found


FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


@pytest.mark.parametrize("of", FORMATS)
@pytest.mark.parametrize("to", FORMATS)
def test_every_format_to_every_format_keeps_order_and_columns(tmp_path: Path, of: str, to: str) -> None:
    rows = [
        row(number, step=number, note="ä\u2028\x85 𝟙", weight=number / 4, ok=True) for number in range(700)
    ]
    out = tmp_path / f"out.{to}"
    run(Job(write(tmp_path / f"in.{of}", rows), out))
    scored = read(out)
    assert [{name: one[name] for name in rows[0]} for one in scored] == rows
    assert [one["outcome"]["score"] for one in scored] == [float(number % 3 > 0) for number in range(700)]
    assert set(scored[0]["outcome"]) == {
        *(
            "status",
            "score",
            "correct",
            "reason",
            "extracted",
            "flags",
            "handler",
            "version",
            "profile",
            "detail",
        )
    }
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.tmp"))


def test_a_row_stays_the_bytes_that_it_was(tmp_path: Path) -> None:
    line = b'{ "response":"right","big":123456789012345678901234567890,"x":1.50e+3,  "\\u00e4":"\\u2028" , "n":null }'
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"  \r\n\n" + line)
    run(Job(tmp_path / "in.jsonl", tmp_path / "out.jsonl"))
    for written in (tmp_path / "out.jsonl").read_bytes().splitlines():
        assert written.startswith(line[:-1].rstrip() + b', "outcome": {"status":"scored"')


BAD_LINES = [
    "not json",
    "[1, 2]",
    '"a string"',
    '{"response": "right", "ground_truth": "x"',
    '{"ground_truth": "x", "keep": 7}',
    '{"response": 5}',
    '{"response": "a", "extra_info": 3}',
    '{"response": "right", "outcome": {"score": 1}}',
    '{"response": "a"} {"response": "b"}',
    '{"response": "\\ud800"}',
    "[" * 5000,
]


@pytest.mark.parametrize("bad", BAD_LINES)
@pytest.mark.parametrize("to", ["jsonl", "parquet"])
def test_a_bad_line_is_an_error_in_its_place_and_the_run_goes_on(tmp_path: Path, bad: str, to: str) -> None:
    source = write(tmp_path / "in.jsonl", [row(1), "", bad, row(2)])
    done = run(Job(source, tmp_path / f"out.{to}"))
    first, error, last = (one["outcome"] for one in read(tmp_path / f"out.{to}"))
    assert first["score"] == last["score"] == 1.0
    assert (error["status"], error["reason"], error["score"]) == ("error", "malformed_item", None)
    assert error["detail"]["line"] == 3
    assert done.summary.error_lines == {"malformed_item": [3]}
    assert done.summary.total().errors == 1


def test_a_row_that_lacks_a_field_keeps_its_columns(tmp_path: Path) -> None:
    run(Job(write(tmp_path / "in.jsonl", [row(1), {"keep": 7}]), tmp_path / "out.jsonl"))
    assert read(tmp_path / "out.jsonl")[1]["keep"] == 7


def test_invalid_utf8_costs_its_row(tmp_path: Path) -> None:
    good = json.dumps(row(1)).encode()
    (tmp_path / "in.jsonl").write_bytes(good + b'\n{"response": "\xff"}\n' + good)
    run(Job(tmp_path / "in.jsonl", tmp_path / "out.jsonl"))
    assert [one["outcome"]["score"] for one in read(tmp_path / "out.jsonl")] == [1.0, None, 1.0]


def test_a_line_without_end_costs_no_memory_and_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "MAX_LINE", 1_000)
    source = write(tmp_path / "in.jsonl", [row(1), "x" * 900_000, row(2), row(4)])
    run(Job(source, tmp_path / "out.jsonl"))
    assert [one["outcome"]["score"] for one in read(tmp_path / "out.jsonl")] == [1.0, None, 1.0, 1.0]


@pytest.mark.parametrize("of", ["jsonl.gz", "jsonl.zst"])
def test_a_cut_off_input_gives_what_it_has_and_says_so(tmp_path: Path, of: str) -> None:
    source = write(tmp_path / f"in.{of}", [row(number, pad=str(number**9)) for number in range(3_000)])
    source.write_bytes(source.read_bytes()[:-40])
    done = run(Job(source, tmp_path / "out.jsonl"))
    scored = read(tmp_path / "out.jsonl")
    assert scored[-1]["outcome"]["status"] == "error" and done.summary.total().errors >= 1
    assert [one["response"] for one in scored[:-1]] == [
        row(number)["response"] for number in range(len(scored) - 1)
    ]


def test_frames_in_a_row_padding_and_a_wrong_suffix(tmp_path: Path) -> None:
    one = json.dumps(row(1)).encode() + b"\n"
    (tmp_path / "in.txt").write_bytes(gzip.compress(one) + gzip.compress(one) + b"\0" * 100)
    assert [record.number for record in records(tmp_path / "in.txt")] == [1, 2]
    (tmp_path / "in.txt").write_bytes(zstandard.compress(one) + zstandard.compress(one))
    assert [record.number for record in records(tmp_path / "in.txt")] == [1, 2]


def test_an_empty_dump_gives_an_empty_output(tmp_path: Path) -> None:
    for to in FORMATS:
        run(Job(write(tmp_path / "in.jsonl", []), tmp_path / f"out.{to}"))
        assert read(tmp_path / f"out.{to}") == []


# What Parquet holds


def test_parquet_keeps_the_types_of_its_own_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "response": ["right", "no"],
            "ground_truth": pa.array([[1, 2], [3]], pa.list_(pa.int16())),
            "prompt": [[{"role": "user", "content": "q"}]] * 2,
            "raw": pa.array([b"\x00\xff", None], pa.binary()),
            "at": pa.array([0, 1], pa.timestamp("us", "UTC")),
            "nan": [float("nan"), 1.0],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    run(Job(tmp_path / "in.parquet", tmp_path / "out.parquet"))
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema.names == [*table.schema.names, "outcome"]
    assert out.drop_columns(["outcome", "nan"]).equals(table.drop_columns(["nan"]))
    assert out["outcome"].to_pylist()[0]["score"] == 1.0


def test_json_columns_in_parquet(tmp_path: Path) -> None:
    rows = [
        row(1, mixed="text", nested={"a": [1]}, number=1, none=None, big=2**60, huge=2**70, fine=2**60),
        row(2, mixed=[1], nested=None, number=0.5, none=None, big=1, huge=1, fine=0.5),
        row(4, late=True),
    ]
    run(Job(write(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet"))
    columns = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert columns["mixed"] == ["text", "[1]", None]
    assert columns["nested"] == ['{"a": [1]}', None, None]
    assert columns["number"] == [1.0, 0.5, None]
    assert columns["none"] == [None, None, None]
    assert columns["big"] == [2**60, 1, None]
    assert columns["huge"] == [str(2**70), "1", None]
    assert columns["fine"] == [str(2**60), "0.5", None]  # as a float it would be another number
    assert columns["late"] == [None, None, True]


def test_a_parquet_output_can_be_scored_again_under_another_name(tmp_path: Path) -> None:
    rows = [row(1, extra_info={"index": 3}, reward_model={"ground_truth": "x"})]
    run(Job(write(tmp_path / "in.jsonl", rows), tmp_path / "a.parquet"))
    done = run(Job(tmp_path / "a.parquet", tmp_path / "b.jsonl", column="again"))
    assert done.rows.grouped_by == "data_source and extra_info.index"
    assert read(tmp_path / "b.jsonl")[0]["again"]["score"] == 1.0


# What is refused before anything is changed


def test_refusals(tmp_path: Path) -> None:
    good = write(tmp_path / "in.jsonl", [row(1)])
    taken = write(tmp_path / "taken.jsonl", [row(1, outcome=0.5)])
    table = write(tmp_path / "taken.parquet", [row(1, outcome=0.5)])
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.table({"outcome": pa.array([], pa.string())}), empty)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    out = tmp_path / "out.jsonl"
    for job, words in (
        (Job(tmp_path / "none.jsonl", out), "No such file"),
        (Job(tmp_path, out), "directory"),
        (Job(good, good), "the output is the input"),
        (Job(good, tmp_path / "out.csv"), "name the output"),
        (Job(good, tmp_path / "no" / "out.jsonl"), "no such directory"),
        (Job(taken, out), "--column"),
        (Job(table, out), "--column"),
        (Job(empty, tmp_path / "out.parquet"), "--column"),
        (Job(tmp_path / "broken.parquet", out), "not a readable Parquet"),
    ):
        with pytest.raises(Refused, match=words):
            run(job)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("broken.parquet", "empty.parquet", "in.jsonl", "taken.jsonl", "taken.parquet")
    ]


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "reward_service.parquet", raising=False)
    with pytest.raises(Refused, match=r"reward-service\[parquet\]"):
        run(Job(write(tmp_path / "in.jsonl", [row(1)]), tmp_path / "out.parquet"))


# Interruptions


def padded(count: int) -> list[dict[str, Any] | str]:
    """Rows that don't compress, so that there are several frames; one in a hundred is no row."""
    rows: list[dict[str, Any] | str] = []
    for number in range(count):
        rows.append(row(number, pad=f"{pow(7, 3000 + number, 10**700)}") if number % 100 else f"bad {number}")
    return rows


@pytest.mark.parametrize("to", FORMATS)
def test_a_run_that_stops_is_resumed_without_scoring_a_written_row_again(tmp_path: Path, to: str) -> None:
    source = write(tmp_path / "in.jsonl", padded(6_000))
    whole = run(Job(source, tmp_path / f"whole.{to}"))
    out = tmp_path / f"out.{to}"
    asked: list[str] = []
    for lasts in (2_500, 1_500, None):
        judge = Judge(lasts)
        again = Run(Job(source, out), lambda _: None)
        again.prepare()
        written = {row(number)["response"] for number in range(again.resumed) if number % 100}
        try:
            asyncio.run(again.score(judge))
        except Stopped:
            assert lasts is not None and not out.exists()
        again.close()
        assert not written & set(judge.asked)
        asked += judge.asked
    assert out.read_bytes() == (tmp_path / f"whole.{to}").read_bytes()
    assert again.resumed > 1_000
    assert again.summary.total().rows == again.written == 6_000
    assert [(t.rows, t.errors, t.score) for _, t in sorted(again.summary.tallies.items())] == [
        (t.rows, t.errors, t.score) for _, t in sorted(whole.summary.tallies.items())
    ]


@pytest.mark.parametrize("to", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_wherever_the_output_was_cut_it_becomes_the_same(
    tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "FRAME_BYTES", 2_000)
    source = write(tmp_path / "in.jsonl", padded(60))
    out = tmp_path / f"out.{to}"
    run(Job(source, out))
    whole = out.read_bytes()
    partial = tmp_path / f"out.{to}.partial"
    for cut in range(0, len(whole), 97):
        out.unlink()
        partial.write_bytes(whole[:cut])
        run(Job(source, out))
        assert out.read_bytes() == whole, cut


def test_a_complete_output_is_left_alone_until_the_input_grows(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [row(1), row(2)]), tmp_path / "out.jsonl"
    run(Job(source, out))
    judge = Judge()
    assert run(Job(source, out), judge).resumed == 2
    assert judge.asked == []
    write(source, [row(1), row(2), row(4)])
    assert run(Job(source, out), judge).written == 3
    assert judge.asked == [row(4)["response"]]
    assert len(read(out)) == 3


def test_a_limit_is_a_prefix_that_a_later_run_goes_on_from(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [row(number) for number in range(9)]), tmp_path / "out.jsonl"
    assert run(Job(source, out, limit=4)).written == 4
    assert len(read(out)) == 4
    assert run(Job(source, out)).resumed == 4
    assert len(read(out)) == 9
    with pytest.raises(Refused, match="more rows than the input"):
        run(Job(source, out, limit=4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [row(3), *rows[1:]], r"row 1 \(line 1"),
        (lambda rows: [*rows[:2], {**rows[2], "extra": 1}, *rows[3:]], r"row 3 \(line 3"),
        (lambda rows: [rows[0], "", *rows[1:3], "no longer the same"], r"row 4 \(line 5"),
        (lambda rows: rows[:3], "more rows than the input"),
    ],
)
def test_another_input_is_refused_and_nothing_is_changed(tmp_path: Path, change: Any, words: str) -> None:
    rows: list[Any] = [row(number) for number in range(6)]
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    run(Job(source, out))
    before = out.read_bytes()
    write(source, change(rows))
    with pytest.raises(Refused, match=words):
        run(Job(source, out))
    assert out.read_bytes() == before
    assert run(Job(source, out, overwrite=True)).resumed == 0
    assert out.read_bytes() != before


def test_another_column_or_profile_is_refused(tmp_path: Path) -> None:
    from reward_service.types import Profile

    source, out = write(tmp_path / "in.jsonl", [row(1)]), tmp_path / "out.jsonl"
    run(Job(source, out))
    for job in (Job(source, out, column="verdict"), Job(source, out, profile=Profile.GURU)):
        with pytest.raises(Refused):
            run(job)


def test_a_forged_outcome_is_not_taken_for_a_written_one(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row(1)])
    line = (tmp_path / "in.jsonl").read_text().strip()
    (tmp_path / "out.jsonl.partial").write_text(line[:-1] + ', "outcome": {"score": 1.0}}\n')
    with pytest.raises(Refused, match="differs"):
        run(Job(source, tmp_path / "out.jsonl"))


class Odd(Judge):
    """Finds answers that no encoding holds."""

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        await super().score(items)
        return [result(accept("a\ud800", note="\udfff"), 0, None) for _ in items]


@pytest.mark.parametrize("to", FORMATS)
def test_a_lone_surrogate_is_escaped_or_replaced(tmp_path: Path, to: str) -> None:
    run(Job(write(tmp_path / "in.jsonl", [row(1)]), tmp_path / f"out.{to}"), Odd())
    outcome = read(tmp_path / f"out.{to}")[0]["outcome"]
    assert outcome["extracted"] == ("a?" if to == "parquet" else "a\ud800")
    assert outcome["detail"] == {"note": "\udfff"}


def test_a_run_that_wrote_lone_surrogates_can_be_resumed(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [row(1), row(2), row(4)]), tmp_path / "out.jsonl"
    with pytest.raises(Stopped):
        run(Job(source, out, batch=1), Odd(2))
    assert run(Job(source, out), Odd()).resumed == 2
    assert [one["outcome"]["extracted"] for one in read(out)] == ["a\ud800"] * 3


def test_two_runs_can_not_write_one_output(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [row(1)]), tmp_path / "out.jsonl"
    first = Run(Job(source, out), lambda _: None)
    with pytest.raises(Refused, match="another run"):
        Run(Job(source, out), lambda _: None)
    first.close()
    run(Job(source, out))


def test_a_complete_parquet_output_is_kept(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", [row(1)]), tmp_path / "out.parquet"
    run(Job(source, out))
    with pytest.raises(Refused, match="--overwrite"):
        run(Job(source, out))
    assert run(Job(source, out, overwrite=True)).written == 1


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    for of in FORMATS:
        seen: list[Progress] = []
        source = write(tmp_path / f"in.{of}", [row(number) for number in range(3_000)])
        run(Job(source, tmp_path / "out.jsonl", overwrite=True), watch=seen.append)
        assert seen[-1].rows == 3_000 and seen[-1].done == seen[-1].total
        assert [one.rows for one in seen] == sorted(one.rows for one in seen)


class Slow(Judge):
    """Counts how many rows are with it at once."""

    rows = most = 0

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        self.rows += len(items)
        self.most = max(self.most, self.rows)
        await asyncio.sleep(0.001)
        self.rows -= len(items)
        return await super().score(items)


@pytest.mark.parametrize(("bound", "value"), [("IN_FLIGHT_ROWS", 60), ("IN_FLIGHT_BYTES", 6_000)])
def test_what_is_under_way_is_bounded(
    tmp_path: Path, bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"reward_service.bulk.{bound}", value)
    judge = Slow()
    source = write(tmp_path / "in.jsonl", [row(number, pad="x" * 30) for number in range(1_000)])
    run(Job(source, tmp_path / "out.jsonl", batch=10), judge)
    assert 20 <= judge.most <= 70
    assert len(judge.asked) == 1_000


def test_frames_are_as_large_as_they_should_be(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", padded(6_000))
    for kind, to in (("gzip", "jsonl.gz"), ("zstd", "jsonl.zst")):
        run(Job(source, tmp_path / f"out.{to}"))
        sizes = [0]
        with (tmp_path / f"out.{to}").open("rb") as file:
            for piece, end in dumps.frames(file, kind):
                sizes[-1] += len(piece)
                if end is not None:
                    sizes.append(0)
        *full, last, rest = sizes
        assert len(full) >= 3 and rest == 0 and last > 0
        assert all(dumps.FRAME_BYTES <= size < dumps.FRAME_BYTES + 5_000 for size in full)


# The splice

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=6), values), st.text(max_size=6), values, st.booleans())
def test_the_splice_is_the_row_with_one_more_column(
    columns: dict[str, Any], name: str, outcome: Any, ascii_only: bool
) -> None:
    columns.pop(name, None)
    line = json.dumps(columns, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    column, data = json.dumps(name).encode(), json.dumps(outcome).encode()
    written = with_outcome(line, column, data)
    assert json.loads(written) == {**columns, name: outcome}
    assert outcome_of(written, line, column) == data
    assert outcome_of(written, line + b" ", b'"another"') is None


def test_output_forgets_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"
    path.write_bytes(b'{"a": 1}\n{"a"')
    output = Output(path, "plain", fresh=False)
    assert list(output.written()) == [b'{"a": 1}\n']
    output.begin()
    output.write(b'{"a": 2}\n')
    output.finish(tmp_path / "a.jsonl")
    output.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_records_name_their_lines(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\n{}\n \n\r\n1\n")
    assert records(tmp_path / "in") == [Record(2, b"{}"), Record(5, b"1")]
