"""`python -m tests.fault.fleet_worker MODULE:FUNCTION`: a worker of a fleet, over the registry that the function returns."""

from __future__ import annotations

import importlib
import sys

from reward_service.settings import Settings
from reward_service.worker import run_worker

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    sys.exit(run_worker(Settings(), getattr(importlib.import_module(module), function)(), sys.argv[1]))
