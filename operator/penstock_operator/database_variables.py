"""How a worker's pod learns where the database is: variables from the Secrets, and a file of certificates. Pure.

No value of a Secret is in a manifest. The certificates are a mounted file and not a variable, because bundles of public
clouds are larger than a variable may be, and because a renewed one reaches a running pod that way.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.database_variables import CA_FILE, DIRECT_URL, SECRET_PARTS, URL
from penstock.scaling.database_ref import DatabaseRef

from .addresses import OPTIONAL

CA_VOLUME: Final = "penstock-database-ca"
CA_FOLDER: Final = "/etc/penstock/database-ca"
_CA_NAME: Final = "ca.crt"
_READABLE: Final = 0o444


def database_variables(reference: DatabaseRef) -> dict[str, dict[str, Any]]:
    """The variables of the container, by name."""
    secret = reference.secret_ref
    found: dict[str, dict[str, Any]] = {}
    if secret.parts is None:
        found[URL] = _from_secret(secret.name, secret.key)
    else:
        literals = reference.literals()
        for part, key in secret.parts.keys().items():
            variable = SECRET_PARTS[part]
            found[variable] = _from_secret(secret.name, key, optional=part in OPTIONAL)
            if part in literals:
                found[variable] = {"value": literals[part]}
    if reference.direct_key is not None:
        found[DIRECT_URL] = _from_secret(secret.name, reference.direct_key)
    if reference.ca_secret_ref is not None:
        found[CA_FILE] = {"value": f"{CA_FOLDER}/{_CA_NAME}"}
    return found


def _from_secret(name: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": name, "key": key}
    return {"valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}


def mount_certificates(pod: dict[str, Any], worker: dict[str, Any], reference: DatabaseRef) -> None:
    """Mount the certificates of `caSecretRef` into the worker's container.

    Args:
        pod: the spec of the template, normalized; changed in place.
        worker: its container, changed in place.
        reference: of the JobQueue.
    """
    secret = reference.ca_secret_ref
    if secret is None:
        return
    items = [{"key": secret.key, "path": _CA_NAME}]
    source = {"secretName": secret.name, "items": items, "defaultMode": _READABLE}
    others = [one for one in pod.get("volumes") or () if one.get("name") != CA_VOLUME]
    pod["volumes"] = [*others, {"name": CA_VOLUME, "secret": source}]
    mounts = [one for one in worker.get("volumeMounts") or () if one.get("name") != CA_VOLUME]
    worker["volumeMounts"] = [*mounts, {"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": True}]
