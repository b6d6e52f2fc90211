"""A dump as one batch of a service that forgets, cuts, refuses and leaves out: every row gets its own result, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import zstandard

from reward_service.bulk import Job, Run, Stopped
from reward_service.commands.batch import Via
from reward_service.remote import Service
from reward_service.remote_batch import NoBatch, note_path, read_note, score_via
from reward_service.types import Reason, accept, cannot_judge
from reward_service.wire import encode, result

ROWS = 1_000


class Fake:
    """A service. trouble: what becomes of the next reads of results; refuse: the answer to creating a batch."""

    def __init__(self, *trouble: str, refuse: int = 0, batches: str | None = "durable") -> None:
        self.trouble = list(trouble)
        self.refuse = refuse
        self.kept = batches
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.bodies: dict[str, bytes] = {}
        self.cursors: list[int] = []
        self.streamed: list[str] = []
        self.said: list[str] = []
        self.left_out: set[int] = set()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/v1/info":
            return httpx2.Response(200, json={"batches": self.kept})
        body = b"".join([piece async for piece in request.stream]) if request.method == "POST" else b""
        if body:
            body = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(body)
        if path == "/v1/score/batch":
            items = json.loads(body)["items"]
            self.streamed += [item["response"] for item in items]
            return httpx2.Response(200, json={"results": [judged(item, 0) for item in items]})
        if request.method == "POST":
            if self.refuse:
                return httpx2.Response(self.refuse, json={"title": "no", "detail": "line 3"})
            key = request.headers["idempotency-key"]
            assert self.bodies.setdefault(key, body) == body, "another body under the same key"
            self.batches.setdefault(key, [json.loads(line) for line in body.split(b"\n")[:-1]])
            return httpx2.Response(200, json={"id": key})
        key = path.split("/")[3]
        trouble = self.trouble.pop(0) if path.endswith("/results") and self.trouble else ""
        if trouble == "forget":
            self.batches.clear()
        if key not in self.batches:
            return httpx2.Response(404, json={"title": "Not found", "detail": "no such batch"})
        items = self.batches[key]
        if not path.endswith("/results"):
            counts = {"total": len(items), "completed": len(items), "failed": 0}
            return httpx2.Response(200, json={"status": "completed", "request_counts": counts})
        if trouble == "silent":
            raise httpx2.ReadTimeout("nothing new")
        if trouble == "gone":
            raise httpx2.ConnectError("refused")
        start = int(request.url.params.get("cursor", "i0")[1:])
        self.cursors.append(start)
        lines = [
            encode({**judged(item, place), "cursor": f"i{place + 1}"}) + b"\n"
            for place, item in enumerate(items)
            if place >= start and place not in self.left_out
        ]
        data = b"".join(lines)
        if trouble == "cut":
            data = data[: len(data) // 3]
        if trouble == "junk":
            data = b"<html>\n"
        return httpx2.Response(200, content=data)


def judged(item: dict[str, Any], place: int) -> dict[str, Any]:
    text = item["response"]
    outcome = cannot_judge(Reason.SANDBOX_UNAVAILABLE, "no") if text.startswith("once") else accept(text)
    return json.loads(encode(result(outcome, place, None)))


def rows(count: int, word: str = "r") -> str:
    lines = [json.dumps({"data_source": "d", "response": f"{word}{n} \u2028\x0c\x85"}) for n in range(count)]
    lines[min(7, count - 1)] = "{broken"
    return "\n".join(lines) + "\n"


async def score(fake: Fake, job: Job, via: Via = Via.BATCH) -> None:
    async def pause(_: float) -> None:
        pass

    run = Run(job, lambda _: None)
    try:
        run.prepare()
        async with Service(
            "http://s", say=fake.said.append, transport=httpx2.MockTransport(fake), pause=pause
        ) as service:
            await score_via(service, run, via)
    finally:
        run.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    dump = tmp_path / "in.jsonl"
    dump.write_text(rows(ROWS))
    return Job(dump, tmp_path / "out.jsonl")


def check(job: Job) -> None:
    """Every row got the result of its own response."""
    lines = job.out.read_bytes().split(b"\n")[:-1]
    assert len(lines) == len(job.dump.read_bytes().split(b"\n")[:-1])
    for number, line in enumerate(lines):
        row = json.loads(line)
        if number == 7:
            assert row["outcome"]["reason"] == "malformed_item"
        else:
            assert row["outcome"]["extracted"] == row["response"]
    assert not note_path(job).exists()


@pytest.mark.parametrize(
    ("trouble", "batches"),
    [
        ([], 1),
        (["cut", "cut", "cut"], 1),
        (["silent", "gone", "cut", "gone"], 1),
        (["forget"], 2),
        (["cut", "forget", "cut", "forget"], 3),
    ],
    ids=str,
)
async def test_trouble_costs_no_row(job: Job, trouble: list[str], batches: int) -> None:
    fake = Fake(*trouble)
    await score(fake, job)
    check(job)
    assert len(fake.bodies) == batches
    assert fake.cursors == sorted(fake.cursors) or batches > 1
    assert not fake.streamed


async def test_after_an_end_nothing_is_sent_again(job: Job) -> None:
    fake = Fake("cut", "junk")
    with pytest.raises(Stopped, match="no result"):
        await score(fake, job)
    note = read_note(note_path(job))
    assert note is not None and note.batch in fake.batches
    await score(fake, job, Via.AUTO)  # the note decides
    check(job)
    assert len(fake.bodies) == 1
    assert f"going on with {note.batch}" in fake.said


async def test_an_end_before_the_batch_is_known(job: Job) -> None:
    """The service made it, and its answer never came: the same key finds it."""
    fake = Fake("junk")
    with pytest.raises(Stopped):
        await score(fake, job)
    note = json.loads(note_path(job).read_text())
    note_path(job).write_text(json.dumps({**note, "batch": "", "cursor": "", "place": 0}))
    await score(fake, job)
    check(job)
    assert len(fake.bodies) == 1


@pytest.mark.parametrize("change", ["dump", "note"])
async def test_what_does_not_belong_together_is_not_mixed(job: Job, change: str) -> None:
    """Another dump, or a note that is gone: a batch of what is missing, and only of that."""
    fake = Fake("cut", "junk")
    with pytest.raises(Stopped):
        await score(fake, job)
    held = len((job.out.parent / "out.jsonl.partial").read_bytes().split(b"\n")) - 1
    assert held > 0
    if change == "dump":
        job.dump.write_text(rows(ROWS) + json.dumps({"data_source": "d", "response": "one more"}) + "\n")
    else:
        note_path(job).unlink()
    await score(fake, job)
    check(job)
    (_, items) = fake.batches.values()
    assert len(items) == ROWS + (change == "dump") - held


async def test_what_was_not_judged_is_sent_again_alone(job: Job) -> None:
    fake = Fake()
    fake.left_out = {3, ROWS - 2}
    await score(fake, job)
    check(job)
    assert sorted(text.split()[0] for text in fake.streamed) == ["r3", f"r{ROWS - 1}"]


async def test_overwrite_is_another_batch(job: Job) -> None:
    """The old one's results may be those of older handlers."""
    fake = Fake()
    await score(fake, job)
    await score(fake, Job(job.dump, job.out, overwrite=True))
    check(job)
    assert len(fake.bodies) == 2


@pytest.mark.parametrize("status", [404, 413, 422, 507])
async def test_a_service_that_makes_no_batch_of_it(job: Job, status: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("reward_service.remote_batch.LARGE_BYTES", 1)
    fake = Fake(refuse=status)
    with pytest.raises(NoBatch):
        await score(fake, job)
    await score(fake, job, Via.AUTO)
    check(job)
    assert len(fake.streamed) == ROWS - 1
    assert any(text.startswith("via requests: the service made no batch") for text in fake.said)


@pytest.mark.parametrize(
    ("large", "kept", "why"),
    [
        (True, "durable", "via a batch"),
        (True, "in_process", "via requests: the service keeps no"),
        (True, None, "via requests: the service keeps no"),
        (False, "durable", "via requests: less than 32 MiB"),
    ],
)
async def test_auto_says_what_it_takes_and_why(job: Job, large: bool, kept: str | None, why: str, monkeypatch: Any) -> None:  # fmt: skip
    if large:
        monkeypatch.setattr("reward_service.remote_batch.LARGE_BYTES", 1)
    fake = Fake(batches=kept)
    await score(fake, job, Via.AUTO)
    check(job)
    assert fake.said[0].startswith(why)
