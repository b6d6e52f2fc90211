"""A registry whose only handler does nothing: what is left is the cost of the service itself."""

from __future__ import annotations

from reward_service.registry import Registry, Source, handler
from reward_service.types import Domain, Example, Item, Outcome, accept


def registry() -> Registry:
    """The registry of the no-op handler."""
    into = Registry()

    @handler(
        "noop", version="1", domain=Domain.GYM, sources=[Source("noop", "any", Example("x", "x"))], into=into
    )
    def plan(item: Item) -> Outcome:
        """Accepts everything."""
        return accept("x")

    return into
