"""URL paths of API objects. No other module builds one.

Each segment is checked and percent-quoted separately, because tenants choose the names and the request has the
operator's rights: an HTTP client resolves '..' before it sends a path, and '/', '?' and '%' have a meaning in it. The
type `ApiPath` prevents requests of any other text.
"""

from __future__ import annotations

from typing import Final, NewType
from urllib.parse import quote

from ..errors import InvalidName

ApiPath = NewType("ApiPath", str)

MAX_SEGMENT: Final = 253
POD_MONITOR_GROUP: Final = ApiPath("/apis/monitoring.coreos.com/v1")
_KINDS: Final = {
    "JobQueue": ("/apis/penstock.dev/v1alpha1", "jobqueues"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Pod": ("/api/v1", "pods"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "PodMonitor": (POD_MONITOR_GROUP, "podmonitors"),
    "Secret": ("/api/v1", "secrets"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
}
_SUBRESOURCES: Final = frozenset({"", "scale", "status"})
_FORBIDDEN: Final = frozenset("/\\%")
_SHOWN: Final = 80


def everywhere(kind: str) -> ApiPath:
    """All objects of a kind in all namespaces."""
    group, plural = _KINDS[kind]
    return ApiPath(f"{group}/{plural}")


def collection(kind: str, namespace: str) -> ApiPath:
    """All objects of a kind in one namespace.

    Raises:
        InvalidName: no namespace can have that name.
    """
    group, plural = _KINDS[kind]
    return ApiPath(f"{group}/namespaces/{_segment('namespace', namespace)}/{plural}")


def item(kind: str, namespace: str, name: str, subresource: str = "") -> ApiPath:
    """One object, or its subresource: `scale` or `status`.

    Raises:
        InvalidName: no object, or no namespace, can have that name.
    """
    if subresource not in _SUBRESOURCES:
        raise InvalidName(f"subresource must be one of scale, status, got {_shown(subresource)}")
    path = f"{collection(kind, namespace)}/{_segment(f'{kind} name', name)}"
    return ApiPath(f"{path}/{subresource}" if subresource else path)


def field_selector(kind: str, name: str) -> str:
    """Selects the one object of that name in a list.

    Raises:
        InvalidName: no object can have that name.
    """
    _segment(f"{kind} name", name)
    return "metadata.name=" + name.replace(",", "\\,").replace("=", "\\=")


def _segment(what: str, value: object) -> str:
    """One segment, quoted; the same rule as the API server's for a path segment, and ASCII."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SEGMENT:
        raise InvalidName(f"{what} must be a text of 1 to {MAX_SEGMENT} characters, got {_shown(value)}")
    if value in {".", "..", "*"}:
        raise InvalidName(f"{what} must not be {value!r}")
    if not (value.isascii() and value.isprintable()) or not _FORBIDDEN.isdisjoint(value):
        raise InvalidName(f"{what} must be printable ASCII without '/', '\\' and '%', got {_shown(value)}")
    return quote(value, safe="")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
