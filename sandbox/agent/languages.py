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

THREADS = 2 << 30
"""What the stacks of some threads reserve: each is as large as the main thread's may grow."""


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


_TRANSPILE = """
const ts = require("/usr/share/nodejs/typescript"), fs = require("fs");
const options = {target: ts.ScriptTarget.ES2021, module: ts.ModuleKind.CommonJS, esModuleInterop: true};
const out = ts.transpileModule(fs.readFileSync("main.ts", "utf8"),
                               {fileName: "main.ts", reportDiagnostics: true, compilerOptions: options});
for (const found of out.diagnostics) {
  const at = found.file ? found.file.getLineAndCharacterOfPosition(found.start) : {line: 0, character: 0};
  console.error(`main.ts:${at.line + 1}:${at.character + 1}: ` + ts.flattenDiagnosticMessageText(found.messageText, "\\n"));
}
fs.writeFileSync("main.js", out.outputText);
process.exit(out.diagnostics.length ? 1 : 0);
"""
"""TypeScript loses its types and is not checked against them: the declarations of Node's own modules are no part of
the image, and a program that runs right is right."""

LANGUAGES: dict[str, Language] = {
    "c": Language(
        source="main.c",
        needs=("gcc",),
        compile=(("gcc", "-std=gnu17", "-O2", "-pipe", "-w", "-o", "main", "main.c", "-lm"),),
        run=("{build}/main",),
        reserve=THREADS,
    ),
    "cpp": Language(
        source="main.cpp",
        needs=("g++",),
        compile=(("g++", "-std=c++20", "-O2", "-pipe", "-w", "-o", "main", "main.cpp"),),
        run=("{build}/main",),
        reserve=THREADS,
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
    "typescript": Language(
        source="main.ts",
        needs=("node", "/usr/share/nodejs/typescript/lib/typescript.js"),
        compile=(("node", "-e", _TRANSPILE),),
        run=("node", "--stack-size=30000", "{build}/main.js"),
        reserve=2 << 30,
        stack=64 << 20,
        exhausted=(b"JavaScript heap out of memory", b"Array buffer allocation failed"),
    ),
    "java": Language(
        source="Main.java",
        needs=("javac", "java"),
        compile=(("python3", "-I", "-S", "/agent/java_build.py", "Main.java"),),
        # Small programs: one collector thread, and the main thread's stack is what recursion needs.
        run=(
            "java",
            "-Xss256m",
            "-Xmx768m",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:ErrorFile=/dev/null",
            "-Xshare:auto",
            "-cp",
            "{build}",
            "@{build}/run.args",
        ),
        reserve=4 << 30,
        stack=8 << 20,
        exhausted=(b"java.lang.OutOfMemoryError",),
    ),
    "go": Language(
        source="main.go",
        needs=("go",),
        # Without `go build`: that wants a writable cache, and the standard library is there compiled.
        # The stack limit: what each of the compiler's threads would reserve.
        compile=(
            (
                "sh",
                "-c",
                "ulimit -Ss 8192; go tool compile -p main -complete -o main.o main.go && go tool link -s -w -o main main.o",
            ),
        ),
        run=("{build}/main",),
        reserve=512 << 20,
        exhausted=(b"runtime: out of memory", b"cannot allocate memory"),
    ),
    "rust": Language(
        source="main.rs",
        needs=("rustc", "cc"),
        compile=(
            (
                "rustc",
                "--edition=2021",
                "-Copt-level=2",
                "-Ccodegen-units=1",
                "-Awarnings",
                "-o",
                "main",
                "main.rs",
            ),
        ),
        run=("{build}/main",),
        exhausted=(b"memory allocation of",),
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
    return {name: entry for name, entry in LANGUAGES.items() if all(map(_installed, entry.needs))}


def _installed(need: str) -> bool:
    """A command, or a file by its path."""
    return os.path.isfile(need) if need.startswith("/") else shutil.which(need) is not None
