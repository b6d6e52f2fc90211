"""The agent's requests: whose turn it is to read the host's stream, and what it does with a frame.

What is decided here: modules that programs import are loaded once; a second and third agent with heavier ones
(`PRELOADS`) are forked from the first when they are first asked for, and the stream is handed to them: they run the
same code. None of them ever holds a byte of an item (`spool.py`), so there is nothing to find in a fork's memory.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import socket
import sys
import time
from typing import Any

import asserting
import calling
import confine
import languages
import spool
from place import Failed, Place
from python_program import prepare_main
from running import Lease

HOST_IN, HOST_OUT = 0, 1
SEED = 0x5EED
FLUSH_BYTES = 1 << 20
FLUSH_SECONDS = 1.0

PRELOADS: dict[str, tuple[str, ...]] = {
    "plain": (
        "abc",
        "ast",
        "bisect",
        "cmath",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "heapq",
        "inspect",
        "io",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "queue",
        "random",
        "re",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "threading",
        "time",
        "traceback",
        "typing",
        "unicodedata",
    ),
    "numpy": ("numpy", "numpy.random", "numpy.linalg"),
    "science": (
        "numpy",
        "numpy.random",
        "numpy.linalg",
        "pandas",
        "scipy.special",
        "scipy.stats",
        "scipy.optimize",
        "scipy.sparse",
        "sympy",
        "networkx",
        "sortedcontainers",
    ),
}


def preload(name: str) -> None:
    """Import what programs of this kind import; what isn't installed is left out. `…+calls`: and what answers calls.

    Random numbers begin at the same place in every run: a score must not differ from one judging to the next.
    """
    kind, _, calls = name.partition("+")
    for module in PRELOADS[kind]:
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    if calls:
        calling.candidate = importlib.import_module("candidate")
        asserting.tester = importlib.import_module("tester")
    # A program may have modules of the same names.
    for file in os.listdir(os.path.dirname(os.path.realpath(__file__))):
        sys.modules.pop(file.partition(".")[0], None)
    prepare_main()
    random.seed(SEED)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED)
    gc.collect()
    gc.freeze()


class Agent:
    """The one process that reads the host's stream now, or waits until it is its turn again."""

    def __init__(self, here: Place) -> None:
        self.place = here
        self.loaded = "plain"
        self.languages = languages.available()
        self.lease: Lease | None = None
        self.parent: socket.socket | None = None
        self.peers: dict[str, tuple[int, socket.socket]] = {}

    def serve(self) -> None:
        header: dict[str, Any] | None = None
        while True:
            header = header or spool.read_header(HOST_IN)
            if header["op"] == "ping":
                spool.write_frame(HOST_OUT, {"op": "pong"})
            elif header["op"] == "run":
                opening = header.get("open")
                if opening and opening["preload"] != self.loaded:
                    header = self.hand_over(header)
                    continue
                self.carry_out(header)
            else:
                raise spool.HostGone
            header = None

    def hand_over(self, header: dict[str, Any]) -> dict[str, Any]:
        """Let another agent read the stream from here on; returns the header with which it is our turn again."""
        self.lease = None
        if self.parent is not None:
            connection = self.parent
        else:
            name = header["open"]["preload"]
            if name not in self.peers:
                self.peers[name] = self.fork_peer(name)
            connection = self.peers[name][1]
        header["known"] = sorted(self.place.known)
        spool.send_header(connection.fileno(), header)
        answer = spool.read_header(connection.fileno())
        self.place.known.update(answer.pop("known"))
        return answer

    def fork_peer(self, name: str) -> tuple[int, socket.socket]:
        ours, theirs = spool.socket_pair()
        pid = os.fork()
        if pid:
            theirs.close()
            self.place.known.add(pid)
            return pid, ours
        ours.close()
        for _, connection in self.peers.values():
            connection.close()
        self.peers = {}
        self.parent = theirs
        self.loaded = name
        self.place.known |= {os.getppid(), os.getpid()}
        gc.unfreeze()
        confine.prepare_agent()
        preload(name)
        self.place.refresh()
        header = spool.read_header(theirs.fileno())
        self.place.known.update(header.pop("known"))
        self.carry_out(header)
        self.serve()
        raise SystemExit

    def carry_out(self, header: dict[str, Any]) -> None:
        here = self.place
        sizes: list[int] = header["sizes"]
        opening = header.get("open")
        if opening:
            self.open(opening)
        if self.lease is None:
            raise spool.HostGone
        spool.clear(here.inputs)
        spool.take(HOST_IN, here.inputs, sum(sizes))
        if opening:
            self.lease.prepare(opening["program"])
        self.run(self.lease, sizes, header)
        if here.tainted:
            raise spool.HostGone

    def open(self, opening: dict[str, Any]) -> None:
        here = self.place
        here.tidy()
        if here.tainted:
            raise Failed(here.tainted)
        for fd in (here.program, here.tests):
            spool.clear(fd)
        spool.take(HOST_IN, here.program, opening["program"])
        spool.take(HOST_IN, here.tests, opening["tests"])
        name = opening["language"]
        self.lease = Lease(here, opening, None if name == "python" else self.languages[name])

    def run(self, lease: Lease, sizes: list[int], header: dict[str, Any]) -> None:
        here = self.place
        spool.clear(here.results)
        results: list[dict[str, Any]] = []
        flushed = time.monotonic()
        start = 0
        for index, size in enumerate(sizes, header["first"]):
            result = lease.run(start, size, index)
            start += size
            results.append(result)
            good = result["status"] == "ok"
            if result.get("broken") or result["status"] == "cancelled" or (header["stop_early"] and not good):
                break
            written = os.fstat(here.results).st_size
            if written > FLUSH_BYTES or time.monotonic() - flushed > FLUSH_SECONDS:
                spool.write_frame(
                    HOST_OUT, {"op": "results", "results": results, "final": False}, here.results, written
                )
                spool.clear(here.results)
                results = []
                flushed = time.monotonic()
        if not header["more"] or not results or results[-1]["status"] != "ok":
            lease.end_request()
        if confine.left_in_kernel():
            here.tainted = here.tainted or "a run left System V objects"
        written = os.fstat(here.results).st_size
        last = {"op": "results", "results": results, "final": True, "tainted": here.tainted}
        spool.write_frame(HOST_OUT, last, here.results, written)
