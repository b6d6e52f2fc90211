"""`python -m tests.deploy.wheelhouse`: the wheels that the service's image is built from where a build reaches no index.

What is decided here: the very files that requirements/runtime.txt names, by hash, for the image's Python (Debian 12's
3.11.2, for which one more package counts than for a later one).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "deploy" / "images" / "wheelhouse"
_LATER = re.compile(r" ; python_full_version < '3\.11\.\d+'")


def fill() -> None:
    """Download what is missing."""
    requirements = _LATER.sub("", (ROOT / "requirements" / "runtime.txt").read_text())
    pip = [sys.executable, "-m", "pip", "download", "-qqq", "--no-deps", "--dest", str(WHEELS)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        subprocess.run([*pip, "--require-hashes", "--requirement", file.name], check=True)


if __name__ == "__main__":
    fill()
