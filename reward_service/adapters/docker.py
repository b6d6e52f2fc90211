"""Sandbox on Docker engines: a warm pool of hardened containers, one item at a time in each.

What is decided here: when containers come and go. They are made in the background, a spare ahead of need, so that
no request waits for one; a container goes back to the pool only when its agent has proved that the run left
nothing, and is thrown away on any doubt, after so many items, or by age. Whatever breaks (a stream, an engine, an
agent) is `SandboxUnavailable` for the item that was on it, and never a result. An engine that fails is tried again
every second or two for as long as it takes; its callers wait for it a little, and are then told why.

What may run inside is fixed in `docker_spec.py`; how the agent is spoken to is `agent.py`'s business.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from reward_service.adapters.agent import AgentConnection, AgentSession
from reward_service.adapters.docker_api import EngineApi, EngineError, hosts, tls_context
from reward_service.adapters.docker_spec import (
    OWNER,
    UID,
    DockerOptions,
    container,
    free_uid,
    is_orphan,
    owner,
)
from reward_service.adapters.docker_stream import Attached, attach
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunResult
from reward_service.sandbox_images import Kind

if TYPE_CHECKING:
    from reward_service.engine.ports import Session

_PERIOD_SECONDS = 5.0
_FIRST_RETRY, _LAST_RETRY = 0.2, 2.0
_REAP_SECONDS = 20.0
_PING_SECONDS = 10.0
_STOP_SECONDS = 20.0
_T = TypeVar("_T")


class _Place:
    """One container and the connection to its agent."""

    def __init__(self, engine: _Engine, kind: Kind, name: str, uid: int) -> None:
        self.engine = engine
        self.kind = kind
        self.name = name
        self.uid = uid
        self.container = ""
        self.attached: Attached | None = None
        self.agent: AgentConnection | None = None
        self.born = time.monotonic()
        self.items = 0
        self.seen = 0.0
        """When the agent was last known to be well."""
        self.up = False
        """It has come up; whether it still lives is `lost`."""
        self.lost = False
        self.leased = False

    def worn(self, options: DockerOptions) -> bool:
        """Has it served its time?"""
        return self.items >= options.recycle_items or time.monotonic() - self.born > options.recycle_seconds


class _Engine:
    """One engine: its containers, and the task that keeps the right number of them."""

    def __init__(self, owner: DockerSandbox, host: str, options: DockerOptions) -> None:
        self.owner = owner
        self.host = host
        self.options = options
        self.api = EngineApi(host)
        self.tls = tls_context()
        self.size = options.places
        self.leased = 0
        self.places: dict[str, _Place] = {}
        self.idle: dict[Kind, list[_Place]] = {kind: [] for kind in Kind}
        self.wanted: Counter[Kind] = Counter()
        """Places beyond the warm ones that callers wait for."""
        self.failure = ""
        self.failing_since = 0.0
        self.missing: dict[Kind, str] = {}
        """Images that the engine doesn't have."""
        self.languages: dict[Kind, tuple[str, ...]] = {}
        self._connected = False
        self._reaped = 0.0
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(6, thread_name_prefix="docker")
        self._taken: set[int] = set()
        """Users of containers that aren't ours."""

    async def call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """A blocking call of the SDK, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*arguments))

    def wake(self) -> None:
        """Something changed: look whether places are missing."""
        self._wake.set()

    async def keep(self) -> None:
        """Connect, fill, check, reap, for ever; a failure is noted and tried again."""
        delay = 0.0
        while True:
            self._wake.clear()
            try:
                await self._once()
                self.failure, delay = "", 0.0
            except EngineError as error:
                self._connected = False
                self.failing_since = self.failing_since if self.failure else time.monotonic()
                self.failure = str(error)
                delay = min(_LAST_RETRY, 2 * delay or _FIRST_RETRY)
            self.owner.tell_waiting()
            if delay:
                await asyncio.sleep(delay)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _PERIOD_SECONDS)

    async def _once(self) -> None:
        if not self._connected:
            info = await self.call(self.api.info)
            self.size = self.options.places or int(info.get("NCPU") or 1)
            self._connected = True
            self._reaped = 0.0
        due = time.monotonic() - self._reaped > _REAP_SECONDS
        if due or self.missing:
            self.missing = await self.call(self._missing_images)
        if due:
            await self._reap()
            self._reaped = time.monotonic()
        await self._check_idle()
        await self._fill()

    def _missing_images(self) -> dict[Kind, str]:
        """Which images the engine doesn't have, and what to do about it. Blocks."""
        missing = {}
        for kind in Kind:
            image = self.options.image_of(kind)
            if not self.api.has_image(image):
                flag = " --polyglot" if kind is Kind.POLYGLOT else ""
                missing[kind] = (
                    f"image {image} is not on {self.host}: run `reward-service sandbox build{flag}`"
                )
        return missing

    # Making places ---------------------------------------------------------------------------------------------

    def _target(self, kind: Kind) -> int:
        if kind in self.missing:
            return 0
        most = self.size + self.options.spares
        if kind is Kind.PYTHON:
            return most
        return min(most, max(self.options.polyglot_warm, self.wanted[kind]))

    async def _fill(self) -> None:
        """Make what is missing, Python's places first: they decide how long a cold start takes."""
        for kind in Kind:
            missing = self._target(kind) - sum(place.kind is kind for place in self.places.values())
            made = await asyncio.gather(*(self._make(kind) for _ in range(missing)), return_exceptions=True)
            for result in made:
                if isinstance(result, BaseException):
                    raise result

    async def _make(self, kind: Kind) -> None:
        uid = free_uid(self._taken | {place.uid for place in self.places.values()})
        place = _Place(self, kind, f"reward-service-{secrets.token_hex(8)}", uid)
        self.places[place.name] = place
        try:
            await self._bring_up(place)
        except BaseException as error:
            self._forget(place)
            self.owner.later(self._remove(place))
            if isinstance(error, EngineError | asyncio.CancelledError):
                raise
            text = (
                f"the agent in {self.options.image_of(kind)} does not answer: {type(error).__name__}: {error}"
            )
            complaint = place.attached.stream.complaint() if place.attached else ""
            raise EngineError(f"{text}; {complaint}" if complaint else text) from error
        self.failure = ""
        place.up = True
        self.put(place)

    async def _bring_up(self, place: _Place) -> None:
        options = self.options
        spec = container(options, place.kind, place.uid, place.name)
        creating = asyncio.ensure_future(self.call(lambda: self.api.create(**spec)))
        try:
            place.container = await asyncio.shield(creating)
        except asyncio.CancelledError:
            # The engine makes it all the same: without its name nobody would know what to remove.
            with suppress(EngineError):
                place.container = await creating
            raise
        version = await self.call(lambda: self.api.api_version)
        async with asyncio.timeout(options.hello_seconds):
            place.attached = await attach(self.host, version, place.container, self.tls)
            place.attached.stream.on_lost = lambda: self._on_lost(place)
            await self.call(self.api.start, place.container)
            place.agent = AgentConnection(place.attached.reader, place.attached.writer)
            hello = await place.agent.start(options.hello_seconds)
        self.languages[place.kind] = hello.languages
        place.seen = time.monotonic()
        if place.lost:
            raise EngineError("a container ended as soon as it was up")

    # Handing out and taking back -------------------------------------------------------------------------------

    def take(self, kind: Kind) -> _Place | None:
        """An idle place, if there is one and the engine has a core for it."""
        while self.leased < self.size and self.idle[kind]:
            place = self.idle[kind].pop()
            if not place.lost:
                place.leased = True
                place.items += 1
                self.leased += 1
                return place
        return None

    def put(self, place: _Place) -> None:
        """A place is clean and free."""
        self.idle[place.kind].append(place)
        self.owner.hand_out()

    async def give_back(self, place: _Place) -> None:
        """After a lease: if its agent is well it has proved that nothing is left, and the place is free again."""
        cause = await self._trouble(place)
        self.leased -= 1
        place.leased = False
        place.seen = time.monotonic()
        if not cause:
            self.put(place)
            return
        self.owner.recycled[cause] += 1
        self._forget(place)
        self.owner.hand_out()
        await self._remove(place)

    async def _trouble(self, place: _Place) -> str:
        """Why a place can't be used again; "" if it can."""
        agent = place.agent
        if agent is None or agent.broken or place.lost:
            return "broken"
        if agent.interrupted:  # a request was abandoned: its caller went away
            try:
                await agent.recover()
            except SandboxUnavailable:
                return "cancelled"
        return "worn" if place.worn(self.options) else ""

    def _forget(self, place: _Place) -> None:
        self.places.pop(place.name, None)
        with suppress(ValueError):
            self.idle[place.kind].remove(place)
        self.wake()

    def _on_lost(self, place: _Place) -> None:
        """The stream ended: whoever holds the place notices by itself; an idle one is replaced."""
        place.lost = True
        if place.up and not place.leased and place.name in self.places:
            self.owner.recycled["lost"] += 1
            self._forget(place)
            self.owner.later(self._remove(place))

    async def _remove(self, place: _Place) -> None:
        if place.attached is not None:
            place.attached.stream.discard()
        try:
            if place.container:
                with suppress(
                    EngineError
                ):  # the engine is down: the reaper finds the container when it is back
                    await self.call(self.api.remove, place.container)
        finally:
            if place.agent is not None:
                place.agent.close()
            elif place.attached is not None:
                place.attached.writer.close()

    async def _check_idle(self) -> None:
        """Idle agents answer, and idle places that have served their time are replaced."""
        now = time.monotonic()
        for place in [place for places in self.idle.values() for place in places]:
            if place not in self.idle[place.kind]:
                continue
            if place.worn(self.options):
                cause = "worn"
            elif now - place.seen > _PING_SECONDS:
                self.idle[place.kind].remove(place)
                if await self._answers(place):
                    place.seen = time.monotonic()
                    self.put(place)
                    continue
                cause = "lost"
            else:
                continue
            self.owner.recycled[cause] += 1
            self._forget(place)
            self.owner.later(self._remove(place))

    @staticmethod
    async def _answers(place: _Place) -> bool:
        try:
            if place.agent is not None:
                await place.agent.ping()
        except SandboxUnavailable:
            return False
        return True

    async def _reap(self) -> None:
        """Remove containers that nobody owns any more: ours that we don't know, others' that are orphans."""
        found = await self.call(self.api.containers, OWNER)
        now = time.time()
        self._taken.clear()
        for entry in found:
            labels = dict(entry.get("Labels") or {})
            names = {str(name).lstrip("/") for name in entry.get("Names") or []}
            ours = labels.get(OWNER) == owner()
            if (ours and not names & self.places.keys()) or (not ours and is_orphan(labels, now)):
                with suppress(EngineError):
                    await self.call(self.api.remove, entry["Id"])
                    self.owner.recycled["orphan"] += 1
            elif labels.get(UID, "").isdigit():
                self._taken.add(int(labels[UID]))

    async def stop(self) -> None:
        """Remove every container."""
        places = list(self.places.values())
        self.places.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(self._remove(place) for place in places))
        self.api.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class DockerSandbox:
    """The `Sandbox` port on one or several engines. Use as an asynchronous context manager."""

    def __init__(self, options: DockerOptions | None = None) -> None:
        self._options = options or DockerOptions()
        self._engines: list[_Engine] = []
        self._waiting: deque[tuple[Kind, asyncio.Future[_Place]]] = deque()
        self._keepers: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.recycled: Counter[str] = Counter()
        """Places that were thrown away, by cause."""

    async def __aenter__(self) -> DockerSandbox:
        self._engines = [_Engine(self, host, self._options) for host in hosts(self._options.hosts)]
        self._keepers = [asyncio.create_task(engine.keep()) for engine in self._engines]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for _, waiter in self._waiting:
            waiter.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
        await asyncio.gather(*(engine.stop() for engine in self._engines))

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, and keep it from being collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The port --------------------------------------------------------------------------------------------------

    def session(self, program: Program) -> AbstractAsyncContextManager[Session]:
        """See `Sandbox`."""
        return self._session(program)

    @asynccontextmanager
    async def _session(self, program: Program) -> AsyncIterator[Session]:
        place = await self._lease(self._kind_for(program.language))
        try:
            if place.agent is None:
                raise SandboxUnavailable("the place was lost")
            granted = replace(program, limits=self._options.clamp(program.limits))
            yield _DockerSession(AgentSession(place.agent, granted), place)
        finally:
            self.later(place.engine.give_back(place))

    def languages(self) -> Sequence[str]:
        """See `Sandbox`; empty while that isn't known yet."""
        known: list[str] = []
        for kind in Kind:
            if any(kind not in engine.languages and kind not in engine.missing for engine in self._engines):
                return ()
            for engine in self._engines:
                known += [name for name in engine.languages.get(kind, ()) if name not in known]
        return known

    def status(self) -> dict[str, Any]:
        """For metrics: items that can run at once, those that do and that wait, containers, recycled by cause, engines."""
        return {
            "places": sum(engine.size for engine in self._engines if engine.places and not engine.failure),
            "containers": sum(place.up for engine in self._engines for place in engine.places.values()),
            "busy": sum(engine.leased for engine in self._engines),
            "waiting": len(self._waiting),
            "recycled": dict(self.recycled),
            "engines": {engine.host: engine.failure or "ok" for engine in self._engines},
        }

    # Places ----------------------------------------------------------------------------------------------------

    def _kind_for(self, language: str) -> Kind:
        """Python runs in its own image; where there is only the other one, in that."""
        if language != "python":
            return Kind.POLYGLOT
        only_polyglot = all(
            Kind.PYTHON in engine.missing and Kind.POLYGLOT not in engine.missing for engine in self._engines
        )
        return Kind.POLYGLOT if only_polyglot else Kind.PYTHON

    def _take(self, kind: Kind) -> _Place | None:
        for engine in sorted(self._engines, key=lambda engine: engine.leased / max(1, engine.size)):
            if place := engine.take(kind):
                return place
        return None

    async def _lease(self, kind: Kind) -> _Place:
        if not self._waiting and (place := self._take(kind)):
            return place
        if reason := self._hopeless(kind):
            raise SandboxUnavailable(reason)
        waiter: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((kind, waiter))
        self._count_wanted(kind)
        self.hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.later(waiter.result().engine.give_back(waiter.result()))
            waiter.cancel()
            raise

    def _count_wanted(self, kind: Kind) -> None:
        """How many places of the kind would be in use at once if nobody had to wait."""
        waiting = sum(wanted is kind for wanted, _ in self._waiting)
        for engine in self._engines:
            leased = sum(place.leased and place.kind is kind for place in engine.places.values())
            engine.wanted[kind] = max(engine.wanted[kind], leased + waiting)
            engine.wake()

    def hand_out(self) -> None:
        """Give free places to those who wait, first come first served; nobody waits for another kind's place."""
        stuck: set[Kind] = set()
        still: deque[tuple[Kind, asyncio.Future[_Place]]] = deque()
        while self._waiting:
            kind, waiter = self._waiting.popleft()
            if waiter.done():
                continue
            if kind not in stuck and (place := self._take(kind)):
                waiter.set_result(place)
                continue
            stuck.add(kind)
            still.append((kind, waiter))
            if len(stuck) == len(Kind):
                break
        still.extend(self._waiting)
        self._waiting = still

    def tell_waiting(self) -> None:
        """If nothing can come of waiting, say so to those who do."""
        reasons = {kind: self._hopeless(kind) for kind in Kind}
        for kind, waiter in self._waiting:
            if reasons[kind] and not waiter.done():
                waiter.set_exception(SandboxUnavailable(reasons[kind]))
        self._waiting = deque((kind, waiter) for kind, waiter in self._waiting if not waiter.done())

    def _hopeless(self, kind: Kind) -> str:
        """Why no place of that kind is coming; "" if one may be."""
        reasons = []
        now = time.monotonic()
        for engine in self._engines:
            if any(place.kind is kind and place.up for place in engine.places.values()):
                return ""
            if kind in engine.missing:
                reasons.append(engine.missing[kind])
            elif engine.failure and now - engine.failing_since >= self._options.unavailable_seconds:
                reasons.append(engine.failure)
            else:
                return ""
        return "; ".join(reasons)


class _DockerSession:
    """The `Session` port on one place; what its agent complained of is part of the error."""

    def __init__(self, session: AgentSession, place: _Place) -> None:
        self._session = session
        self._place = place

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        """See `Session`."""
        try:
            return await self._session.run(runs, stop_early=stop_early)
        except SandboxUnavailable as error:
            complaint = self._place.attached.stream.complaint() if self._place.attached else ""
            raise SandboxUnavailable(f"{error.detail}; {complaint}" if complaint else error.detail) from error
