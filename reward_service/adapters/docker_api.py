"""What we ask of a Docker engine, typed, and nothing else: the only module that touches the `docker` SDK.

What is decided here: every failure of an engine is one `EngineError`, whichever layer it came from (SDK, HTTP,
socket), since for us they mean the same: this engine can't be used now. The methods block; callers on an event
loop put them in a thread.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

Log = Callable[[str], None]
SECONDS = 60.0
BUILD_SECONDS = 1800.0
DEFAULT_HOST = "unix:///var/run/docker.sock"


class EngineError(Exception):
    """The engine could not do it. `missing`: it lacks what was named (a container, an image)."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


@contextmanager
def _engine_errors(host: str) -> Iterator[None]:
    from docker.errors import APIError, DockerException  # type: ignore[import-untyped]
    from requests import RequestException

    try:
        yield
    except APIError as error:
        raise EngineError(str(error.explanation or error), missing=error.status_code == 404) from error
    except (DockerException, RequestException, OSError) as error:
        raise EngineError(f"{host}: {error}") from error


def hosts(configured: Sequence[str] = ()) -> tuple[str, ...]:
    """The engines to use: those named, else what the environment names, else the default socket."""
    return tuple(configured) or (os.environ.get("DOCKER_HOST") or DEFAULT_HOST,)


def tls_context() -> ssl.SSLContext | None:
    """TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask for it; None for none."""
    folder = os.environ.get("DOCKER_CERT_PATH")
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not folder and not verify:
        return None
    certificates = Path(folder) if folder else Path.home() / ".docker"
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem") if verify else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return context


def _probe(host: str) -> None:
    """Is anybody there? The SDK leaks a socket for each call that nobody answers."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(host.removeprefix("unix://"))
            except OSError as error:
                raise EngineError(f"{host}: {error.strerror or error}") from error


class EngineApi:
    """One engine. Connects when first used; safe to use from several threads."""

    def __init__(self, host: str = "", *, seconds: float = SECONDS) -> None:
        self.host = host or hosts()[0]
        self._seconds = seconds
        self._client: Any = None
        self._connecting = threading.Lock()

    @property
    def client(self) -> Any:
        """The SDK's low-level client."""
        _probe(self.host)
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        try:
            import docker  # type: ignore[import-untyped]
        except ImportError as error:
            raise EngineError(
                "the `docker` extra is not installed: pip install reward-service[docker]"
            ) from error
        with _engine_errors(self.host):
            settings = docker.utils.kwargs_from_env()
            settings["base_url"] = self.host
            client = docker.APIClient(version="auto", timeout=self._seconds, **settings)
        client.trust_env = False  # the environment says nothing about proxies or users of this engine
        return client

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def api_version(self) -> str:
        """The version of the API that both ends speak, as in the path of a request."""
        return str(self.client.api_version)

    def info(self) -> dict[str, Any]:
        """What the engine says of itself (`docker info`)."""
        client = self.client
        with _engine_errors(self.host):
            return dict(client.info())

    def components(self) -> dict[str, str]:
        """Versions by component: the engine's own, containerd's, runc's."""
        client = self.client
        with _engine_errors(self.host):
            parts = client.version().get("Components") or []
            return {str(part.get("Name")): str(part.get("Version")) for part in parts}

    def has_image(self, image: str) -> bool:
        """Is the image on the engine?"""
        client = self.client
        try:
            with _engine_errors(self.host):
                client.inspect_image(image)
        except EngineError as error:
            if error.missing:
                return False
            raise
        return True

    def pull(self, image: str) -> None:
        """Fetch an image from its registry."""
        client = self.client
        repository, _, version = image.rpartition(":")
        with _engine_errors(self.host):
            client.pull(repository or version, tag=version if repository else "latest")

    def build(
        self,
        archive: IO[bytes],
        *,
        dockerfile: str,
        tag: str,
        arguments: Mapping[str, str],
        target: str | None,
        labels: Mapping[str, str],
        log: Log,
    ) -> None:
        """Build an image from a tar of its context, with the machine's network."""
        client = self.client
        with _engine_errors(self.host):
            steps = client.build(
                fileobj=archive,
                custom_context=True,
                dockerfile=dockerfile,
                tag=tag,
                buildargs=dict(arguments),
                target=target,
                labels=dict(labels),
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
                timeout=BUILD_SECONDS,
            )
            for step in steps:
                if "error" in step:
                    raise EngineError(f"{tag}: {step['error']}")
                if text := str(step.get("stream", "")).strip():
                    log(text)

    def import_image(self, archive: IO[bytes], image: str) -> None:
        """Make an image of one layer from a tar of a root file system."""
        client = self.client
        repository, _, version = image.rpartition(":")
        with _engine_errors(self.host):
            client.import_image_from_stream(archive, repository=repository, tag=version)

    def tag_image(self, image: str, name: str) -> None:
        """Give an image one more name."""
        client = self.client
        repository, _, version = name.rpartition(":")
        with _engine_errors(self.host):
            client.tag(image, repository, version)

    def create(self, *, host_config: Mapping[str, Any], **spec: Any) -> str:
        """A container that is not started; returns its id. `missing` if the image isn't there."""
        from docker.types import LogConfig, Ulimit  # type: ignore[import-untyped]

        client = self.client
        limits = dict(host_config)
        limits["ulimits"] = [Ulimit(name=n, soft=s, hard=h) for n, s, h in host_config["ulimits"]]
        limits["log_config"] = LogConfig(type="none", config={})
        with _engine_errors(self.host):
            created = client.create_container(host_config=client.create_host_config(**limits), **spec)
            return str(created["Id"])

    def start(self, container: str) -> None:
        """Start a created container."""
        client = self.client
        with _engine_errors(self.host):
            client.start(container)

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        client = self.client
        with _engine_errors(self.host):
            return dict(client.inspect_container(container))

    def containers(self, label: str) -> list[dict[str, Any]]:
        """Every container with that label, in whatever state."""
        client = self.client
        with _engine_errors(self.host):
            return list(client.containers(all=True, filters={"label": label}))

    def kill(self, container: str) -> None:
        """End a container's processes at once."""
        client = self.client
        with _engine_errors(self.host):
            client.kill(container)

    def remove(self, container: str) -> None:
        """End and remove a container. Nothing if it is gone, or about to be."""
        client = self.client
        try:
            with _engine_errors(self.host):
                client.remove_container(container, force=True, v=True)
        except EngineError as error:
            if not error.missing and "already in progress" not in str(error):
                raise
