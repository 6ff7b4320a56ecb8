"""Access to the API server: address, headers, TLS. From the pod's service account, else the kubeconfig.

The address of a pod's API server is that of KUBERNETES_SERVICE_HOST: it needs no name server.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """Of this moment; a service account's token is another one tomorrow.

    Args:
        server: the URL, without a path.
        headers: that present the credentials; never for a log.
        tls: None for plain HTTP, and for the machine's own authorities.
    """

    server: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"ApiAccess({self.server!r})"


def tls_of(*, ca_file: str | None, certificate: str | None, key: str | None, verify: bool) -> ssl.SSLContext:
    """The context of a client that trusts that authority alone.

    Args:
        ca_file: PEM; None for the machine's authorities.
        certificate: PEM file of the client's own, None for none.
        key: PEM file of its key.
        verify: False takes any server for the API server.
    """
    made = ssl.create_default_context(cafile=ca_file)
    if certificate:
        made.load_cert_chain(certificate, key)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
