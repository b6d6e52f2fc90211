"""What can be seen without asking anybody: Python, limits, disk, port, keys, and settings that contradict each other."""

from __future__ import annotations

import errno
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from reward_service.doctor import Check, Finding, bad, ok, skip, warn
from reward_service.gateway.access import is_loopback, keys_by
from reward_service.server import CannotListen, listen
from reward_service.settings import Settings

FILES_NEEDED = 4_096
PIDS_NEEDED = 512
PROCESS_BYTES = 400 << 20
"""What a checking process with its libraries may grow to before it is recycled, roughly."""
GIB = 1 << 30


def python(_: Settings) -> list[Finding]:
    """The interpreter."""
    return [
        ok("python", f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}")
    ]


def settings_fit(settings: Settings) -> list[Finding]:
    """Settings that contradict each other, or that do nothing."""
    name = "settings"
    found = []
    if settings.engine == "fleet" and not settings.redis_url:
        found.append(bad(name, "engine=fleet without Redis", "Set REWARD_SERVICE_REDIS_URL, or engine=embedded."))  # fmt: skip
    if settings.judge_urls.strip() and not settings.judge_model:
        found.append(bad(name, "judge_urls without judge_model", "Set REWARD_SERVICE_JUDGE_MODEL."))
    if settings.cache_redis_url and not settings.redis_url:
        found.append(warn(name, "cache_redis_url without redis_url is not used", "Set REWARD_SERVICE_REDIS_URL as well."))  # fmt: skip
    if settings.deadline_seconds > settings.max_deadline_seconds:
        found.append(warn(name, "deadline_seconds is longer than max_deadline_seconds", "Raise max_deadline_seconds."))  # fmt: skip
    if settings.max_body_bytes > settings.max_decoded_bytes:
        found.append(warn(name, "max_body_bytes is more than max_decoded_bytes", "Bodies end at the smaller of the two."))  # fmt: skip
    if settings.max_items > settings.max_in_flight:
        found.append(warn(name, "max_items is more than max_in_flight", "A batch of that size runs alone; raise max_in_flight."))  # fmt: skip
    if settings.redis_url and not settings.files_dir:
        found.append(
            warn(
                name,
                "Redis is shared, uploaded files are not: files_dir is a temporary directory",
                "With several gateways set REWARD_SERVICE_FILES_DIR to a shared one, or create batches from NDJSON bodies.",
            )
        )
    cores = cpus()
    if settings.processes > 2 * cores:
        found.append(warn(name, f"{settings.processes} checking processes on {cores:g} cores", "Leave REWARD_SERVICE_PROCESSES at 0."))  # fmt: skip
    return found or [ok(name, "nothing contradicts")]


def api_keys(settings: Settings) -> list[Finding]:
    """Who may call."""
    name = "keys"
    try:
        keys = keys_by(settings)
    except ValueError as error:
        return [bad(name, str(error).partition("\n")[0], "reward-service keys create NAME --scope score, and REWARD_SERVICE_KEYS_FILE; or REWARD_SERVICE_AUTH=off.")]  # fmt: skip
    if keys is None:
        if is_loopback(settings.host):
            return [ok(name, f"off: only this machine reaches {settings.host}")]
        return [warn(name, f"off, and others reach {settings.host}", "Only right if something in front of the service authenticates.")]  # fmt: skip
    path = Path(settings.keys_file)
    found = []
    mode = path.stat().st_mode
    if mode & 0o077:
        found.append(warn(name, f"{path} has the mode {mode & 0o777:o}", f"chmod 600 {path}"))
    soon = [key for key in keys.all() if key.expires and key.expires < time.time() + 7 * 86_400]
    found += [warn(name, f"{key.id} of {key.name} expires within a week", "Make another of the same name, then revoke this one.") for key in soon]  # fmt: skip
    return found or [ok(name, f"{len(keys)} in {path}")]


def port(settings: Settings) -> list[Finding]:
    """Can the address be had?"""
    where = f"{settings.host} port {settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except CannotListen as error:
        taken = os.strerror(errno.EADDRINUSE) in str(error)
        return [warn("port", str(error), "Fine if the service runs already; else REWARD_SERVICE_PORT.") if taken
                else bad("port", str(error), "Set REWARD_SERVICE_HOST to an address of this machine.")]  # fmt: skip
    return [ok("port", f"{where} is free")]


def limits(settings: Settings) -> list[Finding]:
    """What the kernel lets this user have."""
    found = []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < FILES_NEEDED:
        found.append(warn("open files", f"at most {files}", "ulimit -n 65536 (systemd: LimitNOFILE=65536): a trainer may open a connection per sample."))  # fmt: skip
    else:
        found.append(ok("open files", "unlimited" if files == resource.RLIM_INFINITY else f"at most {files}"))
    tasks = number_in("pids.max", "pids")
    if tasks is not None and tasks < PIDS_NEEDED:
        found.append(warn("processes", f"the control group allows {tasks}", "Allow 512 and more (docker run --pids-limit, systemd TasksMax)."))  # fmt: skip
    processes = settings.processes or max(1, round(cpus()))
    cores = os.cpu_count() or 1
    seen = f"{cpus():g} of {cores} cores, {processes} checking processes"
    if cpus() < cores and not settings.processes:
        found.append(warn("cpu", seen + f" would be {cores}: the control group's quota is less", f"Set REWARD_SERVICE_PROCESSES={max(1, round(cpus()))}."))  # fmt: skip
    else:
        found.append(ok("cpu", seen))
    memory = memory_bytes()
    wanted = (processes + settings.spare_processes + 1) * PROCESS_BYTES
    seen = f"{memory / GIB:.1f} GiB to be had"
    if memory < wanted:
        found.append(warn("memory", seen + f"; {processes} checking processes may want {wanted / GIB:.1f}", "Fewer REWARD_SERVICE_PROCESSES, or more memory."))  # fmt: skip
    else:
        found.append(ok("memory", seen))
    return found


def disk(settings: Settings) -> list[Finding]:
    """Room for uploaded files and for what streams don't fetch in time."""
    found = []
    for name, folder in (("temporary files", tempfile.gettempdir()), ("uploaded files", settings.files_dir)):
        if not folder:
            continue
        path = Path(folder)
        if name == "uploaded files" and not (path.is_dir() and os.access(path, os.W_OK)):
            found.append(
                bad(name, f"{folder} can't be written", f"mkdir -p {folder}, and let this user own it.")
            )
            continue
        usage = shutil.disk_usage(path)
        seen = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free in {folder}"
        if usage.free < 2 * GIB or usage.free < usage.total / 20:
            found.append(warn(name, seen, "Make room, or set TMPDIR or REWARD_SERVICE_FILES_DIR to a larger disk."))  # fmt: skip
        else:
            found.append(ok(name, seen))
    if not settings.files_dir:
        found.append(skip("uploaded files", "in a temporary directory, gone when the service ends"))
    return found


def cpus() -> float:
    """Cores that this process may use: by affinity, and by the quota of its control group."""
    allowed = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)  # fmt: skip
    text = cgroup_file("cpu.max", "cpu").split()
    if len(text) == 2 and text[0] != "max":
        return min(allowed, int(text[0]) / int(text[1]))
    quota, period = cgroup_file("cpu.cfs_quota_us", "cpu"), cgroup_file("cpu.cfs_period_us", "cpu")
    if quota.isdigit() and period.isdigit():
        return min(allowed, int(quota) / int(period))
    return allowed


def memory_bytes() -> int:
    """Bytes that this process may still have, by the machine and by its control group."""
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) << 10
    limit = number_in("memory.max", "memory") or number_in("memory.limit_in_bytes", "memory")
    return min(available, limit) if limit and available else (limit or available)


def number_in(name: str, controller: str) -> int | None:
    """A number of this process's control group; None for none."""
    text = cgroup_file(name, controller)
    return int(text) if text.isdigit() else None


def cgroup_file(name: str, controller: str) -> str:
    """A file of this process's control group, of version 2 or 1; "" if there is none."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folders = [root / path.lstrip("/"), root]
        elif controller in controllers.split(","):
            folders = [root / controller / path.lstrip("/"), root / controller]
        else:
            continue
        for folder in folders:
            try:
                return (folder / name).read_text().strip()
            except OSError:
                continue
    return ""


CHECKS: tuple[Check, ...] = (python, settings_fit, api_keys, port, limits, disk)
