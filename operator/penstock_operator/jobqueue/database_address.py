"""Builds the address that the operator connects to from a JobQueue and the content of its Secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from penstock.database.url import compose, with_verification
from penstock.errors import ConfigurationError
from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY, DatabaseRef, SecretRef

from ..database.address import Address
from ..kube.secrets import Secrets
from ..resources.conditions import Problem
from ..resources.resource import JobQueue

OPTIONAL: Final = frozenset({"port"})
"""Parts that a Secret may lack."""


def address_of(queue: JobQueue, secrets: Secrets, *, loopback: bool = True) -> Address | Problem:
    """The address, or reason and sentence of the first thing that is wrong with the Secrets.

    Args:
        queue: a valid one.
        secrets: that have read those of the queue.
        loopback: whether the database may be on the operator's machine.
    """
    assert queue.policy is not None
    reference = queue.policy.database_ref
    secret = reference.operator_secret_ref or reference.secret_ref
    url = _url(queue, reference, secret, secrets)
    if not isinstance(url, str):
        return url
    direct = url
    if reference.direct_key is not None and reference.operator_secret_ref is None:
        found = secrets.found((queue.namespace, secret.name, reference.direct_key))
        if not isinstance(found, str):
            return found
        direct = found
    return _with_certificates(queue, reference, Address(url=url, direct_url=direct, loopback=loopback), secrets)


def _with_certificates(
    queue: JobQueue, reference: DatabaseRef, address: Address, secrets: Secrets
) -> Address | Problem:
    """The address with what the server is verified by, and with what is shown to it."""
    if (authorities := reference.ca_secret_ref) is not None:
        found = secrets.found((queue.namespace, authorities.name, authorities.key))
        if not isinstance(found, str):
            return found
        url, direct = with_verification(address.url), with_verification(address.direct_url)
        address = replace(address, url=url, direct_url=direct, ca=found)
    if (client := reference.operators_client_certificate) is None:
        return address
    certificate = secrets.found((queue.namespace, client.name, TLS_CERTIFICATE))
    key = secrets.found((queue.namespace, client.name, TLS_KEY))
    if not isinstance(certificate, str):
        return certificate
    if not isinstance(key, str):
        return key
    return replace(address, certificate=certificate, key=key)


def _url(queue: JobQueue, reference: DatabaseRef, secret: SecretRef, secrets: Secrets) -> str | Problem:
    if secret.parts is None:
        return secrets.found((queue.namespace, secret.name, secret.key))
    literals = reference.literals()
    values: dict[str, str] = {}
    for part, key in secret.parts.keys().items():
        found = literals.get(part) or secrets.found((queue.namespace, secret.name, key))
        if not isinstance(found, str):
            if part not in OPTIONAL:
                return found
            found = ""
        values[part] = found
    try:
        return composed(values)
    except ConfigurationError as error:
        return "InvalidURL", f"Secret {secret.name}: {error}"


def composed(values: Mapping[str, str]) -> str:
    """The URL of the parts as a JobQueue names them."""
    return compose(
        host=values["host"],
        port=values.get("port", ""),
        user=values["username"],
        password=values["password"],
        database=values["dbname"],
    )
