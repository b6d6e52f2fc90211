"""The sandbox's images: what goes into them, what they are called, and how they get onto an engine.

What is decided here: an image is named by the content that it is built from (Dockerfile, agent, the candidate's
and tester's runtimes), so a host never talks to an agent of another version, and a build that has been done is
found instead of done again. The build goes through the engine's API (the classic builder): neither the command
line client nor BuildKit is needed, and a remote engine works. Where no base image can be pulled, root on a
Debian-like machine makes one with debootstrap and imports it; the Dockerfiles are the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from reward_service.adapters.agent import agent_files, sandbox_files
from reward_service.adapters.docker_api import EngineApi, EngineError, Log

DEFAULT_BASE = "debian:bookworm-slim"
OWN_BASE = "reward-service/debian:bookworm"
LABEL = "reward-service.sandbox"
_SUITE = "bookworm"
_PACKAGES_STAGE = "packages"
_LEFT_OUT = ("./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*", "./dev/*", "./proc/*", "./sys/*")


class Kind(StrEnum):
    """Which image: Python with its packages, or every language."""

    PYTHON = "python"
    POLYGLOT = "polyglot"


class BuildError(Exception):
    """An image could not be made; the message says what to do."""


def seccomp_profile() -> str:
    """The allow-list as the JSON text that the engine's API takes."""
    return (sandbox_files() / "seccomp.json").read_text(encoding="utf-8")


@cache
def context(kind: Kind) -> Mapping[str, bytes]:
    """The build context: path -> content. Read once: a process that runs keeps to the version that it started as."""
    dockerfile = f"{kind.value}.Dockerfile"
    files = {dockerfile: (sandbox_files() / dockerfile).read_bytes()}
    return files | {f"agent/{name}": path.read_bytes() for name, path in sorted(agent_files().items())}


def tag(kind: Kind) -> str:
    """The image's name: its repository and a digest of what it is built from."""
    files = {**context(kind), **(_packages_inputs() if kind is Kind.POLYGLOT else {})}
    return f"reward-service/sandbox-{kind.value}:{_digest(files)}"


def _packages_tag() -> str:
    """The stage that both images stand on; the agent is no part of it."""
    return f"reward-service/sandbox-packages:{_digest(_packages_inputs())}"


def _packages_inputs() -> dict[str, bytes]:
    return {path: content for path, content in context(Kind.PYTHON).items() if "/" not in path}


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(b"%d:%b%d:" % (len(path), path.encode(), len(content)))
        digest.update(content)
    return digest.hexdigest()[:12]


def build(api: EngineApi, kind: Kind, *, base: str = DEFAULT_BASE, name: str = "", log: Log = print) -> str:
    """Build the image, unless the engine has it; returns its name. BuildError says why it can't be."""
    name = name or tag(kind)
    try:
        if not api.has_image(name):
            _build_all(api, kind, name, find_base(api, base, log), log)
    except EngineError as error:
        raise BuildError(f"{name}: {error}") from error
    return name


def _build_all(api: EngineApi, kind: Kind, name: str, base: str, log: Log) -> None:
    if kind is Kind.PYTHON:
        _build(api, kind, name, {"BASE": base}, log)
        return
    packages = _packages_tag()
    _build(api, Kind.PYTHON, packages, {"BASE": base}, log, target=_PACKAGES_STAGE)
    _build(api, kind, name, {"PACKAGES": packages}, log)


def _build(
    api: EngineApi, kind: Kind, name: str, arguments: dict[str, str], log: Log, target: str | None = None
) -> None:
    log(f"building {name}")
    with io.BytesIO(_tar(context(kind))) as archive:
        api.build(
            archive,
            dockerfile=f"{kind.value}.Dockerfile",
            tag=name,
            arguments=arguments,
            target=target,
            labels={LABEL: kind.value},
            log=log,
        )


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Readable by every uid, owned by root, without times: the same content is the same layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def find_base(api: EngineApi, base: str, log: Log = print) -> str:
    """An image to build on: `base` if the engine has it or can pull it, else (for the default) our own."""
    if api.has_image(base):
        return base
    if base == DEFAULT_BASE and api.has_image(OWN_BASE):
        return OWN_BASE
    try:
        log(f"pulling {base}")
        api.pull(base)
        return base
    except EngineError as error:
        if base != DEFAULT_BASE:
            raise BuildError(f"{base} is not on the engine and can't be pulled: {error}") from error
    return make_base(api, log)


def make_base(api: EngineApi, log: Log = print) -> str:
    """Debian's base system from debootstrap, imported as an image. BuildError if that can't be done here."""
    if os.geteuid() or not (debootstrap := shutil.which("debootstrap")):
        raise BuildError(
            f"{DEFAULT_BASE} can't be pulled. Without a registry the base is made with debootstrap: "
            "run this as root on Debian or Ubuntu after `apt-get install debootstrap`, or name an image "
            "that the engine has with --base."
        )
    log(f"making {OWN_BASE} with debootstrap")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # /tmp may be mounted without devices
        root = Path(folder) / "root"
        made = subprocess.run(  # noqa: S603 - our own arguments
            [debootstrap, "--variant=minbase", _SUITE, str(root)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise BuildError(f"debootstrap failed: {(made.stdout + made.stderr)[-800:]}")
        command = ["tar", "-C", str(root), "-c", *(f"--exclude={pattern}" for pattern in _LEFT_OUT), "."]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:  # noqa: S603 - as above
            if tar.stdout is not None:
                api.import_image(tar.stdout, OWN_BASE)
    if not api.has_image(OWN_BASE):
        raise BuildError(f"the engine did not import {OWN_BASE}")
    return OWN_BASE
