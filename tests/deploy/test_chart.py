"""The Helm chart and the plain manifests made from it: valid, hardened, and in step with the service's own settings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy import manifests
from reward_service.settings import Settings
from tests.engine import unavailable

VARIANTS = {
    "default": (),
    "a Redis that is there": ("--set", "redis.enabled=false,redis.url=rediss://cache.example:6380"),
    "no sandbox": ("--set", "sandbox.kind=none"),
    "gvisor": ("--set", "sandbox.runtimeClassName=gvisor"),
    "keda": ("--set", "worker.autoscaling.kind=keda"),
    "external metric": ("--set", "worker.autoscaling.kind=external"),
    "monitors": ("--set", "serviceMonitor.enabled=true"),
    "no keys, no scaling, no policies": (
        "--set", "auth=off,gateway.autoscaling.enabled=false,networkPolicy.enabled=false,podDisruptionBudget.enabled=false",
    ),
    "everything else": (
        "--set", "image.digest=sha256:" + 64 * "a", "--set", "gateway.filesClaim=files", "--set", "settings.cache_days=2",
        "--set", "worker.settings.judge_model=m", "--set", "worker.secretSettings={reward_service_judge_api_key}", "--set", "nodeSelector.pool=cpu", "--set", "redis.storageClassName=fast",
        "--set", "imagePullSecrets[0].name=pull", "--set", "networkPolicy.workerEgress[0].to[0].ipBlock.cidr=10.0.0.0/8",
    ),
}  # fmt: skip
OTHERS_KINDS = {"ScaledObject", "ServiceMonitor", "PodMonitor"}
"""Of other projects: Kubernetes has no schema of them."""
VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""The oldest that the chart says it is for, and the newest that the validator knows."""


@cache
def documents(variant: str) -> tuple[dict[str, Any], ...]:
    """The chart, rendered."""
    try:
        return tuple(filter(None, yaml.safe_load_all(manifests.template(*VARIANTS[variant]))))
    except manifests.NoHelm as error:
        unavailable(str(error))


def find(variant: str, kind: str, name: str) -> dict[str, Any]:
    """One document."""
    (found,) = [
        one for one in documents(variant)
        if one["kind"] == kind and one["metadata"]["name"] == f"reward-service{name}"
    ]  # fmt: skip
    return found


def pods(variant: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(component, the pod's specification)."""
    for one in documents(variant):
        if one["kind"] in ("Deployment", "StatefulSet"):
            template = one["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_fits_kubernetes_schema(variant: str, version: str) -> None:
    found = documents(variant)
    assert len(found) >= 6
    for document in found:
        if document["kind"] not in OTHERS_KINDS:
            validate(json.dumps(document, sort_keys=True), version)


@cache
def validate(document: str, version: str) -> None:
    """Most variants share most documents."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


def test_the_validator_notices() -> None:
    document = yaml.safe_load(yaml.safe_dump(find("default", "Deployment", "-gateway")))
    document["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


def test_the_plain_manifests_are_the_chart() -> None:
    try:
        assert manifests.MANIFESTS.read_text() == manifests.manifests(), "run `make manifests`"
    except manifests.NoHelm as error:
        unavailable(str(error))
    folder = manifests.MANIFESTS.parent
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(
        path.name for path in folder.glob("*.yaml") if path.stem != "kustomization"
    )


def test_helm_finds_no_fault() -> None:
    documents("default")
    done = subprocess.run(
        [manifests.helm(), "lint", "--strict", str(manifests.CHART)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ("sandbox.kind=unsafe", "sandbox"),
        ("gateway.replicas=0", "replicas"),
        ("image.digest=latest", "digest"),
        ("settings.redis_password=x", "redis_password"),
        ("gateway.autoscaling.maximum=3", "maximum"),
        ("redis.url=redis://user:password@host", "url"),
        ("redis.enabled=false", "redis.url, or redis.enabled"),
        ("networkPolicy.clients=null", "clients"),
    ],
)
def test_wrong_values_are_refused(values: str, complaint: str) -> None:
    documents("default")
    with pytest.raises(ValueError, match=complaint):
        manifests.template("--set", values)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_container_has_more_than_it_needs(variant: str) -> None:
    for part, pod in pods(variant):
        assert pod["automountServiceAccountToken"] is False, part
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        for container in containers(pod):
            context = {**pod["securityContext"], **container["securityContext"]}
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            assert not context.get("privileged")
            assert "memory" in container["resources"]["limits"], container["name"]
            assert not container["image"].endswith(":latest")
            if container["name"] == "engine":
                continue
            assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
            assert context["allowPrivilegeEscalation"] is False
            assert "add" not in context["capabilities"]
            assert "Unconfined" not in str(context)


def test_only_the_runner_reaches_the_engine_and_only_where_there_is_one() -> None:
    (worker,) = [pod for part, pod in pods("default") if part == "worker"]
    holders = {
        container["name"]
        for container in containers(worker)
        if any(mount["mountPath"] == "/run/engine" for mount in container["volumeMounts"])
    }
    assert holders == {"engine", "runner"}
    assert [one["name"] for one in worker["initContainers"]] == ["engine", "runner"]
    assert all(one["restartPolicy"] == "Always" for one in worker["initContainers"])
    (without,) = [pod for part, pod in pods("no sandbox") if part == "worker"]
    assert [one["name"] for one in containers(without)] == ["worker"]
    (behind,) = [pod for part, pod in pods("gvisor") if part == "worker"]
    assert behind["runtimeClassName"] == "gvisor"


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env", [])}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_is_one_of_the_services_and_has_a_value_that_it_takes(variant: str) -> None:
    for _, pod in pods(variant):
        for container in containers(pod):
            given = {
                name.removeprefix("REWARD_SERVICE_").lower(): value
                for name, value in environment(container).items()
                if name.startswith("REWARD_SERVICE_")
            }
            assert given.keys() <= Settings.model_fields.keys()
            Settings(**given)


def test_only_who_needs_a_secret_gets_it() -> None:
    got = {
        part: [
            item["key"]
            for volume in pod["volumes"]
            if "secret" in volume
            for item in volume["secret"]["items"]
        ]
        for part, pod in pods("everything else")
    }
    password, judge = "reward_service_redis_password", "reward_service_judge_api_key"
    assert got == {"gateway": [password, "keys.json"], "worker": [password, judge], "redis": [password]}
    assert judge.removeprefix("reward_service_") in Settings.model_fields


def test_what_stops_has_the_time_that_its_settings_promise() -> None:
    settings = Settings()
    for part, pod in pods("default"):
        grace = pod["terminationGracePeriodSeconds"]
        env = environment(pod["containers"][0])
        if part == "gateway":
            (stop,) = [one["lifecycle"]["preStop"]["exec"]["command"][1] for one in pod["containers"]]
            assert int(env["REWARD_SERVICE_DRAIN_SECONDS"]) == settings.drain_seconds
            assert grace >= int(stop) + settings.drain_seconds + 5
        elif part == "worker":
            assert int(env["REWARD_SERVICE_WORKER_GRACE_SECONDS"]) == settings.worker_grace_seconds
            assert grace >= settings.worker_grace_seconds + 10


def test_every_container_is_probed_by_what_it_serves() -> None:
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for part, pod in pods("default"):
        for container in pod["containers"]:
            assert paths.keys() <= container.keys(), part
            if part != "redis":
                assert {name: container[name]["httpGet"]["path"] for name in paths} == paths
        for sidecar in pod.get("initContainers", []):
            assert {"startupProbe", "livenessProbe"} <= sidecar.keys()


def test_pods_reach_what_the_policies_name_and_nothing_else() -> None:
    nothing = find("default", "NetworkPolicy", "-nothing")["spec"]
    assert set(nothing) == {"podSelector", "policyTypes"}
    for _, pod_labels in labels("default"):
        assert nothing["podSelector"]["matchLabels"].items() <= pod_labels.items()
    out = [
        (one["metadata"]["name"], rule)
        for one in documents("default")
        if one["kind"] == "NetworkPolicy"
        for rule in one["spec"].get("egress", [])
    ]
    assert {name for name, _ in out} == {"reward-service-to-redis"}
    assert [[port["port"] for port in rule["ports"]] for _, rule in out] == [[53, 53], [6379]]
    reached = out[1][1]["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert reached == "redis"


def labels(variant: str) -> Iterator[tuple[str, dict[str, str]]]:
    for one in documents(variant):
        if one["kind"] in ("Deployment", "StatefulSet"):
            found = one["spec"]["template"]["metadata"]["labels"]
            yield found["app.kubernetes.io/component"], found
            assert one["spec"]["selector"]["matchLabels"].items() <= found.items()


def test_workers_scale_on_what_gateways_show() -> None:
    from reward_service.assemble import build_engine

    shown = build_engine(Settings(redis_url="redis://localhost", engine="fleet")).gauges
    query = find("keda", "ScaledObject", "-worker")["spec"]["triggers"][0]["metadata"]["query"]
    for name in ("reward_service_queue_live_chunks", "reward_service_queue_batch_chunks"):
        assert name in query and name in shown
    assert "replicas" not in find("keda", "Deployment", "-worker")["spec"]
    assert "replicas" not in find("default", "Deployment", "-gateway")["spec"]
    assert (
        find("external metric", "HorizontalPodAutoscaler", "-worker")["spec"]["metrics"][0]["type"]
        == "External"
    )


def test_the_monitors_find_their_pods() -> None:
    service = find("monitors", "Service", "")
    monitor = find("monitors", "ServiceMonitor", "-gateway")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    pod_monitor = find("monitors", "PodMonitor", "-worker")["spec"]
    (worker,) = [found for part, found in labels("monitors") if part == "worker"]
    assert pod_monitor["selector"]["matchLabels"].items() <= worker.items()
