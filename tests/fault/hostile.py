"""A registry whose handler does to its process what the response says. Loaded by the pool's own children."""

import ctypes
import os
import re
import signal
import time

from reward_service.registry import Registry, Source, handler
from reward_service.types import Domain, Example, Item, Limits, Outcome, accept, reject

CPU_SECONDS = 0.5
WALL_SECONDS = 20.0
"""Generous: on a busy machine half a second of CPU time may take many of wall time."""
IDLE_SECONDS = 1.5
"""The wall limit of the handler whose items sleep."""


def act(item: Item) -> Outcome:
    """Misbehaves as asked, else compares."""
    match item.response.split():
        case ["regex"]:
            re.match(r"(a+)+$", "a" * 64 + "b")
        case ["loop"]:
            while True:
                pass
        case ["allocate"]:
            bytearray(2 << 30)
        case ["hoard"]:
            kept = []
            while True:
                kept.append(bytearray(1 << 20))
        case ["segfault"]:
            ctypes.string_at(0)
        case ["exit"]:
            os._exit(0)
        case ["exit3"]:
            os._exit(3)
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["recurse"]:
            return act_deeper(item, 0)
        case ["raise"]:
            raise RuntimeError(item.response)
        case ["idle"]:
            time.sleep(60)
        case ["nap", seconds]:
            time.sleep(float(seconds))
        case ["spin", seconds]:
            end = time.process_time() + float(seconds)
            while time.process_time() < end:
                pass
        case ["pid"]:
            return accept(os.getpid())
        case ["environment"]:
            return accept(sorted(os.environ))
    return accept(item.response) if item.response == item.ground_truth else reject(extracted=item.response)


def act_deeper(item: Item, depth: int) -> Outcome:
    """Recursion without an end."""
    return act_deeper(item, depth + 1)


def registry() -> Registry:
    """The registry of hostile handlers."""
    into = Registry()

    @handler(
        "hostile",
        version="1",
        domain=Domain.GYM,
        sources=[Source("hostile", "any", Example("x", "x"))],
        reads=("question",),
        limits=Limits(CPU_SECONDS, WALL_SECONDS, 256 << 20),
        into=into,
    )
    def plan(item: Item) -> Outcome:
        """Does what the response says."""
        return act(item)

    @handler(
        "sleepy",
        version="1",
        domain=Domain.GYM,
        sources=[Source("sleepy", "any", Example("x", "x"))],
        limits=Limits(CPU_SECONDS, IDLE_SECONDS, 256 << 20),
        into=into,
    )
    def plan_idle(item: Item) -> Outcome:
        """Does what the response says, with little patience."""
        return act(item)

    return into
