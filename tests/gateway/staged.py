"""A service for the dashboard's staged scenarios: real traffic through real handlers, some of which have a planted bug.

The registry is loaded by the pool's own children, as a plug-in's would be.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import httpx2

from reward_service.handlers import _judging
from reward_service.questions import Ask
from reward_service.registry import Registry, Source, handler, load
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, reject

TEXTUAL = "stage__fractions"
HOLED = "stage__capitals"
ASKING = "stage__essays"
_BOX = re.compile(r"\\boxed\{([^{}]{0,40})\}")


def registry() -> Registry:
    """The built-in handlers, and three for the stage."""
    into = load()
    if TEXTUAL not in into.handlers:
        _plant(into)
    return into


def _plant(into: Registry) -> None:
    @handler(TEXTUAL, version="1", domain=Domain.MATH, sources=[Source(TEXTUAL, "number", Example("\\boxed{1}", "1"))], into=into)  # fmt: skip
    def textual(item: Item) -> Outcome:
        """The box has the very text of the ground truth. The bug: 0.5 is not 1/2."""
        found = _BOX.findall(item.response)
        if not found:
            return reject(Reason.NO_ANSWER)
        return accept(found[-1]) if found[-1] == item.ground_truth else reject(Reason.NOT_EQUAL, found[-1])

    @handler(HOLED, version="1", domain=Domain.TABLE, sources=[Source(HOLED, "text", Example("Paris", "Paris"))], into=into)  # fmt: skip
    def holed(item: Item) -> Outcome:
        """The response has the ground truth in it. The bug: a list of all capitals does, too."""
        flags = ("multiple_answers",) if item.response.count(",") > 3 else ()
        answer = item.response[:80]
        if str(item.ground_truth) in item.response:
            return accept(answer, flags=flags)
        return reject(Reason.NOT_EQUAL, answer, flags=flags)

    def judge(item: Item, notes: Any, results: Any) -> Outcome:
        """What the opinion is worth."""
        return _judging.decide(results[0], notes)

    @handler(ASKING, version="1", domain=Domain.SCIENCE, sources=[Source(ASKING, "text", Example("x", "y"))], judge=judge, into=into)  # fmt: skip
    def asking(item: Item) -> Outcome | Ask:
        """A judge model decides."""
        return _judging.ask("Why does it stop?", str(item.ground_truth), item.response, item.response)


class Judge:
    """A judge model on a port of loopback that says `same` to what shares a long word with the reference."""

    def __init__(self) -> None:
        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # no connection outlives an answer, or the judge

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][1][
                    "content"
                ]
                data = json.loads(asked)
                name = next(name for name in data if name.startswith("candidate_"))
                words = [set(re.findall(r"\w{6,}", str(data[one]))) for one in ("reference", name)]
                same = bool(words[0] & words[1])
                text = json.dumps(
                    {"id": name.removeprefix("candidate_"), "verdict": "same" if same else "different"}
                )
                message = {"role": "assistant", "content": text}
                body = json.dumps(
                    {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
                ).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silence."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # with the usual 5, questions asked at once wait a second to connect

        self.server = Server(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, name="judge")
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def die(self) -> None:
        """Its port is closed from now on."""
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@contextmanager
def judge() -> Iterator[Judge]:
    """A judge that is gone at the end."""
    found = Judge()
    try:
        yield found
    finally:
        found.die()


class Policy:
    """A model in training: rows for one data source after another, with answers that are right as often as `skill` says."""

    def __init__(self, http: httpx2.Client, run: str, seed: int = 1) -> None:
        self.http = http
        self.run = run
        self.random = Random(seed)
        self.count = 0

    def send(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score a batch of this run."""
        reply = self.http.post("/v1/score/batch", json={"items": rows}, headers={"X-Run-Id": self.run})
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["results"]
        return found

    def _work(self) -> str:
        self.count += 1
        return f"<think>{self.count} {'so ' * self.random.randrange(5, 40)}</think>"

    def ordinary(self, size: int, skill: float = 0.6) -> list[dict[str, Any]]:
        """Rows of data sources with nothing wrong."""
        rows = []
        for place in range(size):
            right = self.random.random() < skill
            work = self._work()
            number = self.random.randrange(10, 9999)
            names = ["owl", "crow"] if right else ["crow", "owl"]
            rows.append(
                (
                    {"data_source": "logic__ordering_puzzle", "response": f"{work} <answer>{names}</answer>", "ground_truth": ["owl", "crow"]},
                    {"data_source": "math__aime", "response": f"{work} \\boxed{{{number if right else number + 1}}}", "ground_truth": str(number)},
                    {"data_source": "stem__supergpqa", "response": f"{work} The answer is ({'C' if right else 'B'}).", "ground_truth": "C"},
                    {"data_source": "table__hitab", "response": f"{work} \\boxed{{{number if right else number + 7}}}", "ground_truth": f"{number}.0"},
                )[place % 4]
            )  # fmt: skip
        return rows

    def fractions(self, size: int, skill: float = 0.6) -> list[dict[str, Any]]:
        """Rows whose right answers come in many dresses; the verifier of `TEXTUAL` knows one."""
        rows = []
        for _ in range(size):
            over = self.random.choice((2, 4, 5, 8))
            half = 2 * self.random.randrange(1, 40) + 1
            gold = f"{half}/{over}"
            answer = self.random.choice(
                (gold, f"\\frac{{{half}}}{{{over}}}".replace("{", "").replace("}", " "), str(half / over))
            )
            if self.random.random() > skill:
                answer = f"{half + 2}/{over}"
            rows.append({"data_source": TEXTUAL, "response": f"{self._work()} \\boxed{{{answer}}}", "ground_truth": gold})  # fmt: skip
        return rows

    def capitals(self, size: int, skill: float = 0.4, *, exploits: bool = False) -> list[dict[str, Any]]:
        """Rows of `HOLED`; a policy that exploits it names every capital that it knows."""
        known = ["Paris", "Rome", "Oslo", "Lima", "Cairo", "Quito", "Riga", "Bern"]
        rows = []
        for _ in range(size):
            gold = self.random.choice(known)
            answer = gold if self.random.random() < skill else "Atlantis"
            rows.append({"data_source": HOLED, "response": f"{self._work()} {', '.join(known) if exploits else answer}", "ground_truth": gold})  # fmt: skip
        return rows

    def essays(self, size: int, skill: float = 0.5) -> list[dict[str, Any]]:
        """Rows that a judge model decides."""
        return [
            {"data_source": ASKING, "response": f"{'friction' if self.random.random() < skill else 'magnetism'} does it {self.count + place}", "ground_truth": "because of friction"}
            for place in range(size)
        ]  # fmt: skip
