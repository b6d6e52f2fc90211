"""Every setting: one class, one prefix (`REWARD_SERVICE_`), each field documented.

The README's table is generated from this class.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS = Path("/run/secrets")
"""Where containers get secrets as files: `reward_service_redis_password` there is the setting, if the environment has none."""


class Settings(BaseSettings):
    """Read from the environment and from files of secrets; the command line's flags override both."""

    model_config = SettingsConfigDict(
        env_prefix="REWARD_SERVICE_",
        extra="ignore",
        frozen=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    host: str = Field("127.0.0.1", description="Address to listen on. Loopback unless you say otherwise.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    auth: Literal["auto", "on", "off"] = Field(
        "auto",
        description="API keys: `auto` wants them wherever others than this machine can connect; `on` always; `off` if "
        "something in front of the service authenticates.",
    )
    keys_file: str = Field(
        "",
        description="File of API keys, made by `reward-service keys`; read again when it changes. Turns keys on.",
    )
    processes: int = Field(0, ge=0, description="Checking processes; 0 is one per core.")
    spare_processes: int = Field(1, ge=0, description="Warm processes kept ready to replace one that died.")
    recycle_items: int = Field(50_000, ge=1, description="Items after which a checking process is replaced.")
    recycle_bytes: int = Field(
        256 << 20, ge=1 << 20, description="Growth in bytes after which a checking process is replaced."
    )
    deadline_seconds: float = Field(
        120.0, gt=0, description="Deadline of a request that names none; items not judged by then are errors."
    )
    max_deadline_seconds: float = Field(
        3600.0, gt=0, description="The longest deadline a request may ask for."
    )
    max_items: int = Field(
        1024, ge=1, description="Items in one JSON batch; NDJSON streams have no such cap."
    )
    max_body_bytes: int = Field(8 << 20, ge=1024, description="Bytes of a JSON body on the wire.")
    max_decoded_bytes: int = Field(
        32 << 20, ge=1024, description="Bytes of a JSON body after decompression, and of one NDJSON line."
    )
    max_in_flight: int = Field(
        65_536, ge=1, description="Items being scored at once; beyond it requests get 429 with Retry-After."
    )
    cache_items: int = Field(100_000, ge=0, description="Outcomes kept in the process's memory; 0 for none.")
    verdict_bytes: int = Field(
        8 << 20,
        ge=0,
        description="Bytes of verdicts kept in memory to be looked at (`/explain`, `/v1/verdicts`); 0 for none.",
    )
    shadow_share: float = Field(
        0.0, ge=0, le=1, description="Share of the items that a shadow verifier judges too, afterwards."
    )
    shadow_profile: Literal["", "strict", "guru"] = Field(
        "", description="The profile in which the shadow judges; nothing for the item's own."
    )
    shadow_handlers: str = Field(
        "",
        description="Handlers that the shadow has in place of others: `old=new`, joined by commas.",
    )
    ground_truth_bytes: int = Field(1 << 30, ge=0, description="Bytes of uploaded ground truths kept.")
    max_ground_truth_bytes: int = Field(64 << 20, ge=1, description="Bytes of one uploaded ground truth.")
    sandbox: Literal["auto", "docker", "bubblewrap", "none"] = Field(
        "auto",
        description="What runs programs: Docker if an engine answers, else bubblewrap; or one of them; or nothing.",
    )
    sandbox_socket: str = Field(
        "", description="Unix socket of a runner that somebody else started; nothing starts one as a child."
    )
    sandbox_hosts: str = Field(
        "", description="Docker engines, joined by commas; nothing is DOCKER_HOST or the default socket."
    )
    sandbox_runtime: str = Field(
        "runc",
        description="Runtime of the containers: runc, or runsc for gVisor (docs/decisions.md says what differs).",
    )
    sandbox_places: int = Field(
        0, ge=0, description="Programs that run at once (on each engine); 0 is one per core."
    )
    sandbox_image: str = Field("", description="Image of the containers; nothing is the one of this version.")
    max_file_bytes: int = Field(
        4 << 30, ge=1024, description="Bytes of one uploaded file, or of a batch's NDJSON body."
    )
    files_dir: str = Field(
        "", description="Directory for uploaded files, shared by all gateways; nothing is a temporary one."
    )
    files_bytes: int = Field(64 << 30, ge=0, description="Bytes of uploaded files kept in all.")
    judge_urls: str = Field(
        "",
        description="OpenAI-compatible endpoints of a judge model, joined by commas; nothing for no judge.",
    )
    judge_model: str = Field("", description="The judge model's name at its endpoints.")
    judge_format: Literal["instruct", "general-verifier", "xverify", "compass-verifier"] = Field(
        "instruct", description="Which kind of model it is: decides the prompt and the form of its verdict."
    )
    judge_api_key: SecretStr = Field(SecretStr(""), description="Sent to the endpoints as a bearer token.")
    judge_concurrency: int = Field(64, ge=1, description="Questions under way at once.")
    judge_timeout_seconds: float = Field(60.0, gt=0, description="Time for one answer of the judge model.")
    judge_both_orders: bool = Field(
        False, description="Ask twice with the answers exchanged; both must agree (format instruct)."
    )
    judge_canary_seconds: float = Field(
        3600.0, ge=0, description="Time between rounds of known attacks put to the judge; 0 for none."
    )
    judge_canary_max_accepted: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the attacks that may be accepted; beyond it the judge is out of service.",
    )
    dialects: str = Field(
        "all", description="Trainers' wire formats to serve: `all`, or names joined by commas, or nothing."
    )
    dialect_prefix: str = Field(
        "", pattern="^(/[a-z0-9_-]+)*$", description="Path in front of the dialects' routes, such as `/rl`."
    )
    dashboard: bool = Field(True, description="Serve the pages for people, such as `/dashboard`.")
    drain_notice_seconds: float = Field(
        0.0,
        ge=0,
        description="Time between SIGTERM, when it says that it is not ready, and taking no more requests; for rolling restarts "
        "a little longer than a load balancer takes to notice.",
    )
    telemetry_step_seconds: int = Field(
        10, ge=1, le=600, description="Seconds of one step of the telemetry; 180 steps are kept."
    )
    audit_seconds: float = Field(
        0.0,
        ge=0,
        description="Time between audits of the handlers' own examples in the background; 0 for none.",
    )
    audit_accepted: str = Field(
        "", description="TOML file of audit violations that are meant to be, as for `reward-service audit`."
    )
    drain_seconds: int = Field(25, ge=0, description="Time that running requests get when the service stops.")
    log_level: str = Field("info", description="critical, error, warning, info or debug.")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line."
    )
    otel: bool = Field(
        False,
        description="OpenTelemetry traces of requests and chunks, to where the standard OTEL_… variables say (extra `otel`).",
    )
    log_requests: Literal["failed", "all", "none"] = Field(
        "failed",
        description="Requests that get a line: those with a status of 400 and more, at most 20 a second; or all, and every chunk of a worker.",
    )
    engine: Literal["embedded", "fleet"] = Field(
        "embedded",
        description="Where items are checked: in this process's own pool, or by workers (`redis_url` needed).",
    )
    redis_url: str = Field(
        "",
        repr=False,
        description="Redis for a shared cache, durable batches and a fleet: redis://, rediss:// (TLS), unix://, "
        "redis+sentinel://host:26379/master, redis+cluster://host:6379; nothing keeps all in memory.",
    )
    redis_prefix: str = Field(
        "reward", pattern="^[A-Za-z0-9_.-]{1,64}$", description="Prefix of every key in Redis."
    )
    redis_username: str = Field("", description="ACL user of Redis, if not in the URL.")
    redis_password: str = Field("", repr=False, description="Password of Redis, if not in the URL.")
    redis_ca: str = Field("", description="PEM file that the certificate of Redis is checked with.")
    redis_seconds: float = Field(2.0, gt=0, description="The longest that one command to Redis may take.")
    cache_redis_url: str = Field(
        "",
        repr=False,
        description="Another Redis for the shared cache, which may evict; nothing takes `redis_url`, which must not.",
    )
    cache_days: float = Field(14.0, gt=0, description="Days that an outcome stays in the shared cache.")
    lease_seconds: float = Field(
        10.0, ge=0.5, description="Silence after which a worker's chunks are given to another worker."
    )
    worker_places: int = Field(
        0,
        ge=0,
        description="Chunks that a worker has at work at once; 0 is two per checking process, and two.",
    )
    batch_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of a worker's places that batches keep however many requests there are.",
    )
    batch_bytes: int = Field(
        4 << 30,
        ge=1 << 20,
        description="Bytes of items waiting in all batches; beyond it submissions get 429.",
    )
    batch_keep_days: float = Field(
        7.0, gt=0, le=365, description="Days that a batch and its results stay after it has ended."
    )
    live_chunks: int = Field(
        4096, ge=1, description="Chunks of requests waiting for the fleet; beyond it requests get 429."
    )
    worker_grace_seconds: float = Field(
        20.0, ge=0, description="Time in which a worker that is told to stop finishes what it can."
    )
    worker_host: str = Field(
        "127.0.0.1", description="Address of a worker's own page: /metrics, /healthz and /readyz."
    )
    worker_port: int = Field(0, ge=0, le=65535, description="Port of a worker's own page; 0 is none.")
    exit_when_orphaned: bool = Field(
        True, description="A worker stops when the process that started it is gone."
    )

    def shown(self) -> dict[str, Any]:
        """Every setting as it is in force, for people: passwords and keys as `***`, also those within URLs."""
        return {name: _shown(name, value) for name, value in self}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr) or name.endswith("password"):
        return "***" if str(value) else ""
    return re.sub(r"://[^/@\s]*@", "://***@", value) if isinstance(value, str) else value
