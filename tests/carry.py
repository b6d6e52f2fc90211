"""plan -> session.run -> judge for one item, on any sandbox: what the engine does, without pool, cache and deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reward_service.engine.channel import result_from_plain, result_to_plain, work_from_plain, work_to_plain
from reward_service.registry import load
from reward_service.runs import RunResult, Work
from reward_service.types import Item, Outcome, Profile

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox


class Carried(NamedTuple):
    """The outcome, and the results of all runs that it took."""

    outcome: Outcome
    results: list[RunResult]

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the runs."""
        return 1e3 * sum(result.cpu_seconds for result in self.results)


def item_for(
    data_source: str,
    response: str,
    ground_truth: Any,
    profile: Profile = Profile.STRICT,
    explain: bool = False,
    **extra: Any,
) -> Item:
    """The item that the engine would make: only the fields that the handler reads."""
    route = load().route(data_source)
    assert route is not None, data_source
    kept = {name: extra[name] for name in route.handler.reads if extra.get(name) is not None}
    return Item(route.data_source, response, ground_truth, kept, profile, route.source.name, explain)


async def carry(sandbox: Sandbox, item: Item) -> Carried:
    """Judge one item to its end. Work crosses the same plain form as on its way between the service's processes."""
    route = load().route(item.data_source)
    assert route is not None
    handler = route.handler
    decision = handler.plan(item)
    if isinstance(decision, Outcome):
        return Carried(decision, [])
    assert handler.judge is not None
    everything: list[RunResult] = []
    async with sandbox.session(decision.program) as session:
        while isinstance(decision, Work):
            work = work_from_plain(work_to_plain(decision))
            results = await session.run(work.runs, stop_early=work.stop_early)
            everything += results
            results = [result_from_plain(result_to_plain(result)) for result in results]
            decision = handler.judge(item, work.notes, results)
    return Carried(decision, everything)
