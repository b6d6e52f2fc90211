"""Programs judged by running them: stdin and stdout, function calls, and test code."""

from reward_service.handlers.code.judge import judge, plan

__all__ = ["judge", "plan"]
