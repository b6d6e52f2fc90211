"""The plug-in template: installed as a user would, found through its entry points, judged in the pool, and its own tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plug-in is installed from its source, with what is here and nothing else."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index",
         "--no-build-isolation", "--target", str(target), str(PLUGIN)],
        check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    return target


def run(site: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_through_its_entry_points(site: Path) -> None:
    said = run(
        site,
        "-c",
        "import json; from reward_service.registry import load; print(json.dumps(sorted(load().handlers)))",
    )
    assert {"skyscrapers", "constraints", "math", "gym"} <= set(json.loads(said))


def test_it_is_judged_in_the_pool(site: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    clues = {"top": [3, 2, 1], "bottom": [1, 2, 2], "left": [3, 2, 1], "right": [1, 2, 2]}
    responses = ["<answer>1 2 3\n2 3 1\n3 1 2</answer>", "<answer>3 2 1\n2 1 3\n1 3 2</answer>"]
    rows.write_text(
        "".join(
            json.dumps({"data_source": "synlogic__skyscrapers", "response": response, "ground_truth": clues})
            + "\n"
            for response in responses
        )
    )
    scored = tmp_path / "scored.jsonl"
    run(site, "-m", "reward_service.cli", "score", str(rows), "-o", str(scored))
    assert [json.loads(line)["outcome"]["score"] for line in scored.read_text().splitlines()] == [1.0, 0.0]


def test_its_own_tests_pass(site: Path) -> None:
    said = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN / "tests"))
    assert re.search(r"\d+ passed", said)


def test_it_is_audited_as_our_own_handlers_are(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_SERVICE_SANDBOX", "none")
    audit = (
        "-m",
        "reward_service.cli",
        "audit",
        "--examples",
        "--processes",
        "1",
        "-d",
        "synlogic__skyscrapers",
    )
    said = run(site, *audit)
    assert "no violation" in said


def test_the_page_shows_the_code_that_is_tested() -> None:
    """Every Python block of docs/plugins.md that names a file is a piece of that file."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    shown = re.findall(r"`(examples/plugin/[\w/.]+)`:\n\n```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    assert len(shown) >= 3
    for name, code in shown:
        assert code.strip() in (ROOT / name).read_text(), name
