"""What is shown: hostile text can only be read, and errors are named."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from reward_service.analysis.summary import Summary
from reward_service.bulk import Progress
from reward_service.commands import terminal as module
from reward_service.commands.explained import show_explained
from reward_service.commands.terminal import as_json, progress, show_summary
from reward_service.engine.scorer import Row, Scored
from reward_service.gateway.explanation import explanation
from reward_service.registry import Registry
from reward_service.types import Reason, reject
from reward_service.visible import clean

HOSTILE = "\x1b]52;c;ZXZpbA==\x07[red]\x9b2J\u202eevil\x7f\ud800[/red]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢字 \n\t", "plain ä 漢字 \n\t"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\u202e\x9b\r\x00\ud800", "\\u202e\\u009b\\u000d\\u0000\\ud800"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_json_stays_json() -> None:
    assert json.loads(as_json({"a": HOSTILE})) == {"a": HOSTILE}
    assert "\x9b" not in as_json({"a": HOSTILE})


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for code in ("\x1b[1m", "\x1b[0m", "\x1b[3m"):  # rich's own: bold, italic
        text = text.replace(code, "")
    return text


def test_a_hostile_item_is_only_shown() -> None:
    console = terminal()
    account = {
        "part": [0, len(HOSTILE)],
        "found": [{"rule": HOSTILE, "start": 0, "end": 5}],
        "forms": [{"what": HOSTILE, "answer": HOSTILE, "ground_truth": HOSTILE}],
        "comparators": [{"comparator": HOSTILE, "said": "equal", "note": HOSTILE}],
        "checks": [{"name": HOSTILE, "passed": False, "got": HOSTILE, "stderr": HOSTILE}],
        "missing": HOSTILE,
        "more": {"checks": 2},
    }
    outcome = reject(
        Reason.NOT_EQUAL, HOSTILE, flags=("f",), trace={HOSTILE: 1, "narrated": account}, **{"[red]": HOSTILE}
    )
    row = Row(HOSTILE, HOSTILE, [HOSTILE])
    told = explanation(row, Scored(outcome, "unknown", "unknown"), Registry())
    show_explained(console, told)
    assert "[red]" in shown(console)
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x7f"} & set(shown(console))


def test_a_hostile_dump_is_only_shown() -> None:
    console, summary = terminal(), Summary()
    error = {
        "status": "error",
        "score": None,
        "correct": None,
        "reason": "malformed_item",
        "flags": [HOSTILE],
    }
    error |= {"handler": "", "version": "", "detail": {"message": HOSTILE}}
    right = {**error, "status": "scored", "score": 1.0, "correct": True, "reason": "equal"}
    summary.add(7, HOSTILE, error)
    for _ in range(2):
        summary.add(8, HOSTILE, right, 1, 0.5)
    show_summary(console, summary, HOSTILE)
    summary.close()
    assert "1 × malformed_item" in shown(console) and "line 7" in shown(console)
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x7f"} & set(shown(console))


def test_pass_at_k_of_many_samples_fits_a_terminal() -> None:
    console, summary = terminal(), Summary()
    right = {"status": "scored", "score": 1.0, "correct": True, "reason": "equal", "flags": [], "handler": ""}
    for _ in range(1_100):
        summary.add(1, "a", right, 1)
    show_summary(console, summary, "prompt_id")
    summary.close()
    assert [k for k in range(2_000) if f"pass@{k} " in shown(console)] == [1, 2, 4, 8, 16, 32, 64, 1024]


# Progress


def test_a_terminal_gets_a_bar_with_rate_and_eta() -> None:
    console = terminal()
    with progress(console, "[red]dump.jsonl", quiet=False) as watch:
        watch(Progress(1_500, 500, 300, 1_000))
    text = shown(console)
    assert "[red]dump.jsonl" in text and "30%" in text and "1,500 rows" in text and "ETA" in text


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    console, now = Console(file=io.StringIO(), width=80), [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(console, "dump", quiet=False) as watch:
        for second in range(1, 25):
            now[0] = 100.0 + second
            watch(Progress(1_000 * second + 500, 500, second, None if second < 15 else 50))
    assert shown(console) == "10,500 rows, 1,000 rows/s\n20,500 rows, 40 % read, 1,000 rows/s\n"


def test_quiet_is_quiet() -> None:
    console = terminal()
    with progress(console, "dump", quiet=True) as watch:
        watch(Progress(1, 0, 1, 1))
    assert shown(console) == ""
