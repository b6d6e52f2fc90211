"""ms-swift: `--external_plugins reward_service/client/trainers/ms_swift.py --reward_funcs reward_service`.

Loaded as a plug-in it registers two reward functions: `reward_service` (called once per step with the whole batch) and
`reward_service_async`. A sample that could not be judged is None, which swift turns into NaN and leaves out. swift runs coroutines with
a new event loop in every step, so no connection outlives a call. Facts: reference/trainers.md §2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward_service.client.trainers import trl
from reward_service.client.trainers.common import async_client


class RewardServiceORM:
    """swift's ORM form: made with the training arguments, called with completions and columns."""

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """A score or None for each completion, in their order."""
        return trl.reward(None, completions, **columns)


class RewardServiceAsyncORM(RewardServiceORM):
    """The same as a coroutine."""

    async def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:  # type: ignore[override]
        """A score or None for each completion, in their order."""
        try:
            return await trl.reward_async(None, completions, **columns)
        finally:
            await async_client(None, trl.SECONDS).aclose()


def register() -> None:
    """Put both under their names into swift's table. Does nothing where swift isn't installed."""
    try:
        from swift.rewards import orms  # type: ignore[import-not-found]
    except ImportError:
        try:
            from swift.plugin import orms  # type: ignore[import-not-found]
        except ImportError:
            return
    orms["reward_service"] = RewardServiceORM
    orms["reward_service_async"] = RewardServiceAsyncORM


register()
