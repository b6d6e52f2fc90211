"""The report as a user makes it and as a browser shows it: from a file, with nothing asked for and nothing run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.gateway.browser import PHONE, watched
from tests.gateway.test_cli import call

HOSTILE = "</pre></details><script>document.title = 'owned'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three domains are scored, and reported on, by the command; every fifth one attacks who looks at it."""
    place = tmp_path_factory.mktemp("report")
    rng = random.Random(5)
    rows = []
    for number in range(240):
        prompt, right = number // 8, rng.random() < 0.6
        source, answer, gold = [
            ("logic__graph_logical_dataset", "<answer>{}</answer>", "owl"),
            ("table__hitab", "\\boxed{{{}}}", "12"),
            ("math", "\\boxed{{{}}}", "34"),
        ][prompt % 3]
        attack = HOSTILE if number % 5 == 0 else ""
        response = f"<think>{'well, ' * rng.randrange(40)}{attack}</think>" + (
            answer.format(gold if right else "cat") if number % 9 else attack
        )
        rows.append(
            {
                "id": number,
                "data_source": source,
                "prompt_id": prompt,
                "prompt": f"{prompt}{attack}",
                "response": response,
                "ground_truth": gold,
            }
        )
    rows += [{**rows[0], "data_source": f"logic__grahp{HOSTILE}"}] * 3
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "b.jsonl").write_text("".join(json.dumps({**row, "outcome": 1.0}) + "\n" for row in rows[:200]))
    assert call("score", place / "a.jsonl", "-o", place / "scored.parquet", "--timings").returncode == 3
    done = call(
        "report", place / "scored.parquet", "-o", place / "report.html", "--before", place / "b.jsonl"
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "243 rows, 3 of them not judged" in done.stderr
    return place


def test_the_page_says_what_the_rows_say(pages: Path) -> None:
    page = (pages / "report.html").read_text()
    assert page.count("<section") == 12  # no row is flagged
    for text in (
        "3 of 243 rows (1.2 %) were not judged",
        "pass@8",
        "unknown_data_source",
        "200 rows are in both",
        "Slowest rows",
    ):
        assert text in page
    assert "This dump holds no times" not in page
    assert not list(pages.glob("*.tmp"))


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "options"),
    [("report-light", {}), ("report-dark", {"color_scheme": "dark"}), ("report-phone", {"viewport": PHONE})],
)
def test_in_a_browser(browser: Browser, pages: Path, name: str, options: dict[str, object]) -> None:
    with watched(browser, f"file://{pages}", **options) as found:
        asked: list[str] = []
        found.page.on("request", lambda request: asked.append(request.url))
        page = found.open("/report.html")
        for row in page.locator("details.sample > summary").all()[:12]:
            row.click()
        assert page.title() == "Rewards of scored.parquet"
        assert asked == [f"file://{pages}/report.html"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("mark").count() > 0
        serious = [
            one["id"]
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        found.keep(name)


@pytest.mark.browser
def test_on_paper(browser: Browser, pages: Path) -> None:
    """Closed rows and tables that scroll are printed whole."""
    with watched(browser, f"file://{pages}") as found:
        page = found.open("/report.html")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight") == "none"
        assert (
            page.evaluate("document.querySelector('details.sample pre').getBoundingClientRect().height") > 10
        )
        assert page.pdf().startswith(b"%PDF")


def test_a_dump_that_was_not_scored_is_refused(pages: Path) -> None:
    done = call("report", pages / "a.jsonl", "-o", pages / "no.html")
    assert done.returncode == 2 and "score the dump first" in done.stderr
    assert not (pages / "no.html").exists()


def test_the_filter_by_the_command(pages: Path) -> None:
    """What was scored above, as one model; the misspelt data source was never judged, so exit code 3."""
    out = pages / "kept.parquet"
    done = call("filter", pages / "scored.parquet", "--weak-max", "0.9", "--strong-min", "1/16", "-o", out)
    assert done.returncode == 3, done.stderr
    told = json.loads((pages / "kept.parquet.summary.json").read_text())
    total = told["total"]
    assert total["prompts"] == 31 and total["undecided"] == total["undecided_because_of_errors"] == 1
    assert total["kept"] + total["too_easy"] + total["impossible"] == 30
    assert f"{total['rows_kept']:,} rows of {total['kept']} prompts kept" in done.stdout
    assert pq.read_metadata(out).num_rows == total["rows_kept"] == 8 * total["kept"]
    bad = call("filter", pages / "scored.parquet", "--weak-max", "9/10x", "-o", pages / "no.jsonl")
    assert bad.returncode == 2 and "write 0.9 or 1/16" in bad.stderr and not (pages / "no.jsonl").exists()
