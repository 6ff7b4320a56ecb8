"""Settings of the operator process from environment variables. Read once, at startup; the chart sets them.

PENSTOCK_WATCH_NAMESPACES (comma-separated, `*` for all, default the operator's own), PENSTOCK_NAMESPACE,
PENSTOCK_POD_NAME, PENSTOCK_LEASE_NAME, PENSTOCK_HTTP_HOST, PENSTOCK_HTTP_PORT, PENSTOCK_LOG_LEVEL, PENSTOCK_LOG_FORMAT,
PENSTOCK_POD_MONITORS, PENSTOCK_POD_MONITOR_LABELS, PENSTOCK_RELIST_SECONDS, PENSTOCK_MAX_DATABASES,
PENSTOCK_DATABASES_PER_NAMESPACE, PENSTOCK_DATABASE_MEMORY_MIB, PENSTOCK_LOOPBACK_DATABASES.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from .errors import SettingsError

ALL_NAMESPACES: Final = "*"
MAX_NAME: Final = 253
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS: Final = ("text", "json")
_VALUE: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PART: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_VALUE: Final = re.compile(_VALUE)
_LABEL_KEY: Final = re.compile(rf"({_PART}(\.{_PART})*/)?{_VALUE}")
_NAME: Final = re.compile(rf"{_PART}(\.{_PART})*")
_NAMESPACE: Final = re.compile(_PART)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """One operator process.

    Args:
        watch_namespaces: whose JobQueues are reconciled; `*` for all, default its own.
        namespace: the operator's own, where its lease lives.
        pod_name: this process among all replicas.
        lease_name: of the Lease by which one of several replicas leads; empty: there is only this one.
        http_host: address of /healthz, /readyz and /metrics; `::` for all, IPv4 too, which the chart sets.
        http_port: port of the same, 0 for any free one.
        log_level: minimum level logged: debug, info, warning, error or critical.
        log_format: `text` for people, `json` for machines.
        pod_monitors: `auto`: each JobQueue gets a PodMonitor if the cluster has that kind; `never`: none.
        relist_seconds: between two lists of all objects, which find what the watches missed, 1 to 300.
        pod_monitor_labels: labels of PodMonitors in addition to the operator's own, as key=value separated by commas.
        max_databases: database addresses that are served at once, each by a process of its own, 1 to 1000.
        databases_per_namespace: the same for the JobQueues of one namespace, 1 to 1000.
        database_memory_mib: private memory that the process of one database may take, 48 to 1024 MiB.
        loopback_databases: whether a database may be on the operator's own machine: `allow`, `refuse`, or `auto`, which
            refuses it in a pod, where loopback is the operator and its sidecars, and allows it elsewhere.
    """

    watch_namespaces: tuple[str, ...] = ("default",)
    namespace: str = "default"
    pod_name: str = "operator"
    lease_name: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 9465
    log_level: str = "info"
    log_format: str = "text"
    pod_monitors: bool = True
    relist_seconds: int = 60
    pod_monitor_labels: Mapping[str, str] = field(default_factory=dict)
    max_databases: int = 20
    databases_per_namespace: int = 5
    database_memory_mib: int = 96
    loopback_databases: bool = True

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """The settings that `environ` holds; a variable that is missing or empty means its default.

        Raises:
            SettingsError: a value that breaks its rule.
        """
        namespace = _name(environ, "PENSTOCK_NAMESPACE", "default")
        watched = environ.get("PENSTOCK_WATCH_NAMESPACES") or namespace
        return cls(
            watch_namespaces=_namespaces(watched),
            namespace=namespace,
            pod_name=_name(environ, "PENSTOCK_POD_NAME", socket.gethostname().lower() or "operator"),
            lease_name=_name(environ, "PENSTOCK_LEASE_NAME", ""),
            http_host=environ.get("PENSTOCK_HTTP_HOST") or "127.0.0.1",
            http_port=_port(environ.get("PENSTOCK_HTTP_PORT") or "9465"),
            log_level=_one_of(environ, "PENSTOCK_LOG_LEVEL", "info", LOG_LEVELS),
            log_format=_one_of(environ, "PENSTOCK_LOG_FORMAT", "text", LOG_FORMATS),
            relist_seconds=_number(environ, "PENSTOCK_RELIST_SECONDS", 60, 1, 300),
            max_databases=_number(environ, "PENSTOCK_MAX_DATABASES", 20, 1, 1000),
            databases_per_namespace=_number(environ, "PENSTOCK_DATABASES_PER_NAMESPACE", 5, 1, 1000),
            database_memory_mib=_number(environ, "PENSTOCK_DATABASE_MEMORY_MIB", 96, 48, 1024),
            loopback_databases=_loopback(environ),
            pod_monitors=_one_of(environ, "PENSTOCK_POD_MONITORS", "auto", ("auto", "never")) == "auto",
            pod_monitor_labels=_labels(environ.get("PENSTOCK_POD_MONITOR_LABELS") or ""),
        )

    @property
    def everywhere(self) -> bool:
        """True if all namespaces are watched."""
        return self.watch_namespaces == (ALL_NAMESPACES,)


def _name(environ: Mapping[str, str], variable: str, default: str) -> str:
    value = environ.get(variable) or default
    if value and not (len(value) <= MAX_NAME and _NAME.fullmatch(value)):
        raise SettingsError(f"{variable} must be a name of lower case letters, digits, '-' and '.', got {value!r}")
    return value


def _namespaces(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if ALL_NAMESPACES in names:
        return (ALL_NAMESPACES,)
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise SettingsError(f"PENSTOCK_WATCH_NAMESPACES must be namespaces separated by commas, or *, got {name!r}")
    if not names:
        raise SettingsError(f"PENSTOCK_WATCH_NAMESPACES must name a namespace, got {text!r}")
    return names


def _loopback(environ: Mapping[str, str]) -> bool:
    asked = _one_of(environ, "PENSTOCK_LOOPBACK_DATABASES", "auto", ("auto", "allow", "refuse"))
    in_a_pod = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    return asked == "allow" or (asked == "auto" and not in_a_pod)


def _labels(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    for key, equals, value in pairs:
        if not (equals and _LABEL_KEY.fullmatch(key) and (not value or _LABEL_VALUE.fullmatch(value))):
            said = f"{key}{equals}{value}"
            raise SettingsError(f"PENSTOCK_POD_MONITOR_LABELS must be key=value separated by commas, got {said!r}")
    return {key: value for key, _, value in pairs}


def _number(environ: Mapping[str, str], variable: str, default: int, minimum: int, maximum: int) -> int:
    text = environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and minimum <= int(text) <= maximum):
        raise SettingsError(f"{variable} must be a whole number from {minimum} to {maximum}, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise SettingsError(f"PENSTOCK_HTTP_PORT must be a port from 0 to 65535, got {text!r}")
    return int(text)


def _one_of(environ: Mapping[str, str], variable: str, default: str, choices: tuple[str, ...]) -> str:
    value = environ.get(variable) or default
    if value not in choices:
        raise SettingsError(f"{variable} must be one of {', '.join(choices)}, got {value!r}")
    return value
