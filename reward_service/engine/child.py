"""The processes that run handlers: a zygote that has the libraries loaded, and the children it forks.

What is decided here: how one item is bounded. A kernel timer (ITIMER_PROF, no handler installed) ends the
process when an item has used up its CPU time, even inside C code and however busy the machine is; the
address space is limited from the fork on; running out of memory or stack inside Python is an outcome of that
item. A child writes which item it is on into a shared page, so that its death costs that item and no other.

The zygote (`python -m reward_service.engine.child`) is single-threaded, imports the handlers once, warms
them up, and forks on request: 10 ms to a ready child. It gets no secrets: the supervisor starts it with an
empty environment but for PYTHONPATH.
"""

from __future__ import annotations

import base64
import ctypes
import gc
import importlib
import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import zlib
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn

from reward_service import narrate
from reward_service.engine.channel import (
    HEADER,
    IDLE,
    PROGRESS,
    SLOT_BYTES,
    Judged,
    Task,
    answer_from_plain,
    decision_to_plain,
    pack,
    unpack,
)
from reward_service.registry import Decision, Handler, Registry
from reward_service.types import Item, Profile, Reason, cannot_judge, malformed, reject

FORK = struct.Struct("<cI")
"""Supervisor to zygote: b"F" and a slot number, with the child's socket attached."""
REPORT = struct.Struct("<cIii")
"""Zygote to supervisor: b"S" slot pid 0 (started), b"E" slot errno 0 (could not fork), b"X" slot pid status."""

FLUSH_SECONDS = 0.005
MAX_GROUND_TRUTH = 64 << 20


def run_items(
    registry: Registry,
    tasks: list[tuple[Any, ...]],
    page: mmap.mmap,
    slot: int,
    memory: Memory,
    send: Any,
) -> bool:
    """Judge tasks (each with its deadline at the end) in order and send verdicts.

    False if the process should not be used again.
    """
    offset = slot * SLOT_BYTES
    verdicts: list[Judged] = []
    healthy = True
    flushed = time.monotonic()
    cpu_before = time.process_time()
    for index, (*fields, deadline) in enumerate(tasks):
        task = Task(*fields)
        started = time.monotonic()
        if started > deadline:
            outcome: Decision = cannot_judge(
                Reason.DEADLINE, "the request's deadline passed while the item was queued"
            )
        else:
            handler = registry.handlers[task.handler]
            PROGRESS.pack_into(page, offset, index, started)
            memory.allow(handler.limits.memory_bytes)
            signal.setitimer(signal.ITIMER_PROF, handler.limits.cpu_seconds)
            outcome, healthy = judge_one(handler, task)
        cpu = time.process_time()
        verdicts.append((index, decision_to_plain(outcome), started, cpu - cpu_before))
        cpu_before = cpu
        now = time.monotonic()
        if now - flushed > FLUSH_SECONDS or not healthy:
            # What has been sent survives the next item; what has not is judged again elsewhere.
            signal.setitimer(signal.ITIMER_PROF, 0)
            send(("V", verdicts))
            verdicts, flushed = [], now
            if not healthy:
                return False
    signal.setitimer(signal.ITIMER_PROF, 0)
    PROGRESS.pack_into(page, offset, IDLE, 0.0)
    send(("D", verdicts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    return True


def judge_one(handler: Handler, task: Task) -> tuple[Decision, bool]:
    """One item's outcome (or work), whatever the handler does; and whether the process is still in order."""
    try:
        gold = plain_ground_truth(task.ground_truth)
    except ValueError as error:
        return malformed(str(error)), True
    except MemoryError:
        return malformed("the compressed ground truth is too large to unpack"), False
    item = Item(
        task.data_source,
        task.response,
        gold,
        task.extra_info,
        Profile(task.profile),
        task.source,
        task.explain,
    )
    try:
        if task.step is None and not task.explain:
            return handler.plan(item), True
        notes = task.step[0] if task.step is not None else None
        if task.explain:

            def told(carried: Any) -> Decision:
                if gold is not task.ground_truth:
                    narrate.unpacked(gold)
                return decide(handler, item, task, carried)

            return narrate.explained(item.response, notes, told), True
        return decide(handler, item, task, notes), True
    except RecursionError:
        return reject(Reason.BUDGET_EXCEEDED, None, limit="depth"), True
    except MemoryError:
        # What a library holds after a failed allocation is anybody's guess: start a fresh process.
        return reject(Reason.BUDGET_EXCEEDED, None, limit="memory"), False
    except Exception as error:
        print(
            f"handler {handler.name} {handler.version} failed on {task.data_source}: {type(error).__name__}\n"
            + frames(error.__traceback__),
            file=sys.stderr,
            flush=True,
        )
        return (
            cannot_judge(
                Reason.INTERNAL,
                f"handler {handler.name} raised {type(error).__name__}",
                flags=("checker_failed",),
            ),
            True,
        )


def decide(handler: Handler, item: Item, task: Task, notes: Any) -> Decision:
    """What the handler makes of the item, or of the answers to what it asked for."""
    if task.step is None:
        return handler.plan(item)
    if handler.judge is None:
        return cannot_judge(Reason.INTERNAL, f"handler {handler.name} has no judge")
    return handler.judge(item, notes, [answer_from_plain(result) for result in task.step[1]])


def frames(trace: TracebackType | None) -> str:
    """Where it happened, without any value: a message may quote a response, and logs never do."""
    return "".join(f"  {f.filename}:{f.lineno} {f.name}\n" for f in traceback.extract_tb(trace))


def plain_ground_truth(gold: Any) -> Any:
    """The ground truth with Guru's `{"compressed": base64 gzip}` undone and non-finite numbers refused.

    ValueError says what is wrong, without quoting it.
    """
    if isinstance(gold, dict) and len(gold) == 1 and isinstance(gold.get("compressed"), str):
        gold = decompress(gold["compressed"])
    elif isinstance(gold, str) and gold.startswith("H4sI") and len(gold) > 24:
        gold = decompress(gold)
    if not isinstance(gold, str) and not finite(gold):
        raise ValueError("the ground truth holds NaN or an infinity")
    return gold


def decompress(text: str) -> Any:
    """The value in a base64 gzip text: JSON if it parses, else the text itself. ValueError if it is broken."""
    try:
        packed = base64.b64decode(text, validate=True)
        machine = zlib.decompressobj(wbits=31)
        body = machine.decompress(packed, MAX_GROUND_TRUTH)
    except (ValueError, zlib.error):  # binascii.Error is a ValueError, and so is what is not ASCII
        raise ValueError("the compressed ground truth is not base64 gzip") from None
    if machine.unconsumed_tail:
        raise ValueError(f"the compressed ground truth is larger than {MAX_GROUND_TRUTH >> 20} MiB")
    if not machine.eof:
        raise ValueError("the compressed ground truth is cut off")
    if machine.unused_data.strip(b"\0"):
        raise ValueError("the compressed ground truth goes on after its end")
    try:
        plain = body.decode()
    except UnicodeDecodeError:
        raise ValueError("the compressed ground truth is not UTF-8") from None
    with suppress(ValueError, RecursionError):
        value = json.loads(plain)
        # A number or a word in quotes was compressed as it is; only containers and strings were encoded.
        return value if isinstance(value, dict | list | str) else plain
    return plain


def finite(value: Any) -> bool:
    """Does the value hold only finite numbers? Iterative: depth can't hurt."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, float):
            if top != top or top in (float("inf"), float("-inf")):
                return False
        elif isinstance(top, dict):
            stack.extend(top.values())
        elif isinstance(top, list | tuple):
            stack.extend(top)
    return True


def child_main(connection: socket.socket, slot: int, page: mmap.mmap, registry: Registry) -> NoReturn:
    """Serve chunks until the supervisor closes the connection. Never returns."""
    reader = connection.makefile("rb", buffering=1 << 18)

    def send(message: Any) -> None:
        connection.sendall(pack(message))

    status = 0
    memory = Memory()
    try:
        while True:
            header = reader.read(HEADER.size)
            if len(header) < HEADER.size:
                break
            body = reader.read(HEADER.unpack(header)[0])
            if not run_items(registry, unpack(body), page, slot, memory, send):
                break
    except (BrokenPipeError, ConnectionResetError):
        pass
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


class Memory:
    """How much the address space may grow, by handler; the kernel refuses what is beyond.

    Only the soft limit moves, and it is set when the handler changes, so it costs nothing per item.
    """

    def __init__(self) -> None:
        self._base = 0
        self._allowed = -1
        if sys.platform == "linux":
            with open("/proc/self/statm") as statm:  # noqa: PTH123
                self._base = int(statm.read().split()[0]) * resource.getpagesize()

    def allow(self, growth: int) -> None:
        """Let this process grow by so many bytes over what it had after the fork."""
        if growth != self._allowed and self._base:
            self._allowed = growth
            resource.setrlimit(resource.RLIMIT_AS, (self._base + growth, resource.RLIM_INFINITY))


def limit_child() -> None:
    """Die with the zygote, dump no core, and leave signals to the kernel."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def load_registry(loader: str) -> Registry:
    """The registry that `module:function` returns, warmed up."""
    module, _, function = loader.partition(":")
    registry: Registry = getattr(importlib.import_module(module), function)()
    for handler in registry.handlers.values():
        warm_up = getattr(sys.modules.get(handler.plan.__module__), "warm_up", None)
        if warm_up is not None:
            warm_up()
    return registry


def zygote_main(control: socket.socket, page_fd: int, page_bytes: int, loader: str) -> None:
    """Fork a child for every request on `control`, report starts and deaths; end when it closes."""
    page = mmap.mmap(page_fd, page_bytes)
    registry = load_registry(loader)
    gc.collect()
    gc.freeze()  # children share these pages as long as nothing walks them
    children: dict[int, int] = {}
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control.sendall(REPORT.pack(b"R", 0, os.getpid(), 0))
    while True:
        readable, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            report_deaths(control, children)
        if control.fileno() not in readable:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, FORK.size, 1)
        if not message:
            break
        _, slot = FORK.unpack(message)
        connection = socket.socket(fileno=descriptors[0])
        try:
            pid = os.fork()
        except OSError as error:
            control.sendall(REPORT.pack(b"E", slot, error.errno or 0, 0))
            connection.close()
            continue
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            os.close(wake_read)
            os.close(wake_write)
            limit_child()
            child_main(connection, slot, page, registry)
        connection.close()
        children[pid] = slot
        control.sendall(REPORT.pack(b"S", slot, pid, 0))
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:  # whoever inherits them might never ask how they ended
            os.waitpid(-1, 0)


def report_deaths(control: socket.socket, children: dict[int, int]) -> None:
    """Reap every dead child and tell the supervisor how it died."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        slot = children.pop(pid, 0)
        control.sendall(REPORT.pack(b"X", slot, pid, os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    control_fd, page_fd, page_bytes, loader = sys.argv[1:5]
    with suppress(BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        zygote_main(socket.socket(fileno=int(control_fd)), int(page_fd), int(page_bytes), loader)
