"""Every setting: one class, one prefix (`REWARD_SERVICE_`), each field documented.

The README's table is generated from this class.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment; the command line's flags override it."""

    model_config = SettingsConfigDict(env_prefix="REWARD_SERVICE_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on. Loopback unless you say otherwise.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
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
    sandbox_runtime: str = Field("runc", description="Runtime of the containers: runc, or runsc for gVisor.")
    sandbox_places: int = Field(
        0, ge=0, description="Programs that run at once (on each engine); 0 is one per core."
    )
    sandbox_image: str = Field("", description="Image of the containers; nothing is the one of this version.")
    dialects: str = Field(
        "all", description="Trainers' wire formats to serve: `all`, or names joined by commas, or nothing."
    )
    dialect_prefix: str = Field(
        "", pattern="^(/[a-z0-9_-]+)*$", description="Path in front of the dialects' routes, such as `/rl`."
    )
    drain_seconds: int = Field(25, ge=0, description="Time that running requests get when the service stops.")
    log_level: str = Field("info", description="critical, error, warning, info or debug.")
