"""The machine's certificates for `sslrootcert=system`.

libpq asks OpenSSL for the system's CA certificates. The OpenSSL in psycopg's binary wheels searches a folder of the
machine that built it, which exists nowhere else: no server could be verified. `SSL_CERT_FILE` names the right file.
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
"""The bundles of CA certificates of Linux distributions and macOS."""


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
