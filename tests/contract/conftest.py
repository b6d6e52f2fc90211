"""What the suites run on: one fixture for sandboxes (`tests/sandboxes.py`), and the Redis of the stores (`stores.py`)."""

from tests.contract.stores import closing, options, redis_cluster, redis_one
from tests.sandboxes import sandbox

__all__ = ["closing", "options", "redis_cluster", "redis_one", "sandbox"]
