"""What a sandbox container may do: one fixed specification, and the few numbers of it that settings change.

What is decided here: everything that contains a program, but for what the agent inside does for each run. No
request ever reaches this; the runner process is the only one that can make a container, and it makes this one.

- no network, a read-only root, no swap, no devices, no log, and a small tmpfs with a limit on inodes for each
  writable place; nothing of the host is mounted, and nothing listens;
- root without capabilities but SETUID, SETGID and KILL, which the agent needs to become the run's user and to end
  the run's processes, and SETPCAP, with which it empties the run's bounding set; no-new-privileges; our own list of system calls (sandbox/seccomp.json);
- two users for each container that no other container on the engine has: the kernel counts processes per user;
- the container ends by itself when its stdin is closed, and the engine then removes it, so a killed runner
  leaves nothing; labels say whose it is and until when, for whoever finds it nonetheless.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reward_service.runs import RunLimits
from reward_service.sandbox_images import Kind, seccomp_profile, tag

OWNER = "reward-service.owner"
EXPIRES = "reward-service.expires"
UID = "reward-service.uid"
_FIRST_UID, _LAST_UID = 20_000, 60_000
"""Within the 65,536 users that a rootless engine or one with `userns-remap` has."""
_GRACE_SECONDS = 7200
"""More than any lease lasts: then a container that another machine's runner made is nobody's."""
_SCRATCH = "/tmp"  # noqa: S108 - the container's own
_OTHER_SCRATCH = "/var/tmp"  # noqa: S108 - likewise
_SHARED = "/dev/shm"  # noqa: S108 - likewise
_TMPFS = "rw,nosuid,nodev"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How containers are made and kept.

    hosts: engines (`unix://…`, `tcp://…`); none is DOCKER_HOST or the default socket. runtime: `runc`, `runsc`
    (gVisor), or whatever the engines know. image, polyglot_image: "" is the one that belongs to this version.
    places: items at once on each engine; 0 is one per core of it. spares: warm containers beyond that, which
    hide the making of new ones. polyglot_warm: containers with every language that are kept warm; the rest of
    the places are made when they are asked for. memory_bytes: of a container. recycle_items, recycle_seconds:
    after which a container is replaced. unavailable_seconds: how long callers wait for an engine that is down
    before they are told.
    """

    hosts: tuple[str, ...] = ()
    runtime: str = "runc"
    image: str = ""
    polyglot_image: str = ""
    places: int = 0
    spares: int = 1
    polyglot_warm: int = 1
    memory_bytes: int = 1536 * _MIB
    scratch_bytes: int = 64 * _MIB
    build_bytes: int = 256 * _MIB
    processes: int = 192
    recycle_items: int = 2000
    recycle_seconds: float = 1800.0
    unavailable_seconds: float = 20.0
    hello_seconds: float = 20.0

    def image_of(self, kind: Kind) -> str:
        """The image's name."""
        return (self.image if kind is Kind.PYTHON else self.polyglot_image) or tag(kind)

    def clamp(self, limits: RunLimits) -> RunLimits:
        """The limits, as far as a container can grant them."""
        return RunLimits(
            cpu_seconds=min(limits.cpu_seconds, 300.0),
            wall_seconds=min(limits.wall_seconds, 1000.0),
            total_cpu_seconds=min(limits.total_cpu_seconds, 1800.0),
            compile_seconds=min(limits.compile_seconds, 120.0),
            memory_bytes=min(limits.memory_bytes, self.memory_bytes - 256 * _MIB),
            output_bytes=min(limits.output_bytes, 64 * _MIB),
            file_bytes=min(limits.file_bytes, self.scratch_bytes),
            processes=min(limits.processes, self.processes - 32),
        )


def free_uid(taken: Collection[int]) -> int:
    """A user for a new container that is in none of the others; the tester's is the next number."""
    while True:
        uid = _FIRST_UID + 2 * secrets.randbelow((_LAST_UID - _FIRST_UID) // 2)
        if uid not in taken:
            return uid


def container(options: DockerOptions, kind: Kind, uid: int, name: str) -> dict[str, Any]:
    """The arguments of the engine's `create`."""
    tmpfs = {
        _SCRATCH: f"{_TMPFS},noexec,size={options.scratch_bytes},nr_inodes=16384,mode=1777",
        _OTHER_SCRATCH: f"{_TMPFS},noexec,size={16 * _MIB},nr_inodes=4096,mode=1777",
        _SHARED: f"{_TMPFS},noexec,size={16 * _MIB},nr_inodes=4096,mode=1777",
        # For the agent alone: its files, where the kernel has no memfd that is safe to hand out.
        "/run": f"{_TMPFS},noexec,size={options.scratch_bytes},nr_inodes=64,mode=0700",
    }
    if kind is Kind.POLYGLOT:
        tmpfs["/build"] = f"{_TMPFS},exec,size={options.build_bytes},nr_inodes=16384,mode=1777"
    return {
        "image": options.image_of(kind),
        "name": name,
        "hostname": "sandbox",
        "user": "0:0",
        "working_dir": _SCRATCH,
        "stdin_open": True,
        "stop_signal": "SIGKILL",  # the agent has nothing to save, and an engine that stops needn't wait for it
        "tty": False,
        "network_disabled": True,
        "command": ["--candidate-uid", str(uid), "--tester-uid", str(uid + 1)],
        "labels": {
            OWNER: owner(),
            EXPIRES: str(int(time.time() + options.recycle_seconds + _GRACE_SECONDS)),
            UID: str(uid),
        },
        "host_config": {
            "runtime": options.runtime,
            "network_mode": "none",
            "read_only": True,
            "privileged": False,
            "auto_remove": True,
            "init": False,
            "ipc_mode": "private",
            "cap_drop": ["ALL"],
            "cap_add": ["SETUID", "SETGID", "SETPCAP", "KILL"],
            "security_opt": ["no-new-privileges:true", f"seccomp={seccomp_profile()}"],
            "tmpfs": tmpfs,
            "mem_limit": options.memory_bytes,
            "memswap_limit": options.memory_bytes,
            "nano_cpus": 10**9,
            # gVisor's own kernel needs several threads of the host for each process of a program.
            "pids_limit": options.processes * (16 if options.runtime == "runsc" else 1),
            "oom_score_adj": 500,
            # (name, soft, hard). What a run may use the agent sets lower; it can raise none of these.
            "ulimits": [
                ("nofile", 1024, 1024),
                ("core", 0, 0),
                ("memlock", 65_536, 65_536),
                ("msgqueue", 0, 0),
                ("nice", 0, 0),
                ("rtprio", 0, 0),
                ("stack", 8 * _MIB, -1),
                ("fsize", 1024 * _MIB, 1024 * _MIB),
            ],
        },
    }


@cache
def owner() -> str:
    """This process, so that a later one on the same machine can tell whether it still lives."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"


def is_orphan(labels: dict[str, str], now: float) -> bool:
    """Has a container outlived its owner? Of another machine's that can't be known: there its time decides."""
    machine, _, process = labels.get(OWNER, "").rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if machine == _machine() and pid.isdigit():
        return _started(int(pid)) != process
    expires = labels.get(EXPIRES, "")
    return expires.isdigit() and int(expires) < now


@cache
def _machine() -> str:
    """This boot of this machine, and the namespace that our process ids are numbers of."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - a magic link
    except OSError:  # no Linux: another machine to everyone, so only the time counts
        return secrets.token_hex(8)


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot; "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return stat.rpartition(b")")[2].split()[19].decode()
