"""Names: which handler a data source goes to, under which of its names, and what is never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import MAX_NAME, Handler, Registry, Source, handler, load, short_name
from reward_service.runs import RunResult, Work
from reward_service.types import Domain, Example, Item, Limits, Outcome, accept
from tests.cost import cpu_within

EXAMPLE = Example("x", "x")


def source(name: str, *aliases: str) -> Source:
    return Source(name, "any", EXAMPLE, aliases)


def plan(item: Item) -> Outcome:
    """Accepts everything."""
    return accept(item.response)


def made(name: str, *sources: Source) -> Handler:
    return Handler(name, "1", Domain.LOGIC, plan, sources, (), Limits(), "Accepts everything.")


def registry(*handlers: Handler) -> Registry:
    into = Registry()
    for one in handlers:
        into.add(one)
    return into


PUZZLES = registry(
    made("zebra", source("logic__zebra_puzzle_dataset", "zebralogic", "puzzle/zebra")),
    made("grid", source("simulation__arcagi1", "arc_agi_1"), source("simulation__arcagi2")),
    made("tables", source("table__*", "hitab_all"), source("table__special")),
    made("tables_of_two", source("table__two__*")),
)


@pytest.mark.parametrize(
    ("name", "handler_name", "canonical"),
    [
        ("logic__zebra_puzzle_dataset", "zebra", "logic__zebra_puzzle_dataset"),
        ("  Logic__ZEBRA_puzzle_dataset\n", "zebra", "logic__zebra_puzzle_dataset"),
        ("zebra_puzzle", "zebra", "logic__zebra_puzzle_dataset"),
        ("zebra-puzzle", "zebra", "logic__zebra_puzzle_dataset"),
        ("zebra puzzle", "zebra", "logic__zebra_puzzle_dataset"),
        ("logic__zebra_puzzle_1.3k", "zebra", "logic__zebra_puzzle_dataset"),
        ("logic__zebra_puzzle_dataset_repeated_4x", "zebra", "logic__zebra_puzzle_dataset"),
        ("ood__zebra_puzzle_200", "zebra", "logic__zebra_puzzle_dataset"),
        ("zebralogic", "zebra", "logic__zebra_puzzle_dataset"),
        ("simulation__zebralogic_500", "zebra", "logic__zebra_puzzle_dataset"),
        ("puzzle/zebra", "zebra", "logic__zebra_puzzle_dataset"),
        ("logic__arcagi1", "grid", "simulation__arcagi1"),
        ("arcagi1", "grid", "simulation__arcagi1"),
        ("logic__arcagi1_297", "grid", "simulation__arcagi1"),
        ("arcagi2", "grid", "simulation__arcagi2"),
        ("table__special", "tables", "table__special"),
        ("table__anything", "tables", "table__anything"),
        ("table__two__anything", "tables_of_two", "table__two__anything"),
        ("hitab_all", "tables", "hitab_all"),
    ],
)
def test_finds(name: str, handler_name: str, canonical: str) -> None:
    route = PUZZLES.route(name)
    assert route is not None
    assert (route.handler.name, route.data_source) == (handler_name, canonical)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "_",
        "__",
        "zebra",
        "puzzle",
        "arcagi",
        "arcagi3",
        "arc",
        "tables",
        "two__x",
        "*",
        "table__"[:-1],
    ],
)
def test_never_guesses(name: str) -> None:
    assert PUZZLES.route(name) is None


def test_the_longest_pattern_wins_however_they_were_registered() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        patterns = [made("a", source("x*")), made("b", source("x__*")), made("c", source("x__y*"))]
        into = registry(*(patterns[place] for place in order))
        found = [into.route(name) for name in ("xx", "x__", "x__z", "x__yy")]
        assert [route.handler.name for route in found if route] == ["a", "b", "b", "c"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (made("a", source("x")), made("a", source("y"))),
        (made("a", source("x")), made("b", source("x"))),
        (made("a", source("x")), made("b", source("y", "x"))),
        (made("a", source("y", "x")), made("b", source("x"))),
        (made("a", source("x*")), made("b", source("x*"))),
        (made("a", source("x*", "n")), made("b", source("n"))),
    ],
)
def test_a_taken_name_is_refused(first: Handler, second: Handler) -> None:
    into = registry(first)
    with pytest.raises(ValueError, match=r"taken by handler 'a'|handler named 'a' already"):
        into.add(second)


@pytest.mark.parametrize("bad", ["Upper", " x", "x ", "", "x" * (MAX_NAME + 1)])
def test_a_name_that_no_row_could_reach_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="lower case and short"):
        registry(made("a", source(bad)))
    with pytest.raises(ValueError, match="lower case and short"):
        registry(made("a", source("fine", bad)))


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("logic__zebra_puzle", "logic__zebra_puzzle_dataset"),
        ("zebrapuzzle", "logic__zebra_puzzle_dataset"),
        ("sim__arcagi1", "simulation__arcagi1"),
        ("LOGIC__ARC_AGI_1_eval", "simulation__arcagi1"),
    ],
)
def test_the_nearest_names_of_an_unknown_one(unknown: str, nearest: str) -> None:
    assert PUZZLES.nearest(unknown)[0] == nearest
    assert len(set(PUZZLES.nearest(unknown))) == len(PUZZLES.nearest(unknown)) <= 3


def test_nothing_is_near_a_name_of_another_kind() -> None:
    assert PUZZLES.nearest("qqqqqqqqqqqq") == []
    assert Registry().nearest("x") == []


@pytest.mark.parametrize(
    "name", ["_1" * 200_000, "_" * 400_000, "_dataset" * 50_000, "zebra" * 100_000, "é" * 400_000]
)
def test_a_huge_name_costs_nothing(name: str) -> None:
    """Names come from outside and are looked up in the gateway: this one once took three minutes."""
    with cpu_within(0.5):
        assert PUZZLES.route(name) is None
        PUZZLES.nearest(name)


@given(st.text(max_size=60))
def test_any_text_has_a_route_or_none_and_no_accident(name: str) -> None:
    route = PUZZLES.route(name)
    assert route is None or route.handler in PUZZLES.handlers.values()
    assert all(isinstance(near, str) for near in PUZZLES.nearest(name))
    assert short_name(short_name(name)) == short_name(name) or "__" in name


def test_handlers_can_not_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        PUZZLES.handlers["mine"] = made("mine")  # type: ignore[index]


# The decorator


def test_the_decorator_registers_what_it_was_told_and_returns_the_function() -> None:
    into = Registry()

    def judge(item: Item, notes: Any, results: Any) -> Outcome:
        return accept("x")

    limits = Limits(1.0, 2.0, 3)
    decorate = handler(
        "h", version="7", domain=Domain.CODE, sources=[source("x")], reads=["question"], limits=limits, judge=judge, into=into
    )  # fmt: skip
    assert decorate(plan) is plan
    registered = into.handlers["h"]
    assert registered == Handler(
        "h", "7", Domain.CODE, plan, (source("x"),), ("question",), limits, "Accepts everything.", judge
    )


def test_a_handler_states_its_rule() -> None:
    def silent(item: Item) -> Outcome:
        return accept("x")

    with pytest.raises(ValueError, match="docstring that states its rule"):
        handler("h", version="1", domain=Domain.LOGIC, sources=[], into=Registry())(silent)
    with pytest.raises(ValueError, match="not a valid Domain"):
        handler("h", version="1", domain="cooking", sources=[], into=Registry())(plan)  # type: ignore[arg-type]


# What is really registered

ROUTES = [(name, route) for name, route in load()._exact.items()]


def test_every_source_is_found_under_each_of_its_names() -> None:
    for name, route in ROUTES:
        assert load().route(name) is route
        assert load().route(name.upper()) is route


def test_no_short_name_stands_for_two_handlers() -> None:
    """Else the order of imports would decide, and that is a guess."""
    owners: dict[str, set[str]] = {}
    for name, route in ROUTES:
        owners.setdefault(short_name(name), set()).add(route.handler.name)
    assert not {short: names for short, names in owners.items() if len(names) > 1}


def test_every_handler_has_sources_a_rule_and_sane_limits() -> None:
    for one in load().handlers.values():
        assert one.sources and one.version and one.summary.endswith(".")
        assert 0 < one.limits.cpu_seconds <= 30 < 2 * one.limits.wall_seconds
        assert one.limits.memory_bytes >= 128 << 20
        assert len(set(one.reads)) == len(one.reads)
        for entry in one.sources:
            assert entry.gold.strip()
            assert not entry.gold.startswith(" ")


def test_guru_names_are_routed() -> None:
    """The table of guru.md §2: every name that its training and evaluation rows carry, as far as rules check them."""
    names = {
        "table__hitab": "table", "table__multihier": "table", "logic__zebra_puzzle_dataset": "zebra",
        "logic__ordering_puzzle_dataset": "ordering", "logic__graph_logical_dataset": "graph",
        "simulation__arcagi1": "grid", "logic__arcagi1": "grid", "simulation__arcagi2": "grid", "simulation__barc": "grid",
        "stem__gpqa_diamond": "choice", "stem__supergpqa": "choice",
    }  # fmt: skip
    for name, expected in names.items():
        route = load().route(name)
        assert route is not None, name
        assert route.handler.name == expected, name


def test_the_words_for_work_are_exported_where_handlers_may_import_them() -> None:
    assert Work.__module__ == RunResult.__module__ == "reward_service.runs"
