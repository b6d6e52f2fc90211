"""`python rewards_peer.py PEER MARK`: judges rows with one peer, in that peer's own environment; see `tests.load.peers_bench`.

A request is a line of JSON on stdin (rows, how many at once, seconds); answers are lines on what stdout was at the start: one for
each row as soon as it is judged, one at the end, each behind MARK, because programs that a peer runs in its own process can write
there too. The first line says the version. Each peer is called as its own documentation, or the trainer that ships it, calls it.
Only the standard library and the peer itself are imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Judge = Callable[[Row], Awaitable[float]]
FENCE = re.compile(r"```(?:python)?\n(.*?)```", re.DOTALL)
SECONDS = 5
"""Time limit of a program, or of a pair of formulas."""


def program_of(response: str) -> str:
    """The last fenced program; all of the text without one."""
    found = FENCE.findall(response)
    return found[-1] if found else response


def as_script(row: Row) -> str:
    """The program with the tests behind it, as HumanEval's own evaluation has it: exit code 0 is a pass."""
    tests, source = row["tests"], program_of(row["response"])
    if "functional" in tests:
        return f"{tests.get('prefix', '')}\n{source}\n\n{tests['functional']}\n"
    name = tests["fn_name"]
    call = f"Solution().{name}" if re.search(r"^class Solution", source, re.MULTILINE) else name
    pairs = zip(tests["inputs"], tests["outputs"], strict=True)
    return "\n".join([source, "", *(f"assert {call}(*{given!r}) == {wanted!r}" for given, wanted in pairs)])


def lines_of(text: str) -> list[str]:
    """Output as the usual harness compares it."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def run_fresh(command: list[str], row: Row, feed: Callable[[str], str], seconds: float = SECONDS) -> float:
    """A fresh process (or container) per test on stdin, one for a set of asserts. feed: script -> the last argument."""
    tests = row["tests"]
    stdio = "functional" not in tests and not tests.get("fn_name")
    script = program_of(row["response"]) if stdio else as_script(row)
    pairs = zip(tests["inputs"], tests["outputs"], strict=True) if stdio else [("", None)]
    for given, wanted in pairs:
        try:
            done = subprocess.run(
                [*command, feed(script)],
                input=given.encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 0.0
        output = done.stdout.decode(errors="replace")
        if done.returncode or (wanted is not None and lines_of(output) != lines_of(wanted)):
            return 0.0
    return 1.0


def fresh_python() -> tuple[Judge, str]:
    """`python3 file` for each test, and nothing around it."""
    folder = Path(tempfile.mkdtemp())

    async def judge(row: Row) -> float:
        path = folder / f"{id(row)}.py"

        def feed(script: str) -> str:
            path.write_text(script)
            return str(path)

        return await asyncio.to_thread(run_fresh, [sys.executable], row, feed)

    return judge, sys.version.split()[0]


def verify_pair(gold: str, response: str) -> float:
    """math-verify as its README uses it; its own timeouts need the main thread of a process."""
    from math_verify import parse, verify

    return float(verify(parse(gold if "$" in gold else f"${gold}$"), parse(response)))


def math_verify() -> tuple[Judge, str]:
    """math-verify in a ProcessPoolExecutor, with its own timeouts."""
    pool = ProcessPoolExecutor(os.cpu_count())

    async def judge(row: Row) -> float:
        future: Future[float] = pool.submit(verify_pair, row["gold"], row["response"])
        return await asyncio.wrap_future(future)

    return judge, version("math-verify")


def unboxed(response: str) -> str:
    """The same answers in the dress that math_dapo's prompt asks for: a line "Answer: …" for each box."""
    before, box, rest = response.partition("\\boxed{")
    if not box:
        return response
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += {"{": 1, "}": -1}.get(rest[end], 0)
        end += 1
    return f"{before}\nAnswer: {rest[: end - (not depth)]}\n{unboxed(rest[end:])}"


def verl(source: str) -> tuple[Judge, str]:
    """verl's default scoring, as its reward loop calls it: a synchronous function in the default thread pool."""
    from verl.utils.reward_score import default_compute_score, math_verify

    def score(row: Row) -> float:
        if source == "code":
            return float(default_compute_score("taco", row["response"], json.dumps(livecode(row))) >= 1.0)
        if source == "math_verify":
            return float(math_verify.compute_score(row["response"], row["gold"].replace("$", "")))
        response = unboxed(row["response"]) if source == "math_dapo" else row["response"]
        found = default_compute_score(source, response, row["gold"].replace("$", ""))
        return max(0.0, float(found["score"] if isinstance(found, dict) else found))

    async def judge(row: Row) -> float:
        return await asyncio.to_thread(score, row)

    return judge, version("verl")


def livecode(row: Row) -> dict[str, Any]:
    """Tests in APPS' and LiveCodeBench's format."""
    tests = row["tests"]
    if not tests.get("fn_name"):
        return {"inputs": tests["inputs"], "outputs": tests["outputs"], "fn_name": None}
    return {
        "fn_name": tests["fn_name"],
        "inputs": ["\n".join(map(json.dumps, given)) for given in tests["inputs"]],
        "outputs": [json.dumps(wanted) for wanted in tests["outputs"]],
    }


def nemo_gym(kind: str) -> tuple[Judge, str]:
    """A resources server's `verify`, called without the HTTP around it (that favours it); no judge model."""
    from unittest.mock import MagicMock

    import nemo_gym
    from nemo_gym.openai_utils import NeMoGymResponse
    from nemo_gym.server_utils import ServerClient

    sys.path.insert(
        0, str(Path(nemo_gym.__file__).parents[1] / "resources_servers" / kind)
    )  # its servers are scripts
    import app

    settings = {"host": "127.0.0.1", "port": 1, "entrypoint": "", "name": kind}
    client = MagicMock(spec=ServerClient)
    if kind == "code_gen":
        import ray

        ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
        server = app.CompCodingResourcesServer(
            config=app.CompCodingResourcesServerConfig(
                **settings, num_processes=os.cpu_count() or 1, unit_test_timeout_secs=SECONDS, debug=False
            ),
            server_client=client,
        )
    else:
        server = app.LibraryJudgeMathResourcesServer(
            config=app.LibraryJudgeMathResourcesServerConfig(
                **settings,
                should_use_judge=False,
                judge_model_server={"type": "responses_api_models", "name": "none"},
                judge_responses_create_params={"input": []},
            ),
            server_client=client,
        )

    async def judge(row: Row) -> float:
        # Thoughts are an output of their own there; in the text they cost the reward.
        text = re.sub(r"<think>.*?</think>", "", row["response"], flags=re.DOTALL)
        content = [{"type": "output_text", "annotations": [], "text": text}]
        message = {
            "id": "1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
        response = NeMoGymResponse(
            id="1",
            created_at=0.0,
            model="none",
            object="response",
            output=[message],
            parallel_tool_calls=False,
            tool_choice="auto",
            tools=[],
        )
        common: dict[str, Any] = {"responses_create_params": {"input": []}, "response": response}
        if kind == "code_gen":
            body = app.CompCodingVerifyRequest(**common, verifier_metadata={"unit_tests": livecode(row)})
        else:
            body = app.LibraryJudgeMathVerifyRequest(**common, question="", expected_answer=row["gold"])
        return float((await server.verify(body)).reward)

    return judge, version("nemo-gym")


PEERS: dict[str, Callable[[], tuple[Judge, str]]] = {
    "math_verify": math_verify,
    "verl_math_dapo": lambda: verl("math_dapo"),
    "verl_prime_math": lambda: verl("numina_olympiads"),
    "verl_math_verify": lambda: verl("math_verify"),
    "verl_prime_code": lambda: verl("code"),
    "nemo_gym_math": lambda: nemo_gym("math_with_judge"),
    "nemo_gym_code": lambda: nemo_gym("code_gen"),
    "fresh_python": fresh_python,
}


async def answer(judge: Judge, asked: dict[str, Any], say: Callable[[Any], None]) -> None:
    """Judge the rows of one request, until its time is over."""
    gate, until = asyncio.Semaphore(asked["at_once"]), time.monotonic() + asked["seconds"]

    async def one(number: int, row: Row) -> None:
        async with gate:
            if time.monotonic() > until:
                return
            try:
                score: float | None = await judge(row)
            except Exception as error:
                print(f"row {number}: {error!r}"[:300], file=sys.stderr)
                score = None
            say([number, score])

    await asyncio.gather(*(one(number, row) for number, row in enumerate(asked["rows"])))
    say("end")


async def main(peer: str, mark: str) -> None:
    """Answer until stdin ends."""
    own = os.dup(1)
    os.dup2(2, 1)  # peers print

    def say(what: Any) -> None:
        os.write(own, f"\n{mark}{json.dumps(what)}\n".encode())

    judge, found = PEERS[peer]()
    say(found)
    with os.fdopen(os.dup(0)) as requests:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        while line := await asyncio.to_thread(requests.readline):
            with contextlib.redirect_stdout(sys.stderr):
                await answer(judge, json.loads(line), say)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
