"""Certificates for tests, made by the machine's openssl: authorities, servers, clients."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.postgres import missing


def authority(folder: Path, name: str = "ca") -> None:
    """`NAME.crt` and `NAME.key` of an authority that signs itself."""
    _make(folder, name, name)


def signed(folder: Path, name: str, *, subject: str, by: str = "ca", alternative: str = "") -> None:
    """`NAME.crt` and `NAME.key`, signed by an authority of the same folder.

    Args:
        folder: where all of them are.
        name: of the files.
        subject: the common name.
        by: the authority's name.
        alternative: the subject's alternative name, such as `IP:127.0.0.1`.
    """
    more = ["-CA", f"{by}.crt", "-CAkey", f"{by}.key", "-addext", "basicConstraints=CA:FALSE"]
    _make(folder, name, subject, *more, *(["-addext", f"subjectAltName={alternative}"] if alternative else []))


def _make(folder: Path, name: str, subject: str, *options: str) -> None:
    if shutil.which("openssl") is None:
        missing("no openssl on PATH to make certificates with")
    files = ["-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    subprocess.run(["openssl", "req", "-x509", *key, *files, *options], cwd=folder, check=True, capture_output=True)
