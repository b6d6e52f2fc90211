"""The bill of materials (`make sbom`) names what the lock file pins, each with its hashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "runtime.txt"


def test_it_names_every_pinned_package_with_its_hashes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "cyclonedx_py",
        "requirements",
        str(LOCK),
        "--output-reproducible",
    ]
    subprocess.run([*command, "-o", str(tmp_path / "sbom.json")], check=True, capture_output=True)
    bill = json.loads((tmp_path / "sbom.json").read_text())
    pinned = set(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", LOCK.read_text(), re.M))
    assert len(pinned) > 50
    assert {(part["name"], part["version"]) for part in bill["components"]} == pinned
    assert all(part["externalReferences"][0]["hashes"] for part in bill["components"])


def test_everything_that_is_installed_is_pinned_with_hashes() -> None:
    for path in (LOCK, ROOT / "requirements" / "dev.txt"):
        blocks = re.split(r"\n(?=[a-z0-9])", path.read_text().strip())
        assert all("==" in block and "--hash=sha256:" in block for block in blocks), path.name
