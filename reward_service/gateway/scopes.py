"""Which scope each route needs. A route that isn't here keeps the service from starting: nothing is open by oversight."""

from __future__ import annotations

from collections.abc import Mapping

from reward_service.keys import Scope

Need = frozenset[Scope] | None
"""Scopes of which a key needs one; none of them: any key will do; None: no key is needed."""

PUBLIC: Need = None
ANY_KEY: Need = frozenset()


def one_of(*scopes: Scope) -> Need:
    """A key with one of these scopes."""
    return frozenset(scopes)


SCORE, BATCH, RUN, READ = map(one_of, (Scope.SCORE, Scope.BATCH, Scope.RUN, Scope.READ))
EXPLAIN = one_of(Scope.EXPLAIN)

NEEDS: Mapping[str, Need] = {
    "/healthz": PUBLIC,
    "/readyz": PUBLIC,
    "/livez": PUBLIC,
    "/health": PUBLIC,
    "/v1/ping": PUBLIC,
    "/docs*": ANY_KEY,
    "/openapi.json": ANY_KEY,
    "/v1/info": ANY_KEY,
    "/v1/data-sources": ANY_KEY,
    "/v1/score": SCORE,
    "/v1/score/batch": SCORE,
    "/v1/ground-truths/{sha256}": one_of(Scope.SCORE, Scope.BATCH),
    "/v1/batches*": BATCH,
    "/v1/files*": BATCH,
    "/v1/run": RUN,
    "/metrics": READ,
    "/v1/explain*": EXPLAIN,
    "/explain": one_of(Scope.READ, Scope.EXPLAIN),
    "/v1/telemetry*": READ,
    "/v1/verdicts*": READ,
    "/dashboard*": READ,
    "/static/*": ANY_KEY,
    # Dialects
    "/openrlhf": SCORE,
    "/slime": SCORE,
    "/llamafactory": SCORE,
    "/roll/*": SCORE,
    "/verify": SCORE,
    "/seed_session": SCORE,
    "/close_session": SCORE,
    "/reverify_mode": SCORE,
    "/aggregate_metrics": SCORE,
    "/nemo_gym/*": SCORE,
    "/global_config_dict_yaml": ANY_KEY,
    "/server_instances": ANY_KEY,
    "/test_program": SCORE,
    "/test_program_stdio": SCORE,
    "/submit": SCORE,
    "/run_code": RUN,
    "/run_jupyter": RUN,
    "/get_prompts": SCORE,
    "/get_prompt_by_id": SCORE,
    "/list_datasets": ANY_KEY,
    "/list_ids": ANY_KEY,
    "/get_metrics": ANY_KEY,
    "/get_metrics_function": ANY_KEY,
}
"""A route's path (a dialect's without the prefix of the dialects), or the beginning of several and `*` -> what it needs."""


class NoScope(ValueError):
    """A route that nobody has decided about."""


def need_of(path: str, prefix: str = "") -> Need:
    """What the route of this path needs; the longest entry decides. NoScope if there is none."""
    for candidate in dict.fromkeys((path, path.removeprefix(prefix))):
        if candidate in NEEDS:
            return NEEDS[candidate]
        fitting = [one for one in NEEDS if one.endswith("*") and candidate.startswith(one[:-1])]
        if fitting:
            return NEEDS[max(fitting, key=len)]
    raise NoScope(f"the route {path} has no scope: add it to NEEDS in gateway/scopes.py")
