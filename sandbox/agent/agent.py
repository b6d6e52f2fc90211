"""The agent: the trusted first process of a sandbox container, which forks one process per run from itself.

    python3 /agent/agent.py --candidate-uid 61001 --tester-uid 61002

It speaks frames (`spool.py`) over its standard input and output, one request at a time:

    agent   {"op": "hello", "version": 1, "languages": [...], "python": "3.11.2"}
    host    {"op": "run", "open": {"language", "style", "preload", "limits": [...], "program": n, "tests": n},
             "sizes": [n, ...], "first": index, "stop_early": true, "more": false, "blob": n}
            blob: the program as JSON (its fields without the tests), the tests, the inputs one after the other.
            Without "open" it is about the program of the frame before. more: another frame of the same request
            follows, so a process that answers calls stays.
    agent   {"op": "results", "results": [...], "final": bool, "tainted": "", "blob": n}, one or several
            a result: status, cpu, wall, memory, exit or signal, message, flags, broken; then sizes of its texts in
            the blob, in this order: stdout, stderr, reply (a frame of the program or the tester, unread)
    host    {"op": "ping"}; agent {"op": "pong"}
    agent   {"op": "failed", "message": …}, and ends: the container doesn't work

If the last frame of results says `tainted`, the agent ends after it: what a run left couldn't be removed. That run is
a failure of the program, so that no program becomes unjudgeable by what it leaves.

Statuses are those of `reward_service/runs.py`, and `not_ready`, `verdict` (both: the reply says it) and `cancelled`.
Anything that the host sends while a request is carried out cancels that request; closing the stream ends the agent.

What is decided here: how a request looks, and what the agent is before the first one: a process that has started
itself again with a raised stack and the environment of the runs, and whose memory nobody may look into.

What the container must offer: capabilities SETUID, SETGID, KILL, and SETPCAP (to empty the bounding set of
every run); a process limit well above a program's own; `/tmp`, `/dev/shm` and, where languages are compiled, `/build`
(executable), as tmpfs with mode 1777 owned by the agent; nothing else writable but `/run`, for the agent alone, on
kernels without sealed memory files. Its own stack limit is raised by starting itself again.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable

VERSION = 1
HERE = os.path.dirname(os.path.realpath(__file__))
COMPILED = "/run/agent"
HOOKS: list[dict[str, Callable[[], object]]] = []
"""What modules want done in a child after a fork. Not done in ours: they have one thread, no lock is held, and random
numbers are meant to be the same. Children have them again for forks of their own."""
STACK = 512 << 20
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
}
"""The whole environment of every run, but for what a language adds."""
KEPT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables of the machine that make old numerical libraries right on new processors."""


def start_again(argv: list[str]) -> None:
    """Replace this process by itself with a raised stack and the environment of the runs."""
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK if hard == resource.RLIM_INFINITY else min(hard, STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
    environment = ENVIRONMENT | {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"AGENT": "1"}
    compile_modules()
    os.execve(
        sys.executable,
        [sys.executable, "-s", "-P", "-B", "-X", "utf8", f"{HERE}/agent.py", *argv],
        environment,
    )


def compile_modules() -> None:
    """Compile the agent's modules in the process that is about to be replaced.

    Compiling leaves megabytes of half-used memory, and every page of the agent is paid for in every fork. An image
    brings them compiled; elsewhere they lie in a directory for the agent alone.
    """
    if os.path.isdir(f"{HERE}/__pycache__") or not os.access("/run", os.W_OK):
        return
    import py_compile

    os.makedirs(COMPILED, exist_ok=True)
    for name in os.listdir(HERE):
        if name.endswith(".py"):
            py_compile.compile(f"{HERE}/{name}", f"{COMPILED}/{name}c", doraise=True)


def users(argv: list[str]) -> tuple[int, int]:
    """The two uids of the command line."""
    options = dict(zip(argv[::2], argv[1::2], strict=True))
    candidate, tester = int(options["--candidate-uid"]), int(options["--tester-uid"])
    if 0 in (candidate, tester) or candidate == tester:
        raise SystemExit("the candidate's and the tester's uid must differ from each other and from 0")
    return candidate, tester


def main(argv: list[str]) -> None:
    """Serve the host until it goes away."""
    import confine
    import serving
    import spool
    from place import Failed, Place

    confine.prepare_agent()
    here = Place(confine.Users(*users(argv)), serving.HOST_IN)
    serving.preload("plain")
    agent = serving.Agent(here)
    here.refresh()
    hello = {"op": "hello", "version": VERSION, "languages": ["python", *agent.languages]}
    try:
        spool.write_frame(serving.HOST_OUT, hello | {"python": sys.version.split()[0]})
        agent.serve()
    except spool.HostGone:
        return
    except Failed as failed:
        spool.write_frame(serving.HOST_OUT, {"op": "failed", "message": str(failed)})


def enter(argv: list[str]) -> Callable[[], int] | None:
    """Be the agent. In a forked child: what it is to do, with all of the agent's frames off the stack."""
    sys.path[:0] = [COMPILED, HERE]
    register = os.register_at_fork
    os.register_at_fork = lambda **hooks: HOOKS.append(hooks)
    from place import Job

    try:
        main(argv)
    except Job as job:
        del sys.path[:2]
        os.register_at_fork = register
        for hooks in HOOKS:
            register(**hooks)
        return job.work
    return None


def finish(work: Callable[[], int]) -> None:
    """Do a child's work, and end without what the agent would do at its end."""
    try:
        code = work()
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        code = 1
    os._exit(code)


if __name__ == "__main__":
    if os.environ.get("AGENT") != "1":
        start_again(sys.argv[1:])
    del os.environ["AGENT"]
    _work = enter(sys.argv[1:])
    if _work is not None:
        finish(_work)
