"""The languages that this image runs from source, other than Python, and how.

What is decided here: one table. A program is compiled once, by the tester's user, in a directory that the
program's own user can read and not change (`/build`); each run is a fresh process of the program's user. A
language exists where its `needs` are installed. The names are canonical; aliases are the handlers' business.
"""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

BUILD = "/build"
"""Where sources and binaries lie: a tmpfs that allows execution, owned by the agent, sticky and open to all."""


class Language(NamedTuple):
    """How a language is compiled and run. Arguments are relative to the build directory of the program.

    source: the file's name. compile: argument lists, one after the other. run: argument list; `{build}` is the
    program's build directory. reserve: bytes that the runtime allocates as data without using them (arenas,
    thread stacks), on top of the memory limit. stack: soft limit of the main thread's stack in bytes.
    exhausted: what its runtime prints to stderr when it gets no memory.
    """

    source: str
    needs: tuple[str, ...]
    compile: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]
    reserve: int = 128 << 20
    stack: int = 256 << 20
    environment: tuple[tuple[str, str], ...] = ()
    exhausted: tuple[bytes, ...] = ()


LANGUAGES: dict[str, Language] = {
    "cpp": Language(
        source="main.cpp",
        needs=("g++",),
        compile=(("g++", "-std=c++20", "-O2", "-pipe", "-w", "-o", "main", "main.cpp"),),
        run=("{build}/main",),
        exhausted=(b"std::bad_alloc",),
    ),
    "javascript": Language(
        source="main.js",
        needs=("node",),
        compile=(("node", "--check", "main.js"),),
        run=("node", "--stack-size=30000", "{build}/main.js"),
        reserve=2 << 30,
        stack=64 << 20,
        exhausted=(b"JavaScript heap out of memory", b"Array buffer allocation failed"),
    ),
    "bash": Language(
        source="main.sh",
        needs=("bash",),
        compile=(("bash", "-n", "main.sh"),),
        run=("bash", "{build}/main.sh"),
        stack=8 << 20,
        exhausted=(b"cannot allocate",),
    ),
}


def available() -> dict[str, Language]:
    """The languages whose tools are installed here; none where there is no build directory."""
    if not os.path.isdir(BUILD):
        return {}
    return {name: entry for name, entry in LANGUAGES.items() if all(map(shutil.which, entry.needs))}
