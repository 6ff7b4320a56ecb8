"""Command lines of KEDA's processes, and the certificates between them and the API server.

As in KEDA's manifests, but with certificates that are there before KEDA starts, and with ports on loopback. KEDA's
adapter binds the port of its metrics on all addresses; it has no flag for that.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.certificates import authority, signed

from benchmarks._keda_manifests import ADAPTER, KEDA_NAMESPACE

_AGGREGATION = {
    "requestheader-client-ca-file": "ca.crt",
    "proxy-client-cert-file": "proxy.crt",
    "proxy-client-key-file": "proxy.key",
}
_HEADERS = (
    "--requestheader-allowed-names=aggregator",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
)


def certificates(folder: Path) -> list[str]:
    """An authority and what it signs; flags of the API server's aggregation layer."""
    authority(folder)
    signed(folder, "proxy", subject="aggregator")
    names = f"DNS:{ADAPTER}.{KEDA_NAMESPACE}.svc,DNS:localhost,IP:127.0.0.1"
    signed(folder, "tls", subject="keda", alternative=names)
    return [*(f"--{flag}={folder / name}" for flag, name in _AGGREGATION.items()), *_HEADERS]


def operator_flags(folder: Path, service: int, metrics: int, probes: int) -> list[str]:
    """Of the operator, which serves metrics to the adapter at `service`."""
    return [
        "--leader-elect",
        "--zap-log-level=info",
        "--zap-encoder=console",
        "--enable-cert-rotation=false",
        f"--cert-dir={folder}",
        f"--metrics-service-bind-address=127.0.0.1:{service}",
        f"--metrics-bind-address=127.0.0.1:{metrics}",
        f"--health-probe-bind-address=127.0.0.1:{probes}",
    ]


def adapter_flags(folder: Path, kubeconfig: Path, service: int, port: int, page: int) -> list[str]:
    """Of the metrics adapter, which listens on `port` and asks the operator at `service`."""
    return [
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--port={page}",
        "--zap-log-level=error",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--cert-dir={folder}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--lister-kubeconfig={kubeconfig}",
        f"--metrics-service-address=127.0.0.1:{service}",
    ]
