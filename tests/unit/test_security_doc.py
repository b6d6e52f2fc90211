"""Every test that docs/security.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def named() -> list[tuple[str, str]]:
    """(file, test or ""); `::test` alone belongs to the file before it."""
    found, file = [], ""
    for part in re.findall(r"`((?:tests/)?[a-z_/]*\.py)?(?:::(test_\w+))?`", TEXT):
        file = part[0].removeprefix("tests/") or file
        if part[0] or part[1]:
            found.append((file, part[1]))
    return [entry for entry in found if "test_" in entry[0]]


@pytest.mark.parametrize(("file", "test"), named())
def test_it_is_there(file: str, test: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert not test or re.search(rf"^(async )?def {test}\(", text, re.M)


def test_all_ten_are_answered() -> None:
    assert [f"| API{number} " in TEXT for number in range(1, 11)] == [True] * 10
    assert len(named()) > 30
