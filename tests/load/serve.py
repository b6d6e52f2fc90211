"""`python -m tests.load.serve MODULE:FUNCTION PORT`: the service over the registry that the function returns."""

from __future__ import annotations

import importlib
import sys

import uvicorn

from reward_service.assemble import build_service
from reward_service.gateway.app import create_app
from reward_service.gateway.http1 import Connection
from reward_service.settings import Settings

if __name__ == "__main__":
    loader, port = sys.argv[1:]
    module, _, function = loader.partition(":")
    registry = getattr(importlib.import_module(module), function)()
    settings = Settings()
    service = build_service(settings, registry, loader)
    app = create_app(service.engine, settings, service.batches)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http=Connection,
        log_level="warning",
        access_log=False,
    )
