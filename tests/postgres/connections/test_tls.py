"""TLS with a real server: a private authority, the system's, and the refusal of any other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.database.system_certificates import use_system_certificates
from penstock.database.url import with_certificates
from penstock.errors import DatabaseUnavailable
from penstock.store import check_schema
from penstock_operator.database.address import Address
from penstock_operator.database.connection import Database
from tests.support.postgres import Servers, missing
from tests.support.tls_proxy import TlsProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate, one of a server for 127.0.0.1 that it signed, and an unrelated one."""
    if shutil.which("openssl") is None:
        missing("no openssl on PATH to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    own = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name, options in (("ca", []), ("other", []), ("server", [*signed, "-addext", "basicConstraints=CA:FALSE"])):
        command = ["openssl", "req", *own, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
        subprocess.run([*command, *options], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def secured(servers: Servers, authority: Path) -> Iterator[str]:
    """URL of a migrated database with TLS: the client's side is what is tested, on one server."""
    certificate, key = authority / "server.crt", authority / "server.key"
    with servers.newest.database() as database, TlsProxy(database.url, certificate=certificate, key=key) as proxy:
        yield proxy.url


async def test_the_operator_verifies_by_the_certificates_that_it_is_given(secured: str, authority: Path):
    """Text of a Secret, in a file of memory; another authority's are refused."""
    for name, good in (("ca", True), ("other", False)):
        url = f"{secured}?sslmode=verify-full"
        address = Address(url=url, direct_url=url, ca=(authority / f"{name}.crt").read_text())
        database = Database(address=address, holder="a", woken=lambda _: None)
        if good:
            await database.open()
            assert database.listening
        else:
            with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
                await database.open()
        await database.close()


def test_a_worker_verifies_by_the_file_that_is_mounted(secured: str, authority: Path):
    """In full: the URL need not say so."""
    check_schema(with_certificates(secured, str(authority / "ca.crt")))
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        check_schema(with_certificates(secured, str(authority / "other.crt")))


def test_sslrootcert_system_verifies_by_the_machines_file_and_doctor_says_which(secured: str, authority: Path):
    """Which the client library's own OpenSSL does not find."""
    environ = {
        "PATH": os.defpath,
        "PENSTOCK_DATABASE_URL": f"{secured}?sslrootcert=system",
        "SSL_CERT_FILE": str(authority / "ca.crt"),
    }
    program = [str(Path(sys.executable).parent / "penstock"), "doctor"]
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)
    assert f"sslrootcert=system uses {authority / 'ca.crt'}" in done.stdout
    assert "FAILURE" not in done.stdout, done.stdout
    used = use_system_certificates({})
    if used is not None:
        refused = subprocess.run(
            program, env=environ | {"SSL_CERT_FILE": ""}, capture_output=True, text=True, check=False
        )
        assert f"sslrootcert=system uses {used}" in refused.stdout
        assert "certificate verify failed" in refused.stdout
