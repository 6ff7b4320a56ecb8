"""Security defaults of a worker pod: what Pod Security `restricted` asks for, unless the template asks for more. Pure.

A default is added where the template is silent and where it cannot contradict what is there. A container that asks for
privileges (uid 0, privileged, a capability beyond those that `restricted` allows) gets them: it is left as it is
written, the other containers get their defaults, and Pod Security decides about the pod.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

SECCOMP: Final = {"type": "RuntimeDefault"}
_ALLOWED: Final = frozenset({"NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE"})
"""Capabilities that `restricted` lets a container add."""


def restrict(pod: dict[str, Any]) -> None:
    """Complete the security contexts of a normalized PodSpec and of its containers, in place."""
    if _is_windows(pod):
        return  # the API server refuses Linux fields there
    context = pod.setdefault("securityContext", {})
    containers = [*pod["containers"], *pod.get("initContainers", ())]
    plain = [one for one in containers if not _asks_for_privileges(one, context)]
    unconfined = [one for one in containers if _context(one).get("privileged")]
    _inherit("runAsNonRoot", True, context, containers, plain)
    _inherit("seccompProfile", SECCOMP, context, containers, [one for one in containers if one not in unconfined])
    for container in plain:
        own = container.setdefault("securityContext", {})
        own.setdefault("allowPrivilegeEscalation", False)
        own.setdefault("capabilities", {}).setdefault("drop", ["ALL"])
    for empty in [one for one in (pod, *containers) if one.get("securityContext") == {}]:
        del empty["securityContext"]


def _inherit(
    name: str, value: Any, pod: dict[str, Any], everyone: Sequence[dict[str, Any]], fitting: Sequence[dict[str, Any]]
) -> None:
    """A default for the whole pod if it fits every container, else for each that it fits."""
    if name in pod:
        return
    whole = len(fitting) == len(everyone)
    for context in [pod] if whole else [one.setdefault("securityContext", {}) for one in fitting]:
        context.setdefault(name, copy.copy(value))


def _context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = container.get("securityContext") or {}
    return found


def _asks_for_privileges(container: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    own = _context(container)
    added = (own.get("capabilities") or {}).get("add") or ()
    return (
        own.get("runAsUser", pod.get("runAsUser")) == 0
        or own.get("privileged", False)
        or any(name.upper() not in _ALLOWED for name in added)
        or own.get("procMount", "Default") != "Default"
    )


def _is_windows(pod: Mapping[str, Any]) -> bool:
    os = (pod.get("os") or {}).get("name") or (pod.get("nodeSelector") or {}).get("kubernetes.io/os")
    return bool(os == "windows")
