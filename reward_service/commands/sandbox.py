"""`reward-service sandbox …`: build the images, and say what this machine can run untrusted code in.

What is decided here: exit codes. `build`: 0 the images are there, 1 they can't be made. `status`: 0 something can
run code, 1 nothing can; then it says what to install.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

app = typer.Typer(help="The sandbox: build its images, see what it runs in.", no_args_is_help=True)

_INSTALL = (
    "Nothing here can run untrusted code, and it never runs without a sandbox. Install Docker (Debian, Ubuntu: "
    "apt-get install docker.io), then `reward-service sandbox build`; or bubblewrap (apt-get install bubblewrap)."
)
_MIN_RUNC = (1, 1, 5)
"""Older ones let a container reach the host (CVE-2024-21626 is fixed in 1.1.12; Debian's 1.1.5+ds1-1+deb12u1 has
the fix without the number, so this is a floor and no proof)."""


@app.command()
def build(
    polyglot: Annotated[
        bool, typer.Option("--polyglot", help="The image with every language as well.")
    ] = False,
    base: Annotated[
        str, typer.Option(help="Image to build on. If the default can't be pulled, debootstrap makes one.")
    ] = "debian:bookworm-slim",
    tag: Annotated[
        str, typer.Option(help="Name of the Python image (polyglot: with -polyglot at its end).")
    ] = "",
    host: Annotated[str, typer.Option(help="The engine.", show_default="DOCKER_HOST")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the images' names only.")] = False,
) -> None:
    """Build the sandbox's images on the engine, unless they are there."""
    from reward_service.adapters.docker_api import EngineApi, EngineError
    from reward_service.sandbox_images import BuildError, Kind
    from reward_service.sandbox_images import build as build_image

    def log(line: str) -> None:
        if not quiet:
            typer.echo(line, err=True)

    kinds = [Kind.PYTHON, Kind.POLYGLOT] if polyglot else [Kind.PYTHON]
    try:
        for kind in kinds:
            name = f"{tag}-{kind.value}" if tag and kind is not Kind.PYTHON else tag
            typer.echo(build_image(EngineApi(host), kind, base=base, name=name, log=log))
    except (BuildError, EngineError) as error:
        typer.echo(f"reward-service: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def status(
    host: Annotated[str, typer.Option(help="The engine.", show_default="DOCKER_HOST")] = "",
) -> None:
    """Engine, runtimes, images, bubblewrap: what is there and what is missing."""
    from reward_service.adapters import bubblewrap

    lines, usable = engine_status(host)
    lacking = bubblewrap.missing()
    lines.append(("bubblewrap", lacking or "ready"))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        typer.echo(f"{name:{width}}  {text}")
    if not usable and lacking:
        typer.echo(_INSTALL, err=True)
        raise typer.Exit(1)


def engine_status(host: str = "") -> tuple[list[tuple[str, str]], bool]:
    """(what to show, can this engine run Python programs)."""
    from reward_service.adapters.docker_api import EngineApi, EngineError, hosts
    from reward_service.sandbox_images import Kind
    from reward_service.sandbox_images import tag as image_tag

    api = EngineApi(host or hosts()[0], seconds=10)
    try:
        info, components = api.info(), api.components()
        images = {kind: api.has_image(image_tag(kind)) for kind in Kind}
    except EngineError as error:
        return [("engine", f"none: {error}")], False
    lines = [
        ("engine", f"{info.get('ServerVersion')} at {api.host}, {info.get('NCPU')} cores"),
        ("storage", str(info.get("Driver"))),
        ("cgroups", f"version {info.get('CgroupVersion', 1)}"),
        ("runtimes", ", ".join(sorted(info.get("Runtimes") or {}))),
    ]
    lines += [("warning", text) for text in warnings(info, components)]
    for kind, there in images.items():
        flag = " --polyglot" if kind is Kind.POLYGLOT else ""
        missing = f"missing: reward-service sandbox build{flag}"
        lines.append((f"{kind.value} image", image_tag(kind) if there else missing))
    return lines, images[Kind.PYTHON]


def warnings(info: dict[str, Any], components: dict[str, str]) -> list[str]:
    """What weakens the sandbox on this engine."""
    found = []
    if not any("seccomp" in str(option) for option in info.get("SecurityOptions") or []):
        found.append("the engine has no seccomp: system calls are not filtered")
    if not info.get("SwapLimit", True):
        found.append("the engine can't limit swap: memory limits are not exact")
    if not info.get("PidsLimit", True):
        found.append("the engine can't limit processes")
    runc = components.get("runc", "")
    numbers = tuple(int(part) for part in runc.split("+")[0].split("-")[0].split(".") if part.isdigit())
    if numbers and numbers < _MIN_RUNC:
        found.append(f"runc {runc} is old: known ways out of a container are open")
    if os.environ.get("DOCKER_HOST", "").startswith("tcp://") and not os.environ.get("DOCKER_TLS_VERIFY"):
        found.append("the engine is reached without TLS: whoever can reach it owns its machine")
    return found
