"""What the sandbox's images are made of and called, how a base is found, what the command line says, and the seccomp list."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from reward_service import sandbox_images
from reward_service.adapters.docker_api import EngineApi, EngineError
from reward_service.commands import sandbox
from reward_service.sandbox_images import (
    DEFAULT_BASE,
    OWN_BASE,
    BuildError,
    Kind,
    build,
    context,
    find_base,
    tag,
)

ROOT = Path(__file__).parents[2]


class FakeEngine:
    """An engine that has some images, can pull some, and writes down what it was asked to build."""

    def __init__(self, *images: str, pulls: tuple[str, ...] = ()) -> None:
        self.images = set(images)
        self.pulls = pulls
        self.built: list[tuple[str, str | None, dict[str, str]]] = []
        self.archives: list[bytes] = []

    def has_image(self, image: str) -> bool:
        return image in self.images

    def pull(self, image: str) -> None:
        if image not in self.pulls:
            raise EngineError("no such host")
        self.images.add(image)

    def build(
        self, archive: io.BytesIO, *, tag: str, target: str | None, arguments: dict[str, str], **_: Any
    ) -> None:
        self.images.add(tag)
        self.archives.append(archive.read())
        self.built.append((tag, target, arguments))


def api(engine: FakeEngine) -> EngineApi:
    return cast("EngineApi", engine)


def quiet(line: str) -> None: ...


# Contents and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_the_context_is_the_dockerfile_and_the_agent(kind: Kind) -> None:
    files = context(kind)
    assert files[f"{kind.value}.Dockerfile"] == (ROOT / "sandbox" / f"{kind.value}.Dockerfile").read_bytes()
    assert {"agent/agent.py", "agent/candidate.py", "agent/tester.py", "agent/values.py"} <= files.keys()
    assert all(name.startswith("agent/") or name.endswith(".Dockerfile") for name in files)


def test_names_follow_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {kind: tag(kind) for kind in Kind}
    assert names == {kind: tag(kind) for kind in Kind}
    for kind in Kind:
        assert re.fullmatch(rf"reward-service/sandbox-{kind.value}:[0-9a-f]{{12}}", names[kind])

    changed = {**context(Kind.PYTHON), "agent/agent.py": b"another"}
    monkeypatch.setattr(
        sandbox_images, "context", lambda kind: changed if kind is Kind.PYTHON else context(kind)
    )
    assert tag(Kind.PYTHON) != names[Kind.PYTHON]
    assert tag(Kind.POLYGLOT) == names[Kind.POLYGLOT], "Python's agent is no part of it: it brings its own"
    changed["python.Dockerfile"] = b"FROM another"
    assert tag(Kind.POLYGLOT) != names[Kind.POLYGLOT], "its packages are"


def test_what_is_built_is_readable_by_every_user_and_has_no_times() -> None:
    engine = FakeEngine(DEFAULT_BASE)
    build(api(engine), Kind.PYTHON, log=quiet)
    with tarfile.open(fileobj=io.BytesIO(engine.archives[0])) as archive:
        entries = archive.getmembers()
    assert {(entry.mode, entry.uid, entry.mtime) for entry in entries} == {(0o644, 0, 0)}
    assert {entry.name for entry in entries} == set(context(Kind.PYTHON))


def test_an_image_is_built_once() -> None:
    engine = FakeEngine(DEFAULT_BASE)
    name = build(api(engine), Kind.PYTHON, log=quiet)
    assert build(api(engine), Kind.PYTHON, log=quiet) == name == tag(Kind.PYTHON)
    assert engine.built == [(name, None, {"BASE": DEFAULT_BASE})]


def test_the_polyglot_image_stands_on_the_packages_of_the_other() -> None:
    engine = FakeEngine("my/base:1")
    name = build(api(engine), Kind.POLYGLOT, base="my/base:1", name="mine:2", log=quiet)
    (packages, target, arguments), last = engine.built
    assert (target, arguments) == ("packages", {"BASE": "my/base:1"})
    assert last == ("mine:2", None, {"PACKAGES": packages})
    assert name == "mine:2"


# A base to build on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "base", "found"),
    [
        (FakeEngine(DEFAULT_BASE), DEFAULT_BASE, DEFAULT_BASE),
        (FakeEngine(OWN_BASE), DEFAULT_BASE, OWN_BASE),
        (FakeEngine(pulls=(DEFAULT_BASE,)), DEFAULT_BASE, DEFAULT_BASE),
        (FakeEngine("my/base:1"), "my/base:1", "my/base:1"),
        (FakeEngine(pulls=("my/base:1",)), "my/base:1", "my/base:1"),
    ],
)
def test_a_base_that_is_there_or_can_be_pulled(engine: FakeEngine, base: str, found: str) -> None:
    assert find_base(api(engine), base, quiet) == found


def test_a_base_that_somebody_named_is_not_replaced() -> None:
    with pytest.raises(BuildError, match=r"my/base:1.*no such host"):
        find_base(api(FakeEngine(OWN_BASE)), "my/base:1", quiet)


@pytest.mark.parametrize("lacking", ["root", "debootstrap"])
def test_without_registry_and_debootstrap_it_says_what_to_do(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000 if lacking == "root" else 0)
    monkeypatch.setattr(
        "shutil.which", lambda _: None if lacking == "debootstrap" else "/usr/sbin/debootstrap"
    )
    with pytest.raises(BuildError, match=r"as root on Debian.*debootstrap.*--base"):
        find_base(api(FakeEngine()), DEFAULT_BASE, quiet)


# The command line --------------------------------------------------------------------------------------------------


def test_build_without_an_engine_says_so() -> None:
    done = CliRunner().invoke(sandbox.app, ["build", "--host", "unix:///nowhere/docker.sock"])
    assert done.exit_code == 1
    assert "nowhere/docker.sock" in done.stderr
    assert not done.stdout


def test_status_with_nothing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.adapters.bubblewrap.missing", lambda: "bubblewrap is not installed")
    done = CliRunner().invoke(sandbox.app, ["status", "--host", "unix:///nowhere/docker.sock"])
    assert done.exit_code == 1
    assert "none: unix:///nowhere/docker.sock" in done.stdout
    assert "apt-get install docker.io" in done.stderr


def test_status_with_bubblewrap_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.adapters.bubblewrap.missing", lambda: "")
    done = CliRunner().invoke(sandbox.app, ["status", "--host", "unix:///nowhere/docker.sock"])
    assert done.exit_code == 0
    assert "ready" in done.stdout


GOOD = {"SecurityOptions": ["name=seccomp,profile=default"], "SwapLimit": True, "PidsLimit": True}


@pytest.mark.parametrize(
    ("info", "runc", "said"),
    [
        (GOOD, "1.1.12", None),
        (GOOD, "1.1.5+ds1", None),
        (GOOD, "1.2.0-rc.1", None),
        (GOOD, "", None),
        (GOOD, "1.1.4", "runc 1.1.4 is old"),
        (GOOD, "1.0.0-rc95", "runc 1.0.0-rc95 is old"),
        (GOOD | {"SecurityOptions": []}, "1.2.0", "no seccomp"),
        (GOOD | {"SwapLimit": False}, "1.2.0", "swap"),
        (GOOD | {"PidsLimit": False}, "1.2.0", "processes"),
    ],
)
def test_what_weakens_the_sandbox_is_said(
    info: dict[str, Any], runc: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = sandbox.warnings(info, {"runc": runc})
    assert (len(found) == 1 and said in found[0]) if said else not found


# System calls --------------------------------------------------------------------------------------------------------

PROFILE = json.loads((ROOT / "sandbox" / "seccomp.json").read_text())
ALLOWED = {
    name for rule in PROFILE["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule for name in rule["names"]
}  # fmt: skip
NEVER = """
io_uring_setup io_uring_enter io_uring_register io_setup io_submit ptrace process_vm_readv process_vm_writev
process_madvise kcmp pidfd_getfd bpf perf_event_open userfaultfd keyctl add_key request_key mount umount2 move_mount
open_tree fsopen fsmount fsconfig fspick mount_setattr pivot_root chroot unshare setns swapon swapoff reboot
kexec_load kexec_file_load init_module finit_module delete_module acct quotactl syslog iopl ioperm modify_ldt
open_by_handle_at name_to_handle_at fanotify_init memfd_secret vmsplice splice tee execveat shmget shmat shmctl semget
semop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink settimeofday clock_settime clock_adjtime adjtimex
sethostname setdomainname sched_setscheduler sched_setattr setxattr lookup_dcookie nfsservctl uselib vhangup
"""


def test_what_is_not_listed_is_refused() -> None:
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert len(ALLOWED) > 150
    assert not ALLOWED & set(NEVER.split())
    assert all(entry["subArchitectures"] == [] for entry in PROFILE["archMap"]), "no 32-bit calls"


def test_each_call_has_one_rule_but_for_alternatives_of_arguments() -> None:
    plain = [name for rule in PROFILE["syscalls"] if "args" not in rule for name in rule["names"]]
    assert len(plain) == len(set(plain))
    filtered = {name for rule in PROFILE["syscalls"] if "args" in rule for name in rule["names"]}
    assert filtered == {"socket", "socketpair", "clone", "memfd_create", "mknod", "mknodat", "personality"}
    assert not filtered & set(plain), "a rule without arguments would make the other one void"
