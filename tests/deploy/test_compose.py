"""docker-compose.yml and the images' Dockerfiles, as files: `make test-compose` builds and runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.images.engine import make, tag
from reward_service import sandbox_images
from reward_service.sandbox_images import Kind
from reward_service.settings import Settings
from tests.engine import need

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STANDING = {name: one for name, one in SERVICES.items() if one.get("restart") != "no"}
"""Those that run until they are stopped."""
OURS = ("${REWARD_SERVICE_IMAGE:-", "${REWARD_SERVICE_ENGINE_IMAGE:-")


def test_compose_takes_the_file() -> None:
    need("docker-compose")
    command = ["docker-compose", "-f", str(FILE), "config", "--services"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert STANDING.keys() <= set(done.stdout.split())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service and "pid" not in service and "devices" not in service
    if name != "engine":
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["user"].partition(":")[0]) > 0
    image = service["image"]
    assert image.startswith(OURS) or re.search(r"@sha256:[0-9a-f]{64}}$", image), image
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        assert "docker.sock" not in volume
        if source.startswith("."):  # the host's: our own files, to read
            assert source.startswith("./deploy/") and rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", STANDING)
def test_a_service_that_stands_is_bounded_watched_and_restarted(name: str) -> None:
    service = STANDING[name]
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck", "logging"} <= service.keys()
    assert service["restart"] == "unless-stopped"
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


def test_ports_are_published_on_loopback_and_few() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"gateway", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_networks_part_what_need_not_meet() -> None:
    assert COMPOSE["networks"]["backend"]["internal"] is True
    assert SERVICES["redis"]["networks"] == SERVICES["worker"]["networks"] == ["backend"]
    for name in ("engine", "runner", "setup", "keys"):
        assert SERVICES[name]["network_mode"] == "none"


def test_only_the_runner_holds_the_engines_socket() -> None:
    def mounting(volume: str) -> set[str]:
        return {
            name
            for name, service in SERVICES.items()
            if any(mount.partition(":")[0] == volume for mount in service.get("volumes", []))
        }

    assert mounting("engine") == {"engine", "runner"}
    assert mounting("runner") == {"runner", "worker"}
    assert "worker" not in mounting("keys") and "engine" not in mounting("secrets")
    assert "runner" not in mounting("secrets")


def test_every_setting_is_one_of_the_services_and_has_a_value_that_it_takes() -> None:
    for service in SERVICES.values():
        given = {
            name.removeprefix("REWARD_SERVICE_").lower(): re.sub(r"\$\{\w+:-(.*)}", r"\1", str(value))
            for name, value in service.get("environment", {}).items()
            if name.startswith("REWARD_SERVICE_")
        }
        assert given.keys() <= Settings.model_fields.keys()
        assert not {name for name in given if "password" in name}, "secrets are files"
        Settings(**{name: value for name, value in given.items() if value})


def test_what_stops_has_the_time_that_its_settings_promise() -> None:
    settings = Settings()
    assert seconds(SERVICES["gateway"]["stop_grace_period"]) > settings.drain_seconds + 5
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > settings.worker_grace_seconds + 5


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_prometheus_asks_the_services_that_there_are() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    setup = (ROOT / "deploy" / "compose" / "setup.sh").read_text()
    for job in config["scrape_configs"]:
        (names,) = [one["names"] for one in job["dns_sd_configs"]]
        assert set(names) <= SERVICES.keys()
        if "authorization" in job:
            assert job["authorization"]["credentials_file"] in setup
    ports = {one["job_name"]: one["dns_sd_configs"][0]["port"] for one in config["scrape_configs"]}
    assert ports == {
        "gateway": Settings().port,
        "worker": SERVICES["worker"]["environment"]["REWARD_SERVICE_WORKER_PORT"],
    }


# The images


def test_the_engines_dockerfile_is_made_from_the_sandboxs() -> None:
    assert (make.HERE / "Dockerfile").read_text() == make.dockerfile(), "run `make manifests`"


def test_the_engines_image_names_the_sandbox_as_the_service_does(tmp_path: Path) -> None:
    for path, content in sandbox_images.context(Kind.PYTHON).items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    script = [sys.executable, "-I", "-S", str(Path(tag.__file__)), str(tmp_path)]
    named = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert named == sandbox_images.tag(Kind.PYTHON)


def test_what_the_engine_starts_is_what_the_sandboxs_image_would_start() -> None:
    """An imported root file system has no configuration; the script gives it the Dockerfile's."""
    script = (make.HERE / "entry.sh").read_text()
    lines = (make.ROOT / "sandbox" / "python.Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith(("ENV ", "WORKDIR ", "ENTRYPOINT ")):
            assert f"--change '{line}'" in script
    assert "RUN" not in script


@pytest.mark.parametrize("image", ["service", "engine"])
def test_bases_are_pinned(image: str) -> None:
    text = (ROOT / "deploy" / "images" / image / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"debian:bookworm-slim@sha256:[0-9a-f]{64}", base)
    stages = set(re.findall(r" AS (\w+)$", text, re.MULTILINE)) | {"${BASE}"}
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= stages


def test_the_services_image_takes_dependencies_by_hash_and_has_no_root() -> None:
    text = (ROOT / "deploy" / "images" / "service" / "Dockerfile").read_text()
    assert "--require-hashes -r /build/requirements/runtime.txt" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]


def test_a_file_of_secrets_is_a_setting_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reward_service_redis_password").write_text("from a file")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    assert Settings().redis_password == "from a file"
    assert "from a file" not in repr(Settings())
    monkeypatch.setenv("REWARD_SERVICE_REDIS_PASSWORD", "from the environment")
    assert Settings().redis_password == "from the environment"
