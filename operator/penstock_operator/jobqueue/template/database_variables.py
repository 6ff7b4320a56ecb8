"""The database settings of a worker's pod: variables from the Secrets, and a file of certificates. Pure.

No value of a Secret is in a manifest. The certificates are a mounted file and not a variable, because bundles of public
clouds are larger than a variable may be, and because a renewed one reaches a running pod that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.database.variables import CA_FILE, CERTIFICATE_FILE, DIRECT_URL, KEY_FILE, SECRET_PARTS, URL
from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY, DatabaseRef

from ..database_address import OPTIONAL

CA_VOLUME: Final = "penstock-database-ca"
CA_FOLDER: Final = "/etc/penstock/database-ca"
_CA_NAME: Final = "ca.crt"
CLIENT_VOLUME: Final = "penstock-database-client"
CLIENT_FOLDER: Final = "/etc/penstock/database-client"
_READABLE: Final = 0o444
"""Files of a Secret belong to root, and the worker usually runs as another user: 0400 would lock it out."""


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
    if reference.client_certificate_secret_ref is not None:
        found[CERTIFICATE_FILE] = {"value": f"{CLIENT_FOLDER}/{TLS_CERTIFICATE}"}
        found[KEY_FILE] = {"value": f"{CLIENT_FOLDER}/{TLS_KEY}"}
    return found


def _from_secret(name: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": name, "key": key}
    return {"valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}


def mount_certificates(pod: dict[str, Any], worker: dict[str, Any], reference: DatabaseRef) -> None:
    """Mount the certificates of `caSecretRef` and `clientCertificateSecretRef` into the worker's container.

    Args:
        pod: the spec of the template, normalized; changed in place.
        worker: its container, changed in place.
        reference: of the JobQueue.
    """
    authorities, client = reference.ca_secret_ref, reference.client_certificate_secret_ref
    if authorities is not None:
        _mount(pod, CA_VOLUME, authorities.name, {authorities.key: _CA_NAME})
        _show(worker, CA_VOLUME, CA_FOLDER)
    if client is not None:
        _mount(pod, CLIENT_VOLUME, client.name, {one: one for one in (TLS_CERTIFICATE, TLS_KEY)})
        _show(worker, CLIENT_VOLUME, CLIENT_FOLDER)


def _mount(pod: dict[str, Any], volume: str, secret: str, files: Mapping[str, str]) -> None:
    """A volume with files by the keys of a Secret; its name is the operator's, whatever the template says."""
    items = [{"key": key, "path": path} for key, path in files.items()]
    source = {"secretName": secret, "items": items, "defaultMode": _READABLE}
    others = [one for one in pod.get("volumes") or () if one.get("name") != volume]
    pod["volumes"] = [*others, {"name": volume, "secret": source}]


def _show(worker: dict[str, Any], volume: str, folder: str) -> None:
    mounts = [one for one in worker.get("volumeMounts") or () if one.get("name") != volume]
    worker["volumeMounts"] = [*mounts, {"name": volume, "mountPath": folder, "readOnly": True}]
