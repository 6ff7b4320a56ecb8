"""A real Prometheus server for a test, and what the Prometheus operator would have it scrape.

Owns: the server's process and folder, its HTTP API as far as the tests ask, and the translation of ServiceMonitors and
PodMonitors into scrape configurations with the same relabelling (keep, then namespace, pod, container, job, endpoint,
then the monitor's own). Must not judge what is found.

Debian's Prometheus is built without discovery by Kubernetes, so `discovery()` answers in its place over
HTTP, with the same labels. The pods of a Service are found by the Service's selector, not by Endpoints, which no
controller of the tests' control plane makes; the labels are those that a ServiceMonitor gives all the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.controlplane import free_ports
from tests.support.waiting import eventually

START_SECONDS = 120.0


def program(name: str) -> str:
    """Where a program of the package `prometheus` is; skips where it is not, or fails where CI could install it."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not on PATH; Debian's package prometheus has it"
        (pytest.fail if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip)(reason)
    return found


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of /api/v1.

        Raises:
            AssertionError: the server refused, with what it said.
        """
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def now(self, expression: str) -> list[Any]:
        """The series of an instant query."""
        return list(self.ask("query", query=expression)["result"])

    def over(self, expression: str, *, start: float, end: float, step: float = 1.0) -> list[Any]:
        """The series of a range query; times are seconds of the epoch."""
        found = self.ask("query_range", query=expression, start=f"{start}", end=f"{end}", step=f"{step}")
        return list(found["result"])


@contextmanager
def running(folder: Path, *, scrape: Sequence[Any], rules: Any = None, interval: str = "1s") -> Iterator[Prometheus]:
    """A server for the length of a `with`.

    Args:
        folder: takes configuration, data and log.
        scrape: scrape configurations.
        rules: what a rules file holds; None: no rules.
        interval: between scrapes and between evaluations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    config: dict[str, Any] = {"global": times, "scrape_configs": list(scrape)}
    if rules is not None:
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        config["rule_files"] = [str(folder / "rules.yaml")]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _ready(server.url), "Prometheus is ready", seconds=START_SECONDS)
        yield server
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=30) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


@contextmanager
def discovery(list_pods: Callable[[], Sequence[Any]]) -> Iterator[str]:
    """The URL at which Prometheus finds a target for each port of each pod, with the labels of its discovery of pods.

    Args:
        list_pods: gives the pods as the API server has them; called from a thread.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([target for pod in list_pods() for target in _targets(pod)]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="discovery")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _targets(pod: Any) -> Iterator[Any]:
    meta, address = pod["metadata"], pod["status"].get("podIP")
    labels = {
        "__meta_kubernetes_namespace": meta["namespace"],
        "__meta_kubernetes_pod_name": meta["name"],
        "__meta_kubernetes_pod_phase": pod["status"].get("phase", ""),
    }
    for key, value in meta.get("labels", {}).items():
        labels[f"__meta_kubernetes_pod_label_{_name(key)}"] = value
        labels[f"__meta_kubernetes_pod_labelpresent_{_name(key)}"] = "true"
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()) if address else ():
            more = {
                "__meta_kubernetes_pod_container_name": container["name"],
                "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
            }
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels | more}


def of_pod_monitor(monitor: Any, *, pods: str) -> Iterator[Any]:
    """What the Prometheus operator makes of a PodMonitor; `pods` is where they are discovered."""
    meta, spec = monitor["metadata"], monitor["spec"]
    for number, endpoint in enumerate(spec["podMetricsEndpoints"]):
        yield {
            **_config("podMonitor", meta, number, endpoint, pods),
            "relabel_configs": [
                *_chosen(spec, meta),
                *_kept(spec["selector"]),
                *_placed(endpoint),
                {"target_label": "job", "replacement": f"{meta['namespace']}/{meta['name']}"},
                *_relabelings(endpoint),
            ],
        }


def of_service_monitor(monitor: Any, service: Any, *, pods: str) -> Iterator[Any]:
    """What the Prometheus operator makes of a ServiceMonitor that selects this Service."""
    meta, spec = monitor["metadata"], monitor["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    assert wanted <= service["metadata"]["labels"].items(), "the monitor does not select the service"
    name = service["metadata"]["name"]
    for number, endpoint in enumerate(spec["endpoints"]):
        yield {
            **_config("serviceMonitor", meta, number, endpoint, pods),
            "relabel_configs": [
                *_chosen(spec, meta),
                *_kept({"matchLabels": service["spec"]["selector"]}),
                *_placed(endpoint),
                {"target_label": "service", "replacement": name},
                {"target_label": "job", "replacement": name},
                *_relabelings(endpoint),
            ],
        }


def _config(kind: str, meta: Any, number: int, endpoint: Any, pods: str) -> dict[str, Any]:
    return {
        "job_name": f"{kind}/{meta['namespace']}/{meta['name']}/{number}",
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint.get("path", "/metrics"),
        "http_sd_configs": [{"url": pods, "refresh_interval": "1s"}],
    }


def _chosen(spec: Any, meta: Any) -> Iterator[Any]:
    """By namespace, which the Prometheus operator leaves to the discovery."""
    chosen = spec.get("namespaceSelector", {})
    if not chosen.get("any"):
        names = "|".join(chosen.get("matchNames") or [meta["namespace"]])
        yield {"source_labels": ["__meta_kubernetes_namespace"], "regex": names, "action": "keep"}


def _kept(selector: Any) -> Iterator[Any]:
    yield {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"}
    for key, value in selector.get("matchLabels", {}).items():
        yield {"source_labels": [f"__meta_kubernetes_pod_label_{_name(key)}"], "regex": value, "action": "keep"}
    for one in selector.get("matchExpressions", ()):
        assert one["operator"] == "Exists", one
        yield {
            "source_labels": [f"__meta_kubernetes_pod_labelpresent_{_name(one['key'])}"],
            "regex": "true",
            "action": "keep",
        }


def _placed(endpoint: Any) -> Iterator[Any]:
    port = "__meta_kubernetes_pod_container_port_name"
    yield {"source_labels": [port], "regex": endpoint["port"], "action": "keep"}
    for label, source in (("namespace", "namespace"), ("pod", "pod_name"), ("container", "pod_container_name")):
        yield {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": label}
    yield {"target_label": "endpoint", "replacement": endpoint["port"]}


def _relabelings(endpoint: Any) -> Iterator[Any]:
    """A monitor's own, in a configuration's spelling."""
    for one in endpoint.get("relabelings", ()):
        yield {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", key): value for key, value in one.items()}


def _name(label: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)
