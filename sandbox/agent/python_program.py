"""A Python program on standard input and output: compiled once, run in a fresh fork each time.

What is decided here: the program is `__main__` and nobody's child: it sees the real descriptors 0, 1 and 2, its
threads are waited for, `atexit` and exit codes work, buffered output is flushed as at a normal end. All of this runs
in processes of the program's own user. The compiled code goes from the compiling process to the running ones as
bytes in a file, which the agent never looks into.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import json
import marshal
import os
import resource
import struct
import sys
import threading
import time
import traceback
import types
from typing import Any

NAME = "/tmp/main.py"
_SEED = 0x5EED
OURS = tuple(
    name[:-3] for name in os.listdir(os.path.dirname(os.path.realpath(__file__))) if name.endswith(".py")
)
"""The agent's modules: a program may have some of the same name."""
CPU = struct.Struct("d")
"""What a compiled program begins with: the CPU seconds that compiling took."""


def read_all(fd: int) -> bytes:
    """The whole content of a file that others may have open."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def write_files(files: dict[str, str]) -> None:
    """Put the item's files into the current directory."""
    for name, text in files.items():
        directory = os.path.dirname(name)
        if directory:
            os.makedirs(directory, exist_ok=True)
        with open(name, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def compile_program(program: int, code: int) -> tuple[types.CodeType, dict[str, str]] | None:
    """Read a program, write its compiled form behind the CPU seconds that it took; None, and the reason on stderr."""
    fields = json.loads(read_all(program))
    try:
        source = fields["source"]
        if fields.get("preamble"):
            source = fields["preamble"] + "\n" + source
        made = compile(source, NAME, "exec", dont_inherit=True), fields.get("files") or {}
        data = marshal.dumps(made)
    except SyntaxError as error:
        sys.stderr.write("".join(traceback.format_exception_only(error)))
        return None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return None
    data = CPU.pack(time.process_time()) + data
    while data:
        data = data[os.write(code, data) :]
    return made


def only_compile(program: int, code: int) -> int:
    """Compile and end; the exit code."""
    return 0 if compile_program(program, code) else 1


def compile_and_run(program: int, code: int, cpu: float, file_bytes: int) -> int:
    """Compile, then run under the limits of a run; the exit code, 1 if there is nothing to run."""
    made = compile_program(program, code)
    if made is None:
        return 1
    os.close(program)
    os.close(code)
    seconds = int(time.process_time() + cpu) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    return run_code(*made)


def run_program(code: int) -> int:
    """Run the compiled program; its exit code."""
    compiled, files = marshal.loads(read_all(code)[CPU.size :])
    os.close(code)
    return run_code(compiled, files)


def run_code(compiled: types.CodeType, files: dict[str, str]) -> int:
    """Run it as `__main__` until its threads and exit handlers are done; its exit code."""
    if files:
        write_files(files)
    sys.path.insert(0, "/tmp")
    try:
        exec(compiled, MAIN.__dict__)
        status = 0
    except SystemExit as error:
        status = exit_status(error.code)
    except BaseException as error:
        status = 1
        report(error)
    return end_main(status)


MAIN = types.ModuleType("__main__")
_FRAMES = 6
"""How many frames are below the program's first one."""


def prepare_main() -> None:
    """In the agent, once: what every run begins with, so that no run has to touch memory for it.

    A fresh `__main__`, its arguments, and a recursion limit that lets it go as deep as it could without our frames.
    """
    MAIN.__dict__.update(__builtins__=builtins, __file__=NAME, __cached__=None)
    sys.modules["__main__"] = MAIN
    sys.argv = [NAME]
    sys.setrecursionlimit(1000 + _FRAMES)


def exit_status(code: Any) -> int:
    """What the interpreter makes of the argument of sys.exit."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        sys.stdout.flush()
        sys.stderr.write(f"{code}\n")
    except BaseException:
        pass
    return 1


def report(error: BaseException) -> None:
    """Print the traceback below our own frame, through the program's own hook where it has one."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exception(error)


def end_main(status: int) -> int:
    """What the interpreter does at its end, in its order; the exit code."""
    try:
        if len(threading._active) > 1 or threading._threading_atexits:  # type: ignore[attr-defined]
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except SystemExit as error:
        status = exit_status(error.code)
    except BaseException:
        traceback.print_exc()
    status = flush(status)
    stdout = sys.__stdout__
    if sys.stdout is not stdout:
        sys.stdout = stdout
        status = flush(status)
    # Files that the program left open are flushed when their last name goes, as at a normal end.
    sys.stdin, sys.stderr = sys.__stdin__, sys.__stderr__
    sys.excepthook = sys.__excepthook__
    MAIN.__dict__.clear()
    gc.collect()
    return flush(status)


def flush(status: int) -> int:
    """Flush the standard streams; 120 if stdout can't be, as the interpreter says."""
    try:
        if not sys.stdout.closed:
            sys.stdout.flush()
    except AttributeError:  # the program's own idea of a stream
        status = flush_odd(status)
    except BaseException:
        status = status or 120
    try:
        sys.stderr.flush()
    except BaseException:
        pass
    return status


def flush_odd(status: int) -> int:
    """Flush a replaced stdout without the attributes of a stream, or None."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException:
        status = status or 120
    return status
