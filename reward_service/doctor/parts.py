"""What has to be asked: the checking processes, the sandbox, Redis and the judge model. Each does once what it is for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from reward_service.adapters import bubblewrap
from reward_service.assemble import build_judge, build_pool, build_sandbox
from reward_service.doctor import Check, Finding, bad, ok, skip, warn
from reward_service.engine.channel import Task
from reward_service.errors import ServiceError
from reward_service.questions import Question, Verdict
from reward_service.registry import load
from reward_service.runs import Program, Run, RunLimits, RunStatus
from reward_service.settings import Settings
from reward_service.types import Outcome

SECONDS = 30.0
MAX_SKEW = 2.0


async def checking(settings: Settings) -> list[Finding]:
    """An item goes through a checking process."""
    registry = load()
    small = settings.model_copy(update={"processes": 1, "spare_processes": 0})
    task = Task(
        "graph", "logic__graph", "logic__graph_logical_dataset", "<answer>owl</answer>", "owl", {}, "strict"
    )
    started = time.monotonic()
    async with build_pool(small, registry) as pool:
        (decision,) = await pool.run([task], seconds=SECONDS)
    seen = f"{len(registry.handlers)} handlers, an item judged {time.monotonic() - started:.1f} s after the start"
    if isinstance(decision, Outcome) and decision.score == 1.0:
        return [ok("checking", seen)]
    return [bad("checking", f"a right answer was not accepted: {decision}"[:300], "Install the package again; then report it.")]  # fmt: skip


async def sandbox(settings: Settings) -> list[Finding]:
    """An engine or bubblewrap is there, and runs a program of one line."""
    from reward_service.commands.sandbox import engine_status

    if settings.sandbox == "none":
        return [skip("sandbox", "REWARD_SERVICE_SANDBOX=none: code items are errors")]
    found = []
    engine_usable = False
    if settings.sandbox in ("auto", "docker") and not settings.sandbox_socket:
        hosts = settings.sandbox_hosts.split(",")[0].strip()
        try:
            lines, engine_usable = await asyncio.to_thread(engine_status, hosts)
        except ImportError:
            lines = [("engine", "none: the extra `docker` is not installed")]
        for name, text in lines:
            if name == "warning":
                found.append(warn("engine", text, "Update the engine, or use gVisor (REWARD_SERVICE_SANDBOX_RUNTIME=runsc)."))  # fmt: skip
            elif "missing:" in text:
                found.append(
                    warn(name, text.partition("missing: ")[0] + "is missing", text.partition("missing: ")[2])
                )
            elif name in ("engine", "python image"):
                found.append(ok(name, text) if not text.startswith("none") else skip(name, text))
    lacking = bubblewrap.missing()
    if not engine_usable and not settings.sandbox_socket:
        found.append(ok("bubblewrap", "ready") if not lacking else skip("bubblewrap", lacking))
        if lacking or settings.sandbox == "docker":
            advice = "Install Docker and `reward-service sandbox build`, or: apt-get install bubblewrap."
            what = bad if settings.sandbox != "auto" else warn
            return [
                *found,
                what("sandbox", "nothing here can run programs: code items will be errors", advice),
            ]
    return [*found, await one_line(settings)]


async def one_line(settings: Settings) -> Finding:
    """A program of one line, run as the service runs programs."""
    built = build_sandbox(settings.model_copy(update={"sandbox_places": 1}))
    if built is None:
        return skip("sandbox", "none")
    program = Program("python", "print(6 * 7)", limits=RunLimits(cpu_seconds=5.0))
    started = time.monotonic()
    trouble = ""
    async with built:
        while time.monotonic() - started < SECONDS:
            try:
                async with asyncio.timeout(SECONDS), built.session(program) as session:
                    (result,) = await session.run([Run()])
            except (ServiceError, TimeoutError) as error:
                trouble = getattr(error, "detail", "no answer in time")
                await asyncio.sleep(0.5)
                continue
            if result.status is RunStatus.OK and result.stdout.strip() == "42":
                seen = f"a program of one line ran {time.monotonic() - started:.1f} s after the start"
                return ok("sandbox", f"{seen}, in {result.wall_seconds * 1e3:.0f} ms")
            return bad("sandbox", f"a program of one line ended with {result.status.value}: {result.message[:200]}", "reward-service sandbox status; build the image again.")  # fmt: skip
    return bad("sandbox", trouble[:300], "reward-service sandbox status says what is missing.")


async def redis(settings: Settings) -> list[Finding]:
    """Redis is reached, and is what the guarantees need."""
    if not settings.redis_url:
        return [skip("redis", "not used: cache and batches live in this process")]
    try:
        from reward_service.adapters.redis_client import BROKEN, RedisOptions, close, connect
    except ImportError:
        return [bad("redis", "the client is not installed", "pip install 'reward-service[redis]'")]
    options = RedisOptions(
        settings.redis_url, settings.redis_prefix, settings.redis_username, settings.redis_password, settings.redis_ca, settings.redis_seconds
    )  # fmt: skip
    client = connect(options)
    try:
        started = time.monotonic()
        now = await client.execute_command("TIME")
        took = time.monotonic() - started
        skew = int(now[0]) + int(now[1]) / 1e6 - time.time() + took / 2
        await client.execute_command("EVAL", "return 1", 1, f"{{{settings.redis_prefix}:doctor}}")
        found = [ok("redis", f"answers in {took * 1e3:.1f} ms, and runs scripts")]
        if abs(skew) > MAX_SKEW:
            found.append(warn("clock", f"Redis is {skew:+.1f} s from this machine", "Run an NTP client on both: leases go by Redis' clock, logs by this one's."))  # fmt: skip
        else:
            found.append(ok("clock", f"Redis is {skew * 1e3:+.0f} ms from this machine"))
        try:
            info: dict[str, Any] = await client.info("all")
        except BROKEN:
            return [*found, skip("redis settings", "this user may not ask (INFO): see docs/guarantees.md for what they must be")]  # fmt: skip
        return [*found, *of_info(info)]
    except BROKEN as error:
        return [bad("redis", f"can't be used: {type(error).__name__}", "Check REWARD_SERVICE_REDIS_URL, user, password, CA, and the rights in docs/guarantees.md.")]  # fmt: skip
    finally:
        await close(client)


def of_info(info: dict[str, Any]) -> list[Finding]:
    """What the server says about itself."""
    name, found = "redis settings", []
    version = str(info.get("valkey_version") or info.get("redis_version") or "?")
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < 7:
        found.append(bad(name, f"version {version}", "Redis 7.0 or later, or Valkey, is needed."))
    if not int(info.get("aof_enabled", 0)):
        found.append(warn(name, "appendonly is off: batches are lost when Redis restarts", "appendonly yes, appendfsync everysec"))  # fmt: skip
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found.append(warn(name, f"maxmemory-policy is {policy}: queued items can be thrown out", "maxmemory-policy noeviction; a cache that may evict gets REWARD_SERVICE_CACHE_REDIS_URL."))  # fmt: skip
    if not int(info.get("maxmemory", 0)):
        found.append(warn(name, "maxmemory is not set: the kernel decides who goes", "Set maxmemory to three quarters of the machine's."))  # fmt: skip
    return found or [
        ok(name, f"version {version}, appendonly, noeviction, maxmemory {info.get('maxmemory_human')}")
    ]


async def judge(settings: Settings) -> list[Finding]:
    """The judge model accepts a right answer and refuses a wrong one."""
    try:
        built = build_judge(settings)
    except ValueError as error:
        return [bad("judge", str(error), "Set both, or neither.")]
    if built is None:
        return [skip("judge", "not used: items that need one are errors")]
    model = built[0]
    asked = [
        (Question("What is the capital of France?", "Paris", "It is Paris."), Verdict.YES),
        (Question("What is the capital of France?", "Paris", "Lyon"), Verdict.NO),
    ]
    async with model:
        try:
            started = time.monotonic()
            said = [(await model.ask(question, seconds=SECONDS)).verdict for question, _ in asked]
        except ServiceError as error:
            return [bad("judge", error.detail[:300], "Check REWARD_SERVICE_JUDGE_URLS, JUDGE_MODEL and JUDGE_API_KEY.")]  # fmt: skip
    took = (time.monotonic() - started) / 2
    if said == [wanted for _, wanted in asked]:
        return [ok("judge", f"{model.options.model} tells right from wrong, {took:.1f} s a question")]
    return [bad("judge", f"{model.options.model} said {', '.join(said)} where yes, no is right", "Check REWARD_SERVICE_JUDGE_FORMAT, or take another model.")]  # fmt: skip


CHECKS: tuple[Check, ...] = (checking, sandbox, redis, judge)
