"""The database URLs of a JobQueue, read from the cluster by running kubectl with its credentials and contexts.

Running kubectl needs no client library. Its output contains a Secret: it is read from a pipe, never printed, never part
of an error, and never an argument of another program.
"""

from __future__ import annotations

import atexit
import base64
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from penstock.database.variables import CA_FILE, CERTIFICATE_FILE, DIRECT_URL, KEY_FILE, SECRET_PARTS, URL
from penstock.errors import ConfigurationError, PenstockError
from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY
from penstock.jobqueue.resource_names import is_resource_name

from .output import safe

RESOURCE: Final = "jobqueues.penstock.dev"
TIMEOUT_SECONDS: Final = 30


def variables_of_jobqueue(jobqueue: str, namespace: str | None) -> dict[str, str]:
    """The environment variables by which the JobQueue's workers find the database.

    If the JobQueue names a Secret for the operator, that one is used, because the operator's role may read everything.

    Raises:
        ConfigurationError: kubectl is not installed, or the Secret lacks the key.
        PenstockError: kubectl failed; the message contains the first line of its error.
    """
    reference = _get(RESOURCE, jobqueue, namespace).get("spec", {}).get("databaseRef", {})
    own = reference.get("operatorSecretRef")
    chosen = own or reference.get("secretRef") or {}
    name, key = chosen.get("name"), chosen.get("key", "url")
    if not name:
        raise ConfigurationError(f"JobQueue {jobqueue}: spec.databaseRef.secretRef.name must be set")
    if not is_resource_name(name):  # the author of the JobQueue must not be able to name another object or an option
        where = "operatorSecretRef" if own else "secretRef"
        raise ConfigurationError(
            f"JobQueue {jobqueue}: spec.databaseRef.{where}.name must be the name of a Secret in its namespace, "
            f"got {ascii(name)[:80]}"
        )
    data = _get("secret", name, namespace).get("data") or {}
    direct = None if own else reference.get("directKey")
    found = {DIRECT_URL: _decoded(data, name, direct) if direct else ""}
    if isinstance(parts := chosen.get("parts"), dict):
        found |= _parts(data, name, parts, reference)
    else:
        found[URL] = _decoded(data, name, key)
    if ca := reference.get("caSecretRef"):
        found |= _files(jobqueue, "caSecretRef", ca, namespace, {CA_FILE: ca.get("key", "ca.crt")})
    for client in ("operatorClientCertificateSecretRef", "clientCertificateSecretRef"):
        if reference.get(client):
            keys = {CERTIFICATE_FILE: TLS_CERTIFICATE, KEY_FILE: TLS_KEY}
            return found | _files(jobqueue, client, reference[client], namespace, keys)
    return found


def _files(
    jobqueue: str, field: str, secret: dict[str, Any], namespace: str | None, keys: dict[str, str]
) -> dict[str, str]:
    """Variables that name files with the values of a Secret; `keys` maps each variable to its key."""
    if not is_resource_name(name := secret.get("name")):
        rule = "must be the name of a Secret in its namespace"
        raise ConfigurationError(f"JobQueue {jobqueue}: spec.databaseRef.{field}.name {rule}")
    data = _get("secret", str(name), namespace).get("data") or {}
    return {variable: _kept(_decoded(data, str(name), key)) for variable, key in keys.items()}


def _parts(data: dict[str, str], name: str, keys: dict[str, str], reference: dict[str, Any]) -> dict[str, str]:
    """The variables of a URL given in parts; fields of the JobQueue win over keys of the Secret."""
    found = {}
    for part, variable in SECRET_PARTS.items():
        key = keys.get(part, part)
        if reference.get(part) is not None:
            found[variable] = str(reference[part])
        elif part != "port" or key in data:
            found[variable] = _decoded(data, name, key)
    return found


def _kept(text: str) -> str:
    """Write a file that only this user may read and that is deleted when this process exits."""
    with tempfile.NamedTemporaryFile("w", prefix="penstock-tls-", suffix=".pem", delete=False) as file:
        file.write(text + "\n")
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name


def _decoded(data: dict[str, str], name: str, key: str) -> str:
    if key not in data:
        keys = safe(", ".join(sorted(data))) or "none"
        raise ConfigurationError(f"Secret {name}: must have the key {safe(str(key))}, got {keys}")
    try:
        return base64.b64decode(data[key], validate=True).decode().strip()
    except ValueError:
        raise ConfigurationError(f"Secret {name}: the value of {safe(str(key))} must be text") from None


def _get(kind: str, name: str, namespace: str | None) -> dict[str, Any]:
    where = [] if namespace is None else [f"--namespace={namespace}"]
    command = ["kubectl", "get", kind, "--output=json", *where, "--", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except FileNotFoundError:
        raise ConfigurationError(
            "--jobqueue needs kubectl on PATH to read the JobQueue and its Secret; or set PENSTOCK_DATABASE_URL instead"
        ) from None
    except subprocess.TimeoutExpired:
        raise PenstockError(f"kubectl get {kind} {name}: no answer within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        message = safe(done.stderr.strip().split("\n", 1)[0]) or f"exit code {done.returncode}"
        raise PenstockError(f"kubectl get {kind} {safe(name)}: {message}")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise PenstockError(f"kubectl get {kind} {safe(name)}: the output is not JSON") from None
    return found
