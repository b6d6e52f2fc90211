"""What every `ports.Sandbox` keeps to: statuses, limits, what a program may rely on, and that nothing is left of it.

One sandbox with two places serves all tests of a run of this module, so a program that leaves something behind breaks
a later test. Wall times are bounded generously (the machine may be busy), CPU times narrowly.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

LIMITS = RunLimits(cpu_seconds=2, wall_seconds=6, compile_seconds=10, memory_bytes=256 << 20)


def python(source: str, **changes: Any) -> Program:
    """A Python program with the suite's limits; `changes` are fields of the program or of its limits."""
    names = {field.name for field in dataclasses.fields(RunLimits)}
    limits = dataclasses.replace(LIMITS, **{name: changes.pop(name) for name in names & set(changes)})
    return Program("python", source, limits=limits, **changes)


async def results(sandbox: Sandbox, program: Program, *runs: Run, stop_early: bool = True) -> list[RunResult]:
    async with sandbox.session(program) as session:
        return await session.run(runs or [Run()], stop_early=stop_early)


async def result(sandbox: Sandbox, program: Program, stdin: str = "") -> RunResult:
    (only,) = await results(sandbox, program, Run(stdin))
    return only


async def honest(sandbox: Sandbox) -> None:
    """The next programs in both places run right, at normal speed, and see a clean world."""
    look = (
        "import os\n"
        "procs = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "left = [d + '/' + n for d in ('/tmp', '/dev/shm', '/var/tmp', '.') if os.path.isdir(d) for n in os.listdir(d)]\n"
        "uids = [os.stat('/proc/' + p).st_uid for p in procs]\n"
        "print(sum(map(int, input().split())), len(procs) < 6, left)\n"
    )
    answers = await asyncio.gather(*(result(sandbox, python(look), "20 22") for _ in range(2)))
    for answer in answers:
        assert (answer.status, answer.stdout) == (RunStatus.OK, "42 True []\n"), answer
        assert answer.cpu_seconds < 0.1


# Programs on standard input and output: (name, program, stdin, status, stdout) ------------------------------------------

S = RunStatus
Ends: list[tuple[str, str, str, RunStatus, str]] = [
    ("prints", "print('hi')", "", S.OK, "hi\n"),
    ("nothing at all", "", "", S.OK, ""),
    ("exit 0", "import sys\nprint(1)\nsys.exit(0)", "", S.OK, "1\n"),
    ("exit without a code", "print(1)\nexit()", "", S.OK, "1\n"),
    ("right output, then exit 3", "import sys\nprint(1)\nsys.exit(3)", "", S.RUNTIME_ERROR, "1\n"),
    ("exit with a message", "import sys\nsys.exit('no')", "", S.RUNTIME_ERROR, ""),
    ("exit True is 1", "import sys\nsys.exit(True)", "", S.RUNTIME_ERROR, ""),
    ("exit 256 is 0", "import sys\nprint(2)\nsys.exit(256)", "", S.OK, "2\n"),
    ("os._exit loses what is buffered", "import os\nprint(1)\nos._exit(0)", "", S.OK, ""),
    ("os._exit(7)", "import os\nprint(1, flush=True)\nos._exit(7)", "", S.RUNTIME_ERROR, "1\n"),
    ("an exception", "print(1)\n1 / 0", "", S.RUNTIME_ERROR, "1\n"),
    ("KeyboardInterrupt", "raise KeyboardInterrupt", "", S.RUNTIME_ERROR, ""),
    ("a hook that hides the exception", "import sys\nsys.excepthook = lambda *a: print('fine')\n1/0", "", S.RUNTIME_ERROR, "fine\n"),
    ("from __future__", "from __future__ import annotations\nx: nonsense = 1\nprint(x)", "", S.OK, "1\n"),
    ("is __main__", "if __name__ == '__main__':\n    print('main')", "", S.OK, "main\n"),
    ("finds itself as __main__", "import sys\nx = 5\nprint(sys.modules['__main__'].x)", "", S.OK, "5\n"),
    ("functions see globals", "def f():\n    return y\ny = 3\nprint(f())", "", S.OK, "3\n"),
    ("one argument, no others", "import sys\nprint(len(sys.argv))", "", S.OK, "1\n"),
    ("threads are waited for", "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('late'))).start()\nprint('early')", "", S.OK, "early\nlate\n"),
    ("daemon threads are not", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint(1)", "", S.OK, "1\n"),
    ("an exception in a thread is no failure", "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\nprint(1)", "", S.OK, "1\n"),
    ("a big stack for a thread", "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\ndef f(n):\n    return n and f(n - 1) + 1\nt = threading.Thread(target=lambda: print(f(50000)))\nt.start(); t.join()", "", S.OK, "50000\n"),
    ("atexit", "import atexit\natexit.register(print, 'bye')\nprint('hi')", "", S.OK, "hi\nbye\n"),
    ("a stream of its own is flushed at the end", "out = open(1, 'w')\nout.write('x' * 10)", "", S.OK, "x" * 10),
    ("a replaced stdout is flushed", "import io, os, sys\nclass Out(io.StringIO):\n    def flush(self):\n        os.write(1, self.getvalue().encode()); self.seek(0); self.truncate(0)\nsys.stdout = Out()\nprint('kept')", "", S.OK, "kept\n"),
    ("input()", "print(int(input()) + int(input()))", "1\n2\n", S.OK, "3\n"),
    ("input() at the end", "input()", "", S.RUNTIME_ERROR, ""),
    ("sys.stdin.read", "import sys\nprint(len(sys.stdin.read()))", "abc\n\n", S.OK, "5\n"),
    ("sys.stdin lines", "import sys\nprint([l for l in sys.stdin])", "a\nb", S.OK, "['a\\n', 'b']\n"),
    ("sys.stdin.buffer.readline", "import sys\nr = sys.stdin.buffer.readline\nprint(r(), r(), r())", "1\n2\n", S.OK, "b'1\\n' b'2\\n' b''\n"),
    ("open(0)", "print(open(0).read().split())", "1 2", S.OK, "['1', '2']\n"),
    ("os.read(0)", "import os\nprint(os.read(0, 100))", "x y", S.OK, "b'x y'\n"),
    ("/dev/stdin", "print(open('/dev/stdin').read())", "dev", S.OK, "dev\n"),
    ("/dev/stdout", "open('/dev/stdout', 'a').write('dev')", "", S.OK, "dev"),
    ("fileinput", "import fileinput\nprint(sum(int(l) for l in fileinput.input()))", "1\n2\n3\n", S.OK, "6\n"),
    ("no input is read, a lot is there", "print('ok')", "x" * 3_000_000, S.OK, "ok\n"),
    ("unicode in and out", "print(input()[::-1])", "añ漢😀\n", S.OK, "😀漢ña\n"),
    ("carriage returns survive", "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())", "a\r\nb", S.OK, "a\r\nb"),
    ("NUL bytes survive", "print(repr(input()))", "a\0b\n", S.OK, "'a\\x00b'\n"),
    ("undecodable output", "import sys\nsys.stdout.buffer.write(b'a\\xff\\xfeb')", "", S.OK, "a\ufffd\ufffdb"),
    ("stderr is not stdout", "import sys\nprint('e', file=sys.stderr)\nprint('o')", "", S.OK, "o\n"),
    ("stdout is closed", "import sys\nsys.stdout.close()", "", S.OK, ""),
    ("descriptor 1 is closed", "import os\nos.close(1)\nprint(1)", "", S.RUNTIME_ERROR, ""),
    ("a subprocess", "import subprocess\nprint(subprocess.run(['/bin/echo', 'sub'], capture_output=True, text=True).stdout)", "", S.OK, "sub\n\n"),
    ("a process pool", "from multiprocessing import Pool\ndef f(x):\n    return x * x\nif __name__ == '__main__':\n    with Pool(2) as p:\n        print(p.map(f, range(5)))", "", S.OK, "[0, 1, 4, 9, 16]\n"),
    ("asyncio", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    print('a')\nasyncio.run(f())", "", S.OK, "a\n"),
    ("deep recursion through a cache", "import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(10**6)\n@lru_cache(None)\ndef f(n):\n    return 0 if n == 0 else f(n - 1) + 1\nprint(f(150_000))", "", S.OK, "150000\n"),
    ("the recursion limit is the usual one", "d = 0\ndef f():\n    global d\n    d += 1\n    f()\ntry:\n    f()\nexcept RecursionError:\n    print(d)", "", S.OK, "999\n"),
    ("a signal to itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "", S.RUNTIME_ERROR, ""),
    ("abort", "import os\nos.abort()", "", S.RUNTIME_ERROR, ""),
    ("a syntax error", "print('x'\n", "", S.COMPILE_ERROR, ""),
    ("an indentation error", "if 1:\nprint(1)", "", S.COMPILE_ERROR, ""),
    ("a NUL byte in the source", "print(1)\0", "", S.COMPILE_ERROR, ""),
    ("a lone surrogate in the source", "x = '\ud800'", "", S.COMPILE_ERROR, ""),
    ("brackets without end", "(" * 100_000, "", S.COMPILE_ERROR, ""),
    ("operators without end", "-" * 200_000 + "1", "", S.COMPILE_ERROR, ""),
    ("a huge source", "x = 1\n" * 200_000 + "print(x)", "", S.OK, "1\n"),
    ("the environment holds nothing", "import os\nprint(sorted(k for k in os.environ if k.isupper() and any(w in k for w in ('KEY', 'TOKEN', 'SECRET', 'REDIS', 'DOCKER'))))", "", S.OK, "[]\n"),
    ("no module of the agent is in the way", "import sys\nprint([m for m in ('place', 'values', 'frames', 'languages', 'running', 'spool', 'testing') if m in sys.modules])", "", S.OK, "[]\n"),
    ("stack frames end at the program", "import sys\nf = sys._getframe()\nn = []\nwhile f:\n    n.append(sorted(k for k in f.f_locals if 'test' in k or 'expect' in k)); f = f.f_back\nprint(sum(n, []))", "", S.OK, "[]\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "stdin", "status", "stdout"),
    [case[1:] for case in Ends],
    ids=[case[0] for case in Ends],
)
async def test_how_a_program_ends(
    sandbox: Sandbox, source: str, stdin: str, status: RunStatus, stdout: str
) -> None:
    found = await result(sandbox, python(source), stdin)
    assert (found.status, found.stdout) == (status, stdout), found


async def test_recursion_is_as_deep_in_every_run(sandbox: Sandbox) -> None:
    source = "d = 0\ndef f():\n    global d\n    d += 1\n    f()\ntry:\n    f()\nexcept RecursionError:\n    print(d)"
    for filler in ("", "#" * 70_000):
        found = await results(sandbox, python(source + filler), *[Run()] * 3)
        assert [one.stdout for one in found] == ["999\n"] * 3


async def test_exit_codes_signals_and_messages(sandbox: Sandbox) -> None:
    three = await result(sandbox, python("import sys\nsys.exit(3)"))
    assert (three.exit_code, three.signal) == (3, None)
    killed = await result(sandbox, python("import os\nos.kill(os.getpid(), 9)"))
    assert (killed.status, killed.exit_code, killed.signal) == (S.RUNTIME_ERROR, None, 9)
    said = await result(sandbox, python("import sys\nsys.exit('the reason')"))
    assert (said.exit_code, said.stderr) == (1, "the reason\n")
    broken = await result(sandbox, python("x = 1\ny = = 2\n"))
    assert "line 2" in broken.stderr
    assert "SyntaxError" in broken.message


async def test_a_traceback_begins_with_the_program(sandbox: Sandbox) -> None:
    found = await result(sandbox, python("def f():\n    raise KeyError('k')\nf()"))
    assert "KeyError: 'k'" in found.stderr
    assert "agent" not in found.stderr
    assert found.stderr.count("File ") == 2


# Limits -----------------------------------------------------------------------------------------------------------------


async def test_cpu_time_is_limited_and_reported(sandbox: Sandbox) -> None:
    found = await result(sandbox, python("while True: pass", cpu_seconds=0.5, wall_seconds=20))
    assert found.status is S.TIME_LIMIT
    assert 0.5 <= found.cpu_seconds < 0.9
    await honest(sandbox)


async def test_cpu_time_of_children_counts(sandbox: Sandbox) -> None:
    source = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    found = await result(sandbox, python(source, cpu_seconds=0.5, wall_seconds=30))
    assert found.status is S.TIME_LIMIT
    assert 0.4 <= found.cpu_seconds < 2.5
    await honest(sandbox)


async def test_cpu_time_of_a_child_that_was_waited_for_counts(sandbox: Sandbox) -> None:
    source = (
        "import os, time\n"
        "if not os.fork():\n"
        "    t = time.process_time()\n"
        "    while time.process_time() < t + .4: pass\n"
        "    os._exit(0)\n"
        "os.wait()\nprint('done')"
    )
    found = await result(sandbox, python(source, cpu_seconds=0.2, wall_seconds=20))
    assert found.status is S.TIME_LIMIT


async def test_compiling_costs_a_run_none_of_its_time(sandbox: Sandbox) -> None:
    # Some 0.3 s of compiling, in the first run's process (small) and in one of its own (large).
    for source in (
        "x = [" + "1j ** 3 + 1j ** 3, " * 2500 + "]\n",
        "def f(): return [g(i) for i in x if i]\n" * 12_000,
    ):
        program = python(source + "print('ran')", cpu_seconds=0.2, compile_seconds=30, wall_seconds=20)
        found = await results(sandbox, program, Run(), Run())
        assert [(one.status, one.stdout) for one in found] == [(S.OK, "ran\n")] * 2, found
    long = python("while True: pass", cpu_seconds=1.5, compile_seconds=1, wall_seconds=20)
    found = await results(sandbox, long)
    assert found[0].status is S.TIME_LIMIT
    assert 1.5 <= found[0].cpu_seconds < 2.2


async def test_sleeping_costs_wall_time_only(sandbox: Sandbox) -> None:
    slow = python("import time\ntime.sleep(.8)\nprint('up')", cpu_seconds=0.4, wall_seconds=10)
    found = await result(sandbox, slow)
    assert (found.status, found.stdout) == (S.OK, "up\n")
    assert found.cpu_seconds < 0.1 < 0.8 <= found.wall_seconds
    found = await result(sandbox, python("import time\ntime.sleep(1000)", wall_seconds=0.5))
    assert found.status is S.TIME_LIMIT
    assert 0.5 <= found.wall_seconds < 3
    await honest(sandbox)


@pytest.mark.parametrize(
    "source",
    [
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nsignal.pause()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "import os, signal, time\np = os.fork()\nif not p:\n    os.kill(os.getppid(), signal.SIGSTOP); time.sleep(100)\ntime.sleep(100)",
        "import os, time\nos.write(1, b'x')\nwhile True:\n    time.sleep(.1); os.write(1, b'.')",
        "import os, signal\nif not os.fork():\n    os.kill(os.getpid(), signal.SIGSTOP)\nos.wait()",
        "import threading\nt = threading.Thread(target=threading.Event().wait)\nt.start()",
        "import atexit, time\natexit.register(time.sleep, 100)",
        "class A:\n    def __del__(self):\n        while True: pass\na = A()",
    ],
    ids=["ignores signals", "stops itself", "is stopped by its child", "trickles", "waits for a stopped child", "thread", "atexit", "__del__"],
)  # fmt: skip
async def test_the_wall_clock_ends_what_waits(sandbox: Sandbox, source: str) -> None:
    found = await result(sandbox, python(source, wall_seconds=1, cpu_seconds=2))
    assert found.status is S.TIME_LIMIT
    assert found.wall_seconds < 5
    await honest(sandbox)


@pytest.mark.parametrize(
    "source",
    [
        "x = bytearray(b'x') * (400 << 20)",
        "x = []\nwhile True: x.append(bytearray(b'x') * (8 << 20))",
        "x = [0] * 10**12",
        "import mmap\nm = mmap.mmap(-1, 400 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\nimport time; time.sleep(6)",
        "x = 'a'\nwhile True: x += x",
        "import os, time\nfor _ in range(4):\n    if not os.fork():\n        x = bytearray(b'x') * (180 << 20); time.sleep(6); os._exit(0)\nfor _ in range(4): os.wait()",
    ],
    ids=["at once", "growing", "absurd", "shared", "doubling", "children"],
)
async def test_memory_is_limited(sandbox: Sandbox, source: str) -> None:
    found = await result(sandbox, python(source, wall_seconds=60, cpu_seconds=5))
    assert found.status is S.MEMORY_LIMIT, found
    await honest(sandbox)


async def test_memory_below_the_limit_is_had_and_reported(sandbox: Sandbox) -> None:
    found = await result(sandbox, python("x = bytearray(b'x') * (200 << 20)\nprint(len(x))"))
    assert (found.status, found.stdout) == (S.OK, f"{200 << 20}\n")
    assert 190 << 20 < found.memory_bytes < 256 << 20


async def test_output_up_to_the_limit(sandbox: Sandbox) -> None:
    program = "import sys\nsys.stdout.write('x' * int(input()))"
    for over in (0, 1):
        found = await result(sandbox, python(program, output_bytes=100_000), str(100_000 + over))
        assert found.status is (S.OUTPUT_LIMIT if over else S.OK)
        assert len(found.stdout) == 100_000


@pytest.mark.parametrize("descriptor", [1, 2])
async def test_floods_end(sandbox: Sandbox, descriptor: int) -> None:
    source = f"import os\nb = b'A' * (1 << 20)\nfor _ in range(4096): os.write({descriptor}, b)"
    found = await result(sandbox, python(source))
    assert found.status is (S.OUTPUT_LIMIT if descriptor == 1 else S.RUNTIME_ERROR)
    assert len(found.stdout) <= LIMITS.output_bytes
    assert len(found.stderr) <= 4096
    await honest(sandbox)


async def test_an_endless_printer(sandbox: Sandbox) -> None:
    found = await result(
        sandbox, python("try:\n    while True: print('x' * 1000)\nexcept OSError:\n    pass")
    )
    assert found.status is S.OUTPUT_LIMIT


async def test_a_lot_on_stderr_is_cut_and_no_failure(sandbox: Sandbox) -> None:
    """What is kept is its end, whenever the agent looks: in the middle, or after the last line."""
    text = "import sys, time\nfor i in range(3): print(str(i) * 800_000, file=sys.stderr)\n"
    for end in ("", "time.sleep(0.3)"):
        found = await result(sandbox, python(f"{text}print('last', file=sys.stderr)\n{end}\nprint('done')"))
        assert (found.status, found.stdout) == (S.OK, "done\n")
        assert found.stderr.endswith("22\nlast\n")
        assert len(found.stderr) <= 4096


async def test_file_size_is_limited(sandbox: Sandbox) -> None:
    source = (
        "try:\n    with open('f', 'wb') as f:\n        for _ in range(64): f.write(b'x' * (1 << 20)); f.flush()\n"
        "except OSError as e: print('stopped')\n"
    )
    found = await result(sandbox, python(source))
    assert (found.status, found.stdout) == (S.OK, "stopped\n")
    await honest(sandbox)


async def test_processes_are_limited(sandbox: Sandbox) -> None:
    source = "import os, time\nn = 0\ntry:\n    while n < 500:\n        if not os.fork(): time.sleep(30); os._exit(0)\n        n += 1\nexcept OSError: pass\nprint(n)"
    found = await result(sandbox, python(source, processes=16))
    assert found.status is S.OK
    assert 10 <= int(found.stdout) <= 16
    await honest(sandbox)


async def test_open_files_are_limited(sandbox: Sandbox) -> None:
    source = "import os\nf = []\ntry:\n    while True: f.append(os.open('/dev/null', 0))\nexcept OSError: print(len(f) < 1024)"
    assert (await result(sandbox, python(source))).stdout == "True\n"


async def test_limits_cannot_be_raised(sandbox: Sandbox) -> None:
    source = (
        "import resource\nout = []\n"
        "for name in ('CPU', 'FSIZE', 'NPROC', 'NOFILE', 'CORE', 'STACK'):\n"
        "    r = getattr(resource, 'RLIMIT_' + name)\n"
        "    try: resource.setrlimit(r, (resource.RLIM_INFINITY,) * 2); out.append(name)\n"
        "    except (ValueError, OSError): pass\n"
        "print(out)"
    )
    assert (await result(sandbox, python(source))).stdout == "[]\n"


async def test_all_runs_of_a_lease_share_a_cpu_budget(sandbox: Sandbox) -> None:
    source = "import time\nwhile time.process_time() < .4: pass\nprint('x')"
    program = python(source, cpu_seconds=1, total_cpu_seconds=1)
    async with sandbox.session(program) as session:
        found = await session.run([Run()] * 6, stop_early=False)
        statuses = [one.status for one in found]
        assert statuses[:2] == [S.OK, S.OK]
        assert set(statuses[3:]) == {S.TIME_LIMIT}
        (again,) = await session.run([Run()])
        assert again.status is S.TIME_LIMIT


async def test_compiling_is_limited(sandbox: Sandbox) -> None:
    # Folding of constants, and a grammar's worst case: both are the compiler's work, not the program's.
    for source in ("x = " + "(" * 80 + "0" + ")" * 80, "x = " + "+".join(["(1,)*256*256"] * 4000)):
        found = await result(sandbox, python(source, compile_seconds=2))
        assert found.status in (S.OK, S.COMPILE_ERROR, S.MEMORY_LIMIT)
    await honest(sandbox)


# Runs of one lease ------------------------------------------------------------------------------------------------------


async def test_results_stop_at_the_first_failure_or_not(sandbox: Sandbox) -> None:
    program = python("import sys\nn = int(input())\nprint(n)\nsys.exit(n == 2)")
    runs = [Run(str(n)) for n in range(5)]
    found = await results(sandbox, program, *runs)
    assert [one.stdout for one in found] == ["0\n", "1\n", "2\n"]
    found = await results(sandbox, program, *runs, stop_early=False)
    assert [one.stdout for one in found] == ["0\n", "1\n", "2\n", "3\n", "4\n"]
    assert [one.status is S.OK for one in found] == [True, True, False, True, True]


async def test_a_program_that_does_not_compile_has_one_result_or_as_many_as_runs(sandbox: Sandbox) -> None:
    for stop_early, count in ((True, 1), (False, 3)):
        async with sandbox.session(python("(")) as session:
            for _ in range(2):
                found = await session.run([Run()] * 3, stop_early=stop_early)
                assert [one.status for one in found] == [S.COMPILE_ERROR] * count
                assert all("SyntaxError" in one.message for one in found)


async def test_many_runs_and_large_inputs(sandbox: Sandbox) -> None:
    runs = [Run(str(n)) for n in range(150)] + [Run("7" + " " * 700_000) for _ in range(3)]
    found = await results(sandbox, python("print(int(input()) + 1)"), *runs)
    assert [one.stdout for one in found] == [f"{n + 1}\n" for n in range(150)] + ["8\n"] * 3


async def test_large_outputs_come_back_whole(sandbox: Sandbox) -> None:
    found = await results(sandbox, python("print('ab' * int(input()))"), *(Run("100000") for _ in range(20)))
    assert {one.stdout for one in found} == {"ab" * 100_000 + "\n"}
    assert len(found) == 20


async def test_no_runs_have_no_results(sandbox: Sandbox) -> None:
    async with sandbox.session(python("print(1)")) as session:
        assert await session.run([]) == []
        assert (await session.run([Run()]))[0].stdout == "1\n"


async def test_runs_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    source = (
        "import os, sys, random, json\n"
        "seen = [n for d in ('/tmp', '/dev/shm', '.') for n in os.listdir(d)]\n"
        "print(seen, hasattr(json, 'mark'), os.environ.get('MARK'), os.getcwd())\n"
        "json.mark = 1; os.environ['MARK'] = 'x'; os.putenv('MARK', 'x')\n"
        "for d in ('/tmp', '/dev/shm'):\n"
        "    open(d + '/mark', 'w').write('x'); os.makedirs(d + '/a/b/c'); os.symlink('/etc/passwd', d + '/link')\n"
        "os.mkfifo('/tmp/fifo'); os.mkdir('/tmp/locked'); open('/tmp/locked/f', 'w').close(); os.chmod('/tmp/locked', 0)\n"
        "for n in (b'\\xff\\xfe', b'-rf', b'a\\nb', b'x' * 255): open(b'/tmp/' + n, 'w').close()\n"
    )
    found = await results(sandbox, python(source), *[Run()] * 3)
    assert {one.stdout for one in found} == {"[] False None /tmp\n"}
    await honest(sandbox)


async def test_what_a_program_does_to_its_streams_ends_with_it(sandbox: Sandbox) -> None:
    source = (
        "import fcntl, os\n"
        "for fd in (0, 1, 2):\n"
        "    for seals in (2, 4, 8, 16, 1):\n"  # shrink, grow, write, future write, seal
        "        try: fcntl.fcntl(fd, 1033, seals); os.write(1, b'sealed')\n"
        "        except OSError: pass\n"
        "    try: os.fchmod(fd, 0); os.write(1, b'changed')\n"
        "    except OSError: pass\n"
        "    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)\n"
        "    try: fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "    except OSError: pass\n"
        "os.write(1, input().encode()); os.lseek(1, 1000, 0); os.ftruncate(0, 0)\n"
    )
    found = await results(sandbox, python(source), *(Run(f"run {n}") for n in range(4)))
    assert [one.stdout for one in found] == [f"run {n}" for n in range(4)]
    await honest(sandbox)


async def test_files_of_the_item_are_there_in_every_run_as_sent(sandbox: Sandbox) -> None:
    source = (
        "print(open('data/in.txt').read(), __import__('helper').x)\nopen('data/in.txt', 'w').write('spoilt')"
    )
    program = python(source, files={"data/in.txt": "né\r\n", "helper.py": "x = 5"})
    found = await results(sandbox, program, *[Run()] * 3)
    assert [one.stderr for one in found] == [""] * 3
    assert {one.stdout for one in found} == {"né\n 5\n"}
    await honest(sandbox)


async def test_chance_is_the_same_every_time(sandbox: Sandbox) -> None:
    source = "import random\nprint(random.random(), random.sample(range(100), 5), hash('a'), list({'a', 'b', 'c', 'd'}))"
    found = await results(sandbox, python(source), Run(), Run())
    more = await asyncio.gather(*(result(sandbox, python(source)) for _ in range(4)))
    assert len({one.stdout for one in [*found, *more]}) == 1


# What is left -----------------------------------------------------------------------------------------------------------

Leavers: list[tuple[str, str]] = [
    ("a daemon", "import os, time\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n        time.sleep(60)\n    os._exit(0)\nprint('out')"),
    ("an orphan that holds stdout", "import os, time\nif not os.fork():\n    os.setsid(); time.sleep(60); os._exit(0)\nprint('out')"),
    ("an orphan that writes", "import os\nif not os.fork():\n    os.setsid()\n    while True: os.write(2, b'x')\nprint('out')"),
    ("orphans that fork", "import os, time\nif not os.fork():\n    while True:\n        try: os.fork()\n        except OSError: time.sleep(.01)\nprint('out')"),
    ("orphans that ignore signals", "import os, signal, time\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nif not os.fork(): time.sleep(60)\nprint('out')"),
    ("a stopped orphan", "import os, signal, time\nif not os.fork(): os.kill(os.getpid(), signal.SIGSTOP)\nprint('out')"),
    ("a vanishing parent", "import os, time\nfor _ in range(8):\n    if not os.fork():\n        os.setsid()\n        if os.fork(): os._exit(0)\n        time.sleep(60)\nprint('out')"),
    ("kill(-1)", "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nprint('out')"),
    ("kill(1)", "import os\nfor s in (9, 15, 19, 2):\n    try: os.kill(1, s)\n    except OSError: pass\nprint('out')"),
    ("3,000 nested directories", "import os\ntry:\n    for _ in range(3000): os.mkdir('d'); os.chdir('d')\nexcept OSError: pass\nprint('out')"),
    ("nested and locked directories", "import os\np = []\nfor _ in range(300):\n    os.mkdir('d'); p.append(os.getcwd()); os.chdir('d')\nfor d in p[:0:-1]: os.chmod(d, 0)\nprint('out')"),
    ("a full disk", "import os\nn = 0\ntry:\n    while n < 100:\n        with open(f'f{n}', 'wb') as f: f.write(b'x' * (8 << 20))\n        n += 1\nexcept OSError: pass\nprint('out')"),
    ("20,000 files", "import os\nos.mkdir('d')\ntry:\n    for n in range(20_000): os.close(os.open(f'd/{n}', os.O_CREAT | os.O_WRONLY))\nexcept OSError: pass\nprint('out')"),
    ("shared memory", "from multiprocessing import shared_memory as s, resource_tracker\nm = s.SharedMemory('mark', True, 1 << 20)\nprint('out', flush=True)\nimport os; os._exit(0)"),
    ("System V objects", "import ctypes\nc = ctypes.CDLL(None)\nc.shmget(0x5eed, 4096, 0o1666); c.semget(0x5eed, 1, 0o1666); c.msgget(0x5eed, 0o1666)\nprint('out')"),
    ("locks on descriptors", "import fcntl\nfcntl.lockf(1, fcntl.LOCK_EX)\nprint('out')"),
]  # fmt: skip


@pytest.mark.parametrize("source", [case[1] for case in Leavers], ids=[case[0] for case in Leavers])
async def test_nothing_is_left(sandbox: Sandbox, source: str) -> None:
    started = time.monotonic()
    found = await result(sandbox, python(source))
    assert (found.status, found.stdout) == (S.OK, "out\n"), found
    assert time.monotonic() - started < 8, "a run ends with its main process"
    await honest(sandbox)


@pytest.mark.parametrize(
    "source",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import os, threading, time\nwhile True:\n    try:\n        os.fork(); threading.Thread(target=time.sleep, args=(9,)).start()\n    except Exception: pass",
        "import os, signal\nsignal.signal(17, signal.SIG_IGN)\nwhile True:\n    try:\n        if os.fork(): os._exit(0)\n    except OSError: pass",
    ],
    ids=["exponential", "with threads", "running away"],
)
async def test_fork_bombs(sandbox: Sandbox, source: str) -> None:
    await result(sandbox, python(source, wall_seconds=2))
    await honest(sandbox)
    await honest(sandbox)


SEARCH = """
import ctypes, re
found = set()
for line in open('/proc/self/maps'):
    span, flags, _, _, _, *name = line.split()
    a, b = (int(x, 16) for x in span.split('-'))
    if 'r' in flags and b - a < 1 << 28 and name[:1] not in (['[vvar]'], ['[vsyscall]'], ['[vvar_vclock]'], ['[vdso]']):
        found.update(re.findall(rb'CANARY_[0-9]{6}', ctypes.string_at(a, b - a)))
print(sorted(found))
"""


async def test_memory_of_a_program_holds_nothing_of_earlier_ones(sandbox: Sandbox) -> None:
    for number in range(6):
        secret = f"CANARY_{100_000 + number}"
        earlier = python(f"print('{secret}', input())", tests=secret, files={"f": secret})
        await results(sandbox, earlier, Run(f"{secret} in"), Run("again"))
    found = await asyncio.gather(*(result(sandbox, python(SEARCH)) for _ in range(4)))
    assert [one.stdout for one in found] == ["[]\n"] * 4
    # The search finds what is there.
    assert (
        await result(sandbox, python("x = 'CANARY_' + str(654321)\n" + SEARCH))
    ).stdout == "[b'CANARY_654321']\n"


# Function style ---------------------------------------------------------------------------------------------------------


def function(source: str, entry: str = "f", **changes: Any) -> Program:
    return python(source, style=Style.FUNCTION, entry_point=entry, **changes)


def calls(*arguments: Any) -> list[Run]:
    return [Run(arguments={"a": list(args)}) for args in arguments]


def value(found: RunResult) -> Any:
    assert found.value is not None, found
    return json.loads(found.value)["v"]


async def test_function_calls_in_order_in_one_process(sandbox: Sandbox) -> None:
    source = "seen = []\ndef f(x):\n    print('noise')\n    seen.append(x)\n    return len(seen) * 100 + x"
    found = await results(sandbox, function(source), *calls(*([n] for n in range(100))))
    assert [value(one) for one in found] == [(n + 1) * 100 + n for n in range(100)]
    assert all(one.stdout == "" for one in found)


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("def f(x):\n    raise ValueError('bad')", S.RUNTIME_ERROR, "ValueError: bad"),
        ("def f(x): return y", S.RUNTIME_ERROR, "NameError"),
        ("def f(x: return", S.COMPILE_ERROR, "SyntaxError"),
        ("def g(x): return 1", S.COMPILE_ERROR, "f"),
        ("1/0\ndef f(x): return 1", S.RUNTIME_ERROR, "ZeroDivisionError"),
        ("import os\ndef f(x): os._exit(0)", S.RUNTIME_ERROR, ""),
        ("import os\nos._exit(0)", S.RUNTIME_ERROR, ""),
        ("import sys\ndef f(x): sys.exit(0)", S.RUNTIME_ERROR, "SystemExit"),
        ("def f(x):\n    while True: pass", S.TIME_LIMIT, ""),
        ("while True: pass", S.TIME_LIMIT, ""),
        ("import time\ndef f(x): time.sleep(100)", S.TIME_LIMIT, ""),
        ("def f(x): return bytearray(b'x') * (600 << 20)", S.MEMORY_LIMIT, ""),
        ("def f(x):\n    l = []\n    while True: l.append('x' * 10**6)", S.MEMORY_LIMIT, ""),
        ("def f(x): return 'x' * (20 << 20)", S.RUNTIME_ERROR, ""),
        ("import os\ndef f(x): os.kill(os.getpid(), 11)", S.RUNTIME_ERROR, ""),
        ("import os\ndef f(x):\n    for fd in range(3, 50):\n        try: os.write(fd, b'junk' * 100)\n        except OSError: pass", S.RUNTIME_ERROR, ""),
        ("import os\ndef f(x):\n    for fd in range(3, 50):\n        try: os.write(fd, b'\\xff\\xff\\xff\\xff')\n        except OSError: pass", S.RUNTIME_ERROR, ""),
        ("import os\ndef f(x):\n    os.closerange(3, 50)\n    return 1", S.RUNTIME_ERROR, ""),
        ("import os\ndef f(x):\n    for fd in range(3, 50):\n        try:\n            b = b'{\"call\":7,\"value\":{\"v\":1}}'; os.write(fd, len(b).to_bytes(4, 'big') + b)\n        except OSError: pass", S.RUNTIME_ERROR, ""),
    ],
    ids=["raises", "name error", "syntax", "no f", "fails on import", "exits", "exits on import", "sys.exit", "loops", "loops on import", "sleeps", "memory", "memory grows", "huge value", "segfault", "junk on the channel", "huge frame", "closes the channel", "another call's answer"],
)  # fmt: skip
async def test_calls_that_fail(sandbox: Sandbox, source: str, status: RunStatus, said: str) -> None:
    program = function(source, cpu_seconds=1, wall_seconds=2)
    (found,) = await results(sandbox, program, *calls([1], [2]))
    assert found.status is status, found
    assert said in found.message
    await honest(sandbox)


async def test_a_call_that_dies_costs_only_itself(sandbox: Sandbox) -> None:
    source = "import os\ndef f(x):\n    if x == 1: os._exit(0)\n    if x == 2: raise KeyError\n    return x"
    found = await results(sandbox, function(source), *calls([0], [1], [2], [3]), stop_early=False)
    assert [one.status for one in found] == [S.OK, S.RUNTIME_ERROR, S.RUNTIME_ERROR, S.OK]
    assert value(found[3]) == 3


async def test_cpu_time_is_counted_per_call(sandbox: Sandbox) -> None:
    source = (
        "import time\ndef f(x):\n    e = time.process_time() + x\n    while time.process_time() < e: pass"
    )
    found = await results(sandbox, function(source, cpu_seconds=0.6), *calls([0.4], [0.0], [0.4], [2]))
    assert [one.status for one in found] == [S.OK, S.OK, S.OK, S.TIME_LIMIT]
    assert 0.38 < found[0].cpu_seconds < 0.6
    assert found[1].cpu_seconds < 0.1


async def test_many_calls_may_use_more_than_one_limit_in_all(sandbox: Sandbox) -> None:
    source = (
        "import os, time\ndef f(x):\n    e = time.process_time() + x\n    while time.process_time() < e: pass\n"
        "    if not os.fork():\n        e = time.process_time() + x\n        while time.process_time() < e: pass\n"
        "        os._exit(0)\n    os.wait()\n"
    )
    found = await results(sandbox, function(source, cpu_seconds=1, wall_seconds=20), *calls(*[[0.4]] * 9))
    assert [one.status for one in found] == [S.OK] * 9, found


async def test_large_arguments(sandbox: Sandbox) -> None:
    found = await results(
        sandbox, function("def f(x): return len(x)"), *calls(["y" * 3_000_000], ["é" * 100_000], [""])
    )
    assert [value(one) for one in found] == [3_000_000, 100_000, 0]


# Assert style -----------------------------------------------------------------------------------------------------------


def asserted(source: str, tests: str, **changes: Any) -> Program:
    return python(source, style=Style.ASSERT, entry_point="f", tests=tests, **changes)


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("def f(x): return x + 1", S.OK),
        ("def f(x): return x", S.TESTS_FAILED),
        ("def f(x) return x", S.COMPILE_ERROR),
        ("def f(x):\n    while True: pass", S.TIME_LIMIT),
        ("import time\ntime.sleep(100)", S.TIME_LIMIT),
        ("import os\nos._exit(0)", None),
        ("import os\ndef f(x): os._exit(0)", None),
        ("import sys\ndef f(x): sys.exit(0)", None),
        ("import os\nos.kill(-1, 9)\ndef f(x): return x", None),
        ("import os, time\nfor fd in range(3, 30):\n    try:\n        b = b'{\"status\":\"ok\",\"passed\":2,\"failed\":0}'; os.write(fd, len(b).to_bytes(4, 'big') + b)\n    except OSError: pass\nos._exit(0)", None),
        ("def f(x): return bytearray(b'x') * (600 << 20)", None),
    ],
    ids=["right", "wrong", "syntax", "loop", "sleep", "exit on import", "exit in call", "sys.exit", "kill(-1)", "forged verdict", "memory"],
)  # fmt: skip
async def test_assert_style(sandbox: Sandbox, source: str, status: RunStatus | None) -> None:
    program = asserted(source, "assert f(1) == 2\nassert f(2) == 3", cpu_seconds=1, wall_seconds=3)
    found = await result(sandbox, program)
    if status is None:
        assert found.status is not S.OK, found
    else:
        assert found.status is status, found
    await honest(sandbox)


async def test_the_tests_are_out_of_reach_of_the_program(sandbox: Sandbox) -> None:
    look = SEARCH.replace("print(sorted(found))", "")
    source = (
        "import os\ndef f(x):\n" + "".join(f"    {line}\n" for line in look.strip().splitlines()) + "    for p in os.listdir('/proc'):\n"
        "        for n in ('mem', 'maps', 'environ', 'fd', 'cwd'):\n"
        "            if p.isdigit() and int(p) != os.getpid():\n"
        "                try: open(f'/proc/{p}/{n}').read(1); found.add(f'{p} {n}')\n"
        "                except OSError: pass\n"
        "    for d, _, names in os.walk('/tmp'):\n"
        "        found.update(names)\n"
        "    return [str(x) for x in found]\n"
    )  # fmt: skip
    tests = "secret = 'CANARY_' + '1' * 6  # CANARY_222222\nassert f(0) == []"
    found = await result(sandbox, asserted(source, tests, cpu_seconds=5, wall_seconds=20))
    assert found.status is S.OK, found


# Other languages --------------------------------------------------------------------------------------------------------

Sum = {
    "cpp": '#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b << "\\n"; }',
    "javascript": "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number); console.log(a + b)",
    "bash": 'read a b; echo "$((a + b))"',
}
Broken = {"cpp": "int main() {", "javascript": "console.log(", "bash": "if true; then"}
Loop = {
    "cpp": "int main() { for (volatile int i = 0;; i = i + 1); }",
    "javascript": "for (;;);",
    "bash": "while :; do :; done",
}


@pytest.mark.parametrize("language", Sum)
async def test_other_languages(sandbox: Sandbox, language: str) -> None:
    if language not in sandbox.languages():
        pytest.skip(f"this sandbox has no {language}")
    limits = dataclasses.replace(LIMITS, compile_seconds=30, cpu_seconds=1)
    found = await results(sandbox, Program(language, Sum[language], limits=limits), Run("1 2"), Run("3 4"))
    assert [(one.status, one.stdout) for one in found] == [(S.OK, "3\n"), (S.OK, "7\n")], found
    broken = await result(sandbox, Program(language, Broken[language], limits=limits))
    assert broken.status is S.COMPILE_ERROR
    assert broken.message
    assert (await result(sandbox, Program(language, Loop[language], limits=limits))).status is S.TIME_LIMIT
    await honest(sandbox)


async def test_cpp_compiles_once_and_is_limited(sandbox: Sandbox) -> None:
    if "cpp" not in sandbox.languages():
        pytest.skip("this sandbox has no cpp")
    limits = dataclasses.replace(LIMITS, compile_seconds=2, cpu_seconds=1)
    bomb = (
        "template<int N> struct A { static const int v = A<N-1>::v + A<N-2>::v * N; };\n#include <map>\n"
        + "".join(f"std::map<int, std::map<int, char[{n + 1}]>> m{n};\n" for n in range(800))
    )
    found = await result(sandbox, Program("cpp", bomb + "int main() {}", limits=limits))
    assert found.status is S.COMPILE_ERROR
    assert "limit" in found.message
    segv = Program("cpp", "int main() { int *p = 0; *p = 1; }", limits=limits)
    assert (await result(sandbox, segv)).signal == 11
    hog = Program(
        "cpp", "#include <vector>\nint main() { std::vector<char> v(3000000000L, 1); }", limits=limits
    )
    assert (await result(sandbox, hog)).status is S.MEMORY_LIMIT
    # The binary belongs to another user than the program's.
    vandal = '#include <cstdio>\n#include <unistd.h>\nint main(int, char **v) { printf("%d", unlink(v[0]) == 0 || fopen(v[0], "r+")); }'
    found_all = await results(sandbox, Program("cpp", vandal, limits=limits), *[Run()] * 3)
    assert [one.stdout for one in found_all] == ["0"] * 3


async def test_an_unknown_language_is_unavailable(sandbox: Sandbox) -> None:
    assert "python" in sandbox.languages()
    with pytest.raises(SandboxUnavailable):
        await result(sandbox, Program("klingon", "Qapla'"))
    await honest(sandbox)


# Speed and concurrency --------------------------------------------------------------------------------------------------


async def test_numpy_is_loaded_once(sandbox: Sandbox) -> None:
    probe = await result(sandbox, python("try:\n    import numpy\nexcept ImportError: print('none')"))
    if probe.stdout:
        pytest.skip("the interpreter of this sandbox has no numpy")
    source = "import numpy as np\nnp.random.seed()\nprint(int(np.arange(10).sum()), np.linalg.det(np.eye(3)))"
    for _ in range(2):
        found = await results(sandbox, python(source), *[Run()] * 10)
        assert {one.stdout for one in found} == {"45 1.0\n"}
        assert min(one.cpu_seconds for one in found) < 0.03
    await honest(sandbox)


async def test_sessions_wait_for_places_and_run_at_once(sandbox: Sandbox) -> None:
    program = python("import time\nn = int(input())\ntime.sleep(.3)\nprint(n)", wall_seconds=5)
    started = time.monotonic()
    found = await asyncio.gather(*(result(sandbox, program, str(n)) for n in range(8)))
    assert [one.stdout for one in found] == [f"{n}\n" for n in range(8)]
    assert time.monotonic() - started < 5
    assert all(one.wall_seconds < 2 for one in found), "waiting for a place is no run time"


@pytest.mark.parametrize("style", ["stdio", "function", "assert"])
async def test_an_abandoned_session_costs_nobody_else(sandbox: Sandbox, style: str) -> None:
    program = {
        "stdio": python("import time\ntime.sleep(100)", wall_seconds=100),
        "function": function("import time\ndef f(x): time.sleep(100)", wall_seconds=100),
        "assert": asserted("import time\ndef f(x): time.sleep(100)", "f(1)", wall_seconds=100),
    }[style]
    runs = calls([1]) if style == "function" else [Run()]
    tasks = [asyncio.create_task(results(sandbox, program, *runs)) for _ in range(3)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    started = time.monotonic()
    await asyncio.gather(*tasks, return_exceptions=True)
    await honest(sandbox)
    assert time.monotonic() - started < 30


async def test_leaving_without_a_run_or_with_an_error(sandbox: Sandbox) -> None:
    for _ in range(4):
        async with sandbox.session(python("print(1)")):
            pass
        with pytest.raises(LookupError):
            async with sandbox.session(python("print(1)")) as session:
                await session.run([Run()])
                raise LookupError
    await honest(sandbox)


Check = Callable[[RunResult], bool]


async def test_a_mixed_crowd(sandbox: Sandbox) -> None:
    """Right, wrong, crashing, looping, printing and flooding programs at once: every verdict is its own."""
    kinds: list[tuple[Program, RunStatus, Check]] = [
        (python("print(int(input()) * 2)"), S.OK, lambda one: one.stdout == "42\n"),
        (python("print(sum(range(10**6)))"), S.OK, lambda one: one.stdout == "499999500000\n"),
        (python("1/0"), S.RUNTIME_ERROR, lambda one: one.exit_code == 1),
        (python("while True: pass", cpu_seconds=0.3), S.TIME_LIMIT, lambda one: True),
        (python("print('y' * 200_000)"), S.OK, lambda one: len(one.stdout) == 200_001),
        (python("while True: print('z' * 10000)", output_bytes=1 << 20), S.OUTPUT_LIMIT, lambda one: True),
        (python("def f("), S.COMPILE_ERROR, lambda one: True),
        (
            python("import os\nfor _ in range(5): os.fork()\nimport time; time.sleep(.05)"),
            S.OK,
            lambda one: True,
        ),
    ]
    crowd = [kinds[n % len(kinds)] for n in range(80)]
    found = await asyncio.gather(*(result(sandbox, program, "21") for program, _, _ in crowd))
    wrong = [
        (n, one)
        for n, (one, (_, status, check)) in enumerate(zip(found, crowd, strict=True))
        if one.status is not status or not check(one)
    ]
    assert wrong == []
    await honest(sandbox)
