"""The wire formats of trainers, so that nobody patches one: thin translations to the one core.

Each module translates one format and says in its docstring what its client does when something goes wrong. Which ones are
served, and under which prefix, are settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects import (
    llamafactory,
    nemo_gym,
    open_instruct,
    openrlhf,
    roll,
    sandbox_fusion,
    slime,
)

DIALECTS: Mapping[str, Callable[[Gateway], APIRouter]] = {
    "openrlhf": openrlhf.router,
    "slime": slime.router,
    "nemo_gym": nemo_gym.router,
    "sandbox_fusion": sandbox_fusion.router,
    "open_instruct": open_instruct.router,
    "roll": roll.router,
    "llamafactory": llamafactory.router,
}


def mount(app: FastAPI, gateway: Gateway) -> None:
    """Serve the dialects that the settings name. ValueError for one that there is not."""
    asked = gateway.settings.dialects.strip()
    for name in DIALECTS if asked == "all" else filter(None, map(str.strip, asked.split(","))):
        if name not in DIALECTS:
            raise ValueError(f"no dialect {name!r}; there are {', '.join(DIALECTS)}")
        for route in DIALECTS[name](gateway).routes:
            if isinstance(route, APIRoute):
                # One by one, not `include_router`: a router inside the router costs a request 10 µs to pass.
                app.add_api_route(
                    gateway.settings.dialect_prefix + route.path,
                    route.endpoint,
                    methods=list(route.methods or ()),
                    name=route.name,
                    summary=route.summary,
                    tags=route.tags,
                )
