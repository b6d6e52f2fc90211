"""What the suites run on: one fixture for sandboxes (`tests/sandboxes.py`), and the Redis of the stores (`stores.py`)."""

from tests.contract.stores import closing, options, redis_cluster, redis_one
from tests.sandboxes import gvisor_differences, sandbox

__all__ = ["closing", "gvisor_differences", "options", "redis_cluster", "redis_one", "sandbox"]
