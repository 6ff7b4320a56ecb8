"""The container named `worker`: defaults for its command, environment, port and probes. Pure.

Our variables come first, because `$(NAME)` in a variable, a command or an argument refers to those before it. A
variable of the template that says what the JobQueue says itself is not used; `ignored_variables` names those, for the
condition. The port has a name of its own: `http` is what everybody calls theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from penstock.jobqueue.policy import QueuePolicy
from penstock.jobqueue.worker_settings import FROM_POLICY, worker_settings
from penstock.settings import Settings

from .database_variables import database_variables

HTTP_PORT: Final = 9464
PORT_NAME: Final = "penstock"
WORKER: Final = "worker"
START_SECONDS: Final = 600
"""A container that has not started by then is restarted: as long as a blocked event loop is left alone. An application
that loads a model, or a node without a free CPU, takes minutes, and starting again would not be faster."""
_FROM_SPEC: Final = frozenset(
    one.metadata["variable"] for one in fields(Settings) if one.name in FROM_POLICY | {"http_port"}
)
"""Variables that follow from the resource. The others, such as the log level, are the template's to set."""
_FIELDS: Final = {"PENSTOCK_POD_NAME": "metadata.name", "PENSTOCK_NODE_NAME": "spec.nodeName"}
"""Variables that name the pod: the drain finds a worker's pod by them."""
_SILENT: Final = {"PENSTOCK_HTTP_HOST": "::"}
"""Variables that the template may set. All addresses: the pod's own is IPv4 or IPv6, a port-forward's localhost."""
_HANDLERS: Final = frozenset({"httpGet", "tcpSocket", "grpc", "exec"})


def complete(worker: dict[str, Any], others: Sequence[Mapping[str, Any]], policy: QueuePolicy, *, drain: int) -> None:
    """Add to a normalized container what it does not say.

    Args:
        worker: the container, changed in place.
        others: the pod's other containers, whose ports are taken.
        policy: of the JobQueue.
        drain: seconds from SIGTERM to SIGKILL.
    """
    if not worker.get("command") and not worker.get("args"):
        worker["command"] = ["penstock", "worker", policy.worker.app, "--queue", policy.queue_name]
    port = _own_port(worker, others)
    ours = _environment(policy, drain=drain, http_port=port["containerPort"])
    given = worker.get("env") or []
    named = {one["name"] for one in given}
    first = [{"name": name, **value} for name, value in ours.items() if name not in _SILENT or name not in named]
    worker["env"] = first + [one for one in given if one["name"] not in ours or one["name"] in _SILENT]
    _probe(worker, "readinessProbe", "/readyz", port=port["name"], period=2, failures=1)
    _probe(worker, "livenessProbe", "/healthz", port=port["name"], period=10, failures=6)
    _probe(worker, "startupProbe", "/healthz", port=port["name"], period=1, failures=START_SECONDS)


def ignored_variables(given: Mapping[str, Any], completed: Mapping[str, Any]) -> list[str]:
    """Names of the template's variables that are not used, because they follow from the JobQueue and say otherwise."""
    used = {one["name"]: one.get("value", one.get("valueFrom")) for one in completed["env"]}
    return [
        one["name"] for one in given.get("env") or () if used[one["name"]] != one.get("value", one.get("valueFrom", ""))
    ]


def probed_port(worker: Mapping[str, Any]) -> str:
    """The name of the port that a completed container serves its metrics on."""
    number = next(int(one["value"]) for one in worker["env"] if one["name"] == "PENSTOCK_HTTP_PORT")
    return str(next(one["name"] for one in worker["ports"] if _is_tcp(one) and one["containerPort"] == number))


def _own_port(worker: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of our port: the template's if it has one by name or number, else a new one."""
    ports: list[dict[str, Any]] = worker.get("ports") or []
    worker["ports"] = ports
    names = {one.get("name") for one in ports}
    taken = {one["containerPort"] for other in others for one in other.get("ports") or ()}
    number = _wished(worker) or next(port for port in range(HTTP_PORT, 65_536) if port not in taken)
    mine = [one for one in ports if _is_tcp(one)]
    found = [one for one in mine if one.get("name") == PORT_NAME] or [
        one for one in mine if one["containerPort"] == number
    ]
    name = next(one for one in (PORT_NAME, *(f"{PORT_NAME}-{i}" for i in range(100))) if one not in names)
    if found:
        found[0].setdefault("name", name)
        return found[0]
    ports.append({"name": name, "containerPort": number, "protocol": "TCP"})
    return ports[-1]


def _wished(worker: Mapping[str, Any]) -> int:
    """The port that the template's own PENSTOCK_HTTP_PORT asks for; 0 for none."""
    texts = [one.get("value", "") for one in worker.get("env") or () if one["name"] == "PENSTOCK_HTTP_PORT"]
    text = texts[0] if texts else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65_535 else 0


def _is_tcp(port: Mapping[str, Any]) -> bool:
    return bool(port.get("protocol", "TCP") == "TCP")


def _probe(worker: dict[str, Any], name: str, path: str, *, port: str, period: int, failures: int) -> None:
    """The whole probe, or what a probe without a check leaves open; one with a check of its own stays."""
    given = worker.get(name) or {}
    if not _HANDLERS.isdisjoint(given):
        return
    check = {"path": path, "port": port, "scheme": "HTTP"}
    defaults = {"httpGet": check, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures}
    worker[name] = {**defaults, **given}


def _environment(policy: QueuePolicy, *, drain: int, http_port: int) -> dict[str, dict[str, Any]]:
    """Our variables by name."""
    ours = database_variables(policy.database_ref)
    for name, path in _FIELDS.items():
        ours[name] = {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
    ours |= {name: {"value": value} for name, value in _SILENT.items()}
    settings = worker_settings(policy, base=Settings(), drain_timeout_seconds=float(drain), http_port=http_port)
    return ours | {name: {"value": value} for name, value in settings.to_env(urls=False).items() if name in _FROM_SPEC}
