"""The generated tables in the documents are what the code says."""

from __future__ import annotations

import pytest

from tests.tables import DOCUMENTS, ROOT, TABLES, rendered


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_table_has_drifted(path) -> None:
    text = path.read_text()
    assert rendered(text) == text, "run `make tables`"


def test_the_readme_has_every_table() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    for name in TABLES:
        assert f"<!-- table: {name} -->" in text
