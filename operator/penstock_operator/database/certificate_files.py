"""Certificates of an address as in-memory files for libpq, because the container has no writable folder.

A file has no name, only this process and its user can read it, and it goes with the object that it is made for.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from typing import Final

from penstock.database.client_certificate import check, memory_file, with_client_certificate
from penstock.database.url import with_certificates
from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY

from .address import Address

WHERE: Final = "databaseRef.clientCertificateSecretRef"


def with_files(address: Address, owner: object) -> Address:
    """The address with its certificates as files that its URLs name.

    Args:
        address: as it was given.
        owner: the files are there as long as this object is.

    Raises:
        InvalidClientCertificate: the client certificate cannot be used; the sentence quotes nothing of it.
    """
    urls = (address.url, address.direct_url)
    if address.ca is not None:
        authorities = _file("penstock-ca", address.ca, owner)
        urls = (with_certificates(urls[0], authorities), with_certificates(urls[1], authorities))
    if address.certificate is not None:
        certificate = _file("penstock-certificate", address.certificate, owner)
        key = _file("penstock-key", address.key or "", owner)
        check(certificate, key, where=WHERE, names=(TLS_CERTIFICATE, TLS_KEY))
        first, second = (with_client_certificate(one, certificate, key, where=WHERE) for one in urls)
        urls = (first, second)
    return replace(address, url=urls[0], direct_url=urls[1], ca=None, certificate=None, key=None)


def _file(name: str, text: str, owner: object) -> str:
    descriptor = memory_file(name, text.encode())
    weakref.finalize(owner, os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"
