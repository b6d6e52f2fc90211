"""A judge model behind any OpenAI-compatible endpoint (vLLM, SGLang, TGI, hosted).

What is decided here: what a failing endpoint costs. Endpoints take turns; one that fails several times in a row is left alone
for a while (a circuit breaker), then tried with one question. A question is tried again at most `retries` times, on other
endpoints first, and all retries together may not be more than a share of all requests, so that a judge that struggles is
not finished off by us. When nobody answers, that is `JudgeUnavailable`, never a verdict. The address comes from the settings and
from nowhere else; redirects are not followed, and proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import httpx2

from reward_service.adapters.judge_formats import FORMATS, Format
from reward_service.errors import JudgeUnavailable
from reward_service.questions import Opinion, Question, Verdict

MAX_REPLY = 1 << 20
FAILURES_TO_OPEN = 5
RETRY_SHARE = 0.2
CACHED_OPINIONS = 50_000


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """urls: base addresses (`http://host:8000/v1`, or without the `/v1`). model: its name there. format: a name in
    `judge_formats.FORMATS`. both_orders: ask twice, the two answers exchanged the second time; both must agree."""

    urls: tuple[str, ...]
    model: str
    format: str = "instruct"
    api_key: str = field(default="", repr=False)
    concurrency: int = 64
    timeout_seconds: float = 60.0
    retries: int = 3
    both_orders: bool = False
    rest_seconds: float = 10.0


@dataclass(slots=True)
class Endpoint:
    """One address and how it has been doing. rests_until: monotonic time before which it isn't asked."""

    url: str
    failures: int = 0
    rests_until: float = 0.0


@dataclass(slots=True)
class JudgeStats:
    """Counters since the start, and the milliseconds that requests took in all."""

    requests: int = 0
    retries: int = 0
    failures: int = 0
    abstentions: int = 0
    cache_hits: int = 0
    milliseconds: float = 0.0


class OpenAIJudge:
    """`engine.judging.JudgeModel` over HTTP. Use as an asynchronous context manager. ValueError for an unknown format."""

    def __init__(self, options: JudgeOptions, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        if options.format not in FORMATS:
            raise ValueError(f"no judge format {options.format!r}; there are {', '.join(FORMATS)}")
        self.options = options
        self.stats = JudgeStats()
        self.endpoints = [Endpoint(base_url(url)) for url in options.urls]
        self._format: Format = FORMATS[options.format]
        self._places = asyncio.Semaphore(options.concurrency)
        self._turn = 0
        self._known: OrderedDict[tuple[str, str, str], Opinion] = OrderedDict()
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> OpenAIJudge:
        key = self.options.api_key
        limits = httpx2.Limits(
            max_connections=self.options.concurrency, max_keepalive_connections=self.options.concurrency
        )
        self._http = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(self.options.timeout_seconds, connect=5.0),
            limits=limits,
            follow_redirects=False,
            trust_env=False,
            transport=self._transport,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    @property
    def available(self) -> int:
        """Endpoints that are asked now."""
        now = time.monotonic()
        return sum(endpoint.rests_until <= now for endpoint in self.endpoints)

    async def ask(self, question: Question, *, seconds: float) -> Opinion:
        """See `JudgeModel`: verdicts are remembered by model and prompt, and a canary's are asked again."""
        name = (question.question, question.ground_truth, question.answer)
        known = self._known.get(name)
        if known is not None and not question.fresh:
            self._known.move_to_end(name)
            self.stats.cache_hits += 1
            return known
        try:
            async with asyncio.timeout(max(0.0, seconds)), self._places:
                opinion = await self._opinion(question)
        except TimeoutError:
            raise JudgeUnavailable("the judge model did not answer within the item's deadline") from None
        if opinion.verdict is Verdict.ABSTAIN:
            self.stats.abstentions += 1
            return opinion
        self._known[name] = replace(opinion, cached=True)
        if len(self._known) > CACHED_OPINIONS:
            self._known.popitem(last=False)
        return opinion

    async def _opinion(self, question: Question) -> Opinion:
        first = await self._verdict(question)
        if not self.options.both_orders or not self._format.swap or first is Verdict.ABSTAIN:
            return Opinion(first, self.options.model)
        swapped = Question(question.question, question.answer, question.ground_truth)
        second = await self._verdict(swapped)
        return Opinion(first if first is second else Verdict.ABSTAIN, self.options.model, passes=2)

    async def _verdict(self, question: Question) -> Verdict:
        code = secrets.token_hex(8)
        return self._format.parse(await self._complete(self._request(question, code)), code)

    def _request(self, question: Question, code: str) -> tuple[str, dict[str, Any]]:
        """Path and body."""
        messages = self._format.build(question, code)
        body: dict[str, Any] = {
            "model": self.options.model,
            "temperature": 0.0,
            "max_tokens": self._format.max_tokens,
            "n": 1,
        }
        if self._format.raw:
            return "/completions", {**body, "prompt": messages[0]["content"]}
        if self._format.schema is not None:
            body["response_format"] = self._format.schema(code)
        return "/chat/completions", {**body, "messages": messages}

    async def _complete(self, request: tuple[str, dict[str, Any]]) -> str:
        """The model's text. JudgeUnavailable when the retries are used up."""
        path, body = request
        trouble = "every endpoint failed a moment ago, and rests"
        for attempt in range(self.options.retries + 1):
            endpoint = self._next()
            if endpoint is None:
                break
            if attempt:
                if self.stats.retries > 10 + RETRY_SHARE * self.stats.requests:
                    break
                self.stats.retries += 1
                await asyncio.sleep(min(2.0, 0.1 * 2**attempt) * (0.5 + secrets.randbelow(1000) / 1000))
            try:
                text = await self._post(endpoint, path, body)
            except (httpx2.HTTPError, ValueError) as error:
                trouble = f"{type(error).__name__}: {error}"[:200]
                self._failed(endpoint)
                if isinstance(error, Refused):
                    break
                continue
            endpoint.failures = 0
            return text
        raise JudgeUnavailable(f"no judge model answered: {trouble}")

    async def _post(self, endpoint: Endpoint, path: str, body: dict[str, Any]) -> str:
        if self._http is None:
            raise JudgeUnavailable("the judge model's client is not running")
        self.stats.requests += 1
        started = time.monotonic()
        async with self._http.stream("POST", endpoint.url + path, json=body) as reply:
            data = bytearray()
            async for piece in reply.aiter_bytes():
                data += piece
                if len(data) > MAX_REPLY:
                    raise ValueError("a reply of more than 1 MiB")
            if reply.status_code in (400, 401, 403, 404, 422):
                raise Refused(f"the endpoint answers {reply.status_code}")
            if reply.status_code != 200:
                raise ValueError(f"the endpoint answers {reply.status_code}")
        self.stats.milliseconds += (time.monotonic() - started) * 1e3
        return text_in(bytes(data))

    def _next(self) -> Endpoint | None:
        """The next endpoint that may be asked. One that rested gets a single question first."""
        now = time.monotonic()
        for _ in self.endpoints:
            endpoint = self.endpoints[self._turn % len(self.endpoints)]
            self._turn += 1
            if endpoint.rests_until <= now:
                if endpoint.failures >= FAILURES_TO_OPEN:
                    endpoint.rests_until = (
                        now + self.options.rest_seconds
                    )  # until this question has an answer
                return endpoint
        return None

    def _failed(self, endpoint: Endpoint) -> None:
        self.stats.failures += 1
        endpoint.failures += 1
        if endpoint.failures >= FAILURES_TO_OPEN:
            endpoint.rests_until = time.monotonic() + self.options.rest_seconds


class Refused(ValueError):
    """The endpoint understood and refused: the settings are wrong, and trying again won't help."""


def text_in(data: bytes) -> str:
    """The text of a completion. ValueError if it is none, or was cut off."""
    value = json.loads(data)
    choice = value["choices"][0] if isinstance(value, dict) and value.get("choices") else None
    if not isinstance(choice, dict):
        raise ValueError("a reply without choices")
    if choice.get("finish_reason") == "length":
        return ""  # a verdict that was cut off is none
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise ValueError("a reply without text")
    return text.rpartition("</think>")[2]


def base_url(url: str) -> str:
    """The address up to and including `/v1`, whichever way it was given."""
    url = url.strip().rstrip("/")
    for tail in ("/chat/completions", "/completions"):
        url = url.removesuffix(tail)
    return url if url.endswith("/v1") else f"{url}/v1"
