"""LiveBench's rule-scored tasks, each by its own rule; the task comes in `extra_info.task`, or in the name.

What is decided here: which rule judges an item. A task that isn't known (or isn't named) is an error that
lists the known ones: the published scorer scores it 0, which cost it every item of `tablereformat` (it
expected `tableformat`, guru.md §5.2; both names are known here). LiveBench's math, coding and
instruction-following tasks belong to other handlers.

The answer stands in the last `<solution>` or box after the thinking, else where the older prompts put it, in
bold (`extract`). Partial credit only where the official rule has it: tablejoin (F1), web_of_lies_v3,
zebra_puzzle with several questions, connections and plot_unscrambling. The guru profile is LiveBench's own
code as Reasoning360 took it over (`published`), which reads the thinking too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from reward_service.handlers.livebench import language, published, puzzles, tables
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, cannot_judge

Rule = Callable[[Item], Outcome]

TASKS: Mapping[str, Rule] = {
    "cta": tables.cta,
    "tablejoin": tables.tablejoin,
    "tablereformat": tables.tablereformat,
    "tableformat": tables.tablereformat,
    "web_of_lies_v2": puzzles.web_of_lies_v2,
    "web_of_lies_v3": puzzles.web_of_lies_v3,
    "house_traversal": puzzles.house_traversal,
    "zebra_puzzle": puzzles.zebra_puzzle,
    "spatial": puzzles.spatial,
    "plot_unscrambling": language.plot_unscrambling,
    "typos": language.typos,
    "connections": language.connections,
}
PUBLISHED: Mapping[str, Rule] = {
    "cta": published.cta,
    "tablejoin": published.tablejoin,
    "web_of_lies_v2": published.web_of_lies_v2,
    "web_of_lies_v3": published.web_of_lies_v3,
    "house_traversal": published.house_traversal,
    "zebra_puzzle": published.zebra_puzzle,
    "spatial": published.spatial,
    "plot_unscrambling": published.plot_unscrambling,
    "typos": published.typos,
    "connections": published.connections,
}
"""Tasks whose published rule differs; that of tablereformat raises on every row."""

_PREFIX = re.compile(r"(?:ood__)?livebench[_/-]*")
_GOLD = "by task: a word, a list in a string, a text, a table, or for tablejoin an object of column names"


@handler(
    "livebench",
    version="1",
    domain=Domain.LOGIC,
    reads=("task", "question"),
    sources=[
        Source(
            "ood__livebench",
            _GOLD,
            Example("So: **yes, no, unknown**", "yes, no, unknown", {"task": "web_of_lies_v2"}),
        ),
        Source(
            "livebench*",
            _GOLD,
            Example(
                "So: **fig, kiwi, pear, plum, oak, elm, ash, yew**",
                "elm, ash, yew, oak, kiwi, fig, plum, pear",
                {"task": "connections"},
            ),
        ),
        Source(
            "ood__livebench*",
            _GOLD,
            Example(
                '{"Name": "name", "Born": "year"}', {"Name": "name", "Born": "year"}, {"task": "tablejoin"}
            ),
        ),
    ],
)
def plan(item: Item) -> Outcome:
    """The rule of the item's LiveBench task decides; an unknown task is an error."""
    named = item.extra_info.get("task")
    task = (named if isinstance(named, str) else _PREFIX.sub("", item.data_source, count=1)).strip().lower()
    rule = TASKS.get(task)
    if rule is None:
        known = ", ".join(TASKS)
        said = (
            f"unknown LiveBench task {task[:60]!r}"
            if task
            else "extra_info.task doesn't name the LiveBench task"
        )
        return cannot_judge(Reason.MALFORMED_ITEM, f"{said}; known are {known}")
    if item.profile is Profile.GURU:
        rule = PUBLISHED.get(task, rule)
    return rule(item)
