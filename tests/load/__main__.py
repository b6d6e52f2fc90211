"""`make bench`: every benchmark, or those named. `--write` keeps the figures that the README shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHES = sorted(path.stem.removesuffix("_bench") for path in Path(__file__).parent.glob("*_bench.py"))
TAKE_FLAGS = {"http", "scaling", "overload", "peers"}

if __name__ == "__main__":
    flags = [word for word in sys.argv[1:] if word.startswith("-")]
    names = [word for word in sys.argv[1:] if not word.startswith("-")] or BENCHES
    for name in names:
        print(f"== {name}", flush=True)
        subprocess.run(
            [sys.executable, "-m", f"tests.load.{name}_bench", *(flags if name in TAKE_FLAGS else [])],
            check=True,
        )
