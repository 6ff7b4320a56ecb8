"""The machine's certificates for `sslrootcert=system`.

libpq asks OpenSSL for the system's authorities. The OpenSSL inside psycopg's binary wheels looks where the machine that
built it kept them, a folder that exists on no other one, so nothing could be verified. `SSL_CERT_FILE` tells it where
they are.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Final

FILE: Final = "SSL_CERT_FILE"
FOLDER: Final = "SSL_CERT_DIR"
BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
"""Where distributions keep their authorities in one file."""


def use_system_certificates(
    environ: MutableMapping[str, str] = os.environ, bundles: Sequence[str] = BUNDLES
) -> str | None:
    """Set `SSL_CERT_FILE` to the machine's bundle, unless it or `SSL_CERT_DIR` is set; what is used then.

    Call it when a process starts, before its first connection and its first thread.

    Returns:
        The file or folder, None if this machine has none.
    """
    for name in (FILE, FOLDER):
        if environ.get(name):
            return environ[name]
    for path in bundles:
        try:
            found = Path(path).stat().st_size > 0
        except OSError:
            continue
        if found:
            environ[FILE] = path
            return path
    return None
