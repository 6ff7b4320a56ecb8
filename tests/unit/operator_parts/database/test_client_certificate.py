"""A client certificate of a JobQueue: refused in one sentence when it cannot be shown, on no disk and in no log."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from penstock.database.client_certificate import check, private, with_client_certificate
from penstock.database.variables import CERTIFICATE_FILE, KEY_FILE, urls_from_variables
from penstock.errors import ConfigurationError, InvalidClientCertificate, InvalidDatabaseURL
from penstock.store.tenants.url import restricted
from penstock_operator.database.address import Address
from penstock_operator.database.certificate_files import WHERE, with_files
from penstock_operator.database.failure_reasons import failure_condition
from penstock_operator.database.process.tenant_address import usable
from tests.support.certificates import authority

URL = "postgresql://shop@db.example/shop"
NAMES = ("tls.crt", "tls.key")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, and the first one's key encrypted in both ways."""
    folder = tmp_path_factory.mktemp("pki")
    authority(folder, "one")
    authority(folder, "two")
    for command in (
        ["pkcs8", "-topk8", "-in", "one.key", "-passout", "pass:swordfish", "-out", "pkcs8.key"],
        ["ec", "-in", "one.key", "-aes256", "-passout", "pass:swordfish", "-out", "traditional.key"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    (folder / "empty").touch()
    (folder / "binary").write_bytes(b"\xff\xfe")
    text = (folder / "one.crt").read_text()
    (folder / "damaged.crt").write_text(text.replace("MII", "MIX", 1))
    (folder / "chain.crt").write_text(text + (folder / "two.crt").read_text())
    return folder


def address(pki: Path, certificate: str = "one.crt", key: str = "one.key", url: str = URL) -> Address:
    """As the operator's process of the database gets it."""
    texts = [(pki / name).read_text(encoding="latin-1") for name in (certificate, key)]
    return usable(Address(url=url, direct_url=url, certificate=texts[0], key=texts[1]))


class Owner:
    """Of files in memory."""


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("one.crt", "two.key", "tls.key does not match tls.crt; use a certificate and a key of one pair"),
        ("one.crt", "pkcs8.key", "tls.key is encrypted; use a key without a passphrase"),
        ("one.crt", "traditional.key", "tls.key is encrypted; use a key without a passphrase"),
        ("empty", "one.key", "tls.crt must not be empty"),
        ("one.crt", "empty", "tls.key must not be empty"),
        ("one.key", "one.key", "tls.crt must be a certificate in PEM"),
        ("one.crt", "one.crt", "tls.key must be a private key in PEM"),
        ("one.crt", "binary", "tls.key must be text in PEM"),
        ("damaged.crt", "one.key", "tls.crt and tls.key cannot be used: "),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(pki: Path, certificate: str, key: str, said: str):
    """For operator and worker alike, without a word of the content; the condition's reason names the certificate."""
    with pytest.raises(InvalidClientCertificate) as raised:
        with_files(address(pki, certificate, key), Owner())
    assert str(raised.value).startswith(f"{WHERE}: {said}")
    assert failure_condition(raised.value) == ("InvalidClientCertificate", str(raised.value))
    with pytest.raises(InvalidClientCertificate) as again:
        environ = {"PENSTOCK_DATABASE_URL": URL, CERTIFICATE_FILE: str(pki / certificate), KEY_FILE: str(pki / key)}
        urls_from_variables(environ)
    assert str(again.value).startswith("client certificate of the database: PENSTOCK_DATABASE_")
    for secret in ((pki / "one.key").read_text().splitlines()[1], "swordfish"):
        assert secret not in f"{raised.value}{again.value}{address(pki)!r}"


@pytest.mark.parametrize(("years", "said"), [(1, "tls.crt expired at "), (-1, "tls.crt is not valid before ")])
def test_a_certificate_that_is_not_valid_now_is_named_with_its_date(pki: Path, years: int, said: str):
    """The server itself says nothing but that an alert came."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=365 * years)
    with pytest.raises(InvalidClientCertificate, match=said):
        check(str(pki / "one.crt"), str(pki / "one.key"), where=WHERE, names=NAMES, now=now)


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ({}, {KEY_FILE: "one.key"}),
        ({CERTIFICATE_FILE: "one.crt"}, {}),
        ({CERTIFICATE_FILE: "x"}, {KEY_FILE: "one.key"}),
    ],
)
def test_a_worker_needs_both_files(pki: Path, certificate: dict[str, str], key: dict[str, str]):
    """The variable that is missing, or whose file is, is named."""
    environ = {name: str(pki / file) for name, file in (certificate | key).items()}
    missing = CERTIFICATE_FILE if not certificate or certificate[CERTIFICATE_FILE] == "x" else KEY_FILE
    with pytest.raises(ConfigurationError, match=missing):
        urls_from_variables({"PENSTOCK_DATABASE_URL": URL, **environ})


def test_the_operator_keeps_the_files_in_memory_and_only_as_long_as_they_are_used(pki: Path):
    """Readable by its own user alone, without a name in any folder; the URLs ask for TLS."""
    owner = Owner()
    made = with_files(address(pki, "chain.crt"), owner)
    parts = conninfo_to_dict(made.url)
    assert (parts["sslmode"], parts["sslcertmode"]) == ("require", "allow")
    assert (made.certificate, made.key, made.direct_url) == (None, None, made.url)
    for name, file in (("sslcert", "chain.crt"), ("sslkey", "one.key")):
        path = Path(str(parts[name]))
        assert path.parent == Path("/proc/self/fd")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_nlink == 0
        assert path.read_text() == (pki / file).read_text()
    del owner
    assert not Path(str(parts["sslkey"])).exists()


@pytest.mark.parametrize("mode", ["disable", "allow"])
def test_a_url_by_which_it_would_not_be_shown_is_refused(pki: Path, mode: str):
    """Both ways of writing it; a password that looks like it is none."""
    for url in (f"{URL}?sslmode={mode}", f"host=db.example user=shop sslmode={mode}", f"{URL}?a=b&sslmode={mode}&c=d"):
        with pytest.raises(InvalidClientCertificate, match=f"the URL sets sslmode={mode}"):
            with_client_certificate(url, "c", "k", where=WHERE)
    with pytest.raises(InvalidClientCertificate, match=f"the URL sets sslmode={mode}"):
        with_files(address(pki, url=f"{URL}?sslmode={mode}"), Owner())
    harmless = f"host=db password=' sslmode={mode} ' user=shop"
    assert with_client_certificate(harmless, "c", "k", where=WHERE).endswith("sslmode='require'")


def test_a_tenants_url_names_no_file_of_the_operators_machine():
    """Not even where a certificate is given; the sentence says how to give one."""
    for key in ("sslcert", "sslkey"):
        with pytest.raises(InvalidDatabaseURL, match=r"databaseRef\.clientCertificateSecretRef"):
            restricted(f"{URL}?{key}=/etc/passwd", client_certificate=True)
    with pytest.raises(InvalidDatabaseURL, match="sslcertmode"):
        restricted(f"{URL}?sslcertmode=require")
    assert (
        conninfo_to_dict(restricted(f"{URL}?sslcertmode=require", client_certificate=True))["sslcertmode"] == "require"
    )


def test_a_workers_key_that_others_may_read_is_used_from_a_copy_in_memory(pki: Path, tmp_path: Path):
    """As a mounted Secret's is; libpq refuses it. One copy a process; a key that is private stays where it is."""
    key = tmp_path / "tls.key"
    key.write_bytes((pki / "one.key").read_bytes())
    key.chmod(0o444)
    environ = {"PENSTOCK_DATABASE_URL": URL, CERTIFICATE_FILE: str(pki / "one.crt"), KEY_FILE: str(key)}
    found = [conninfo_to_dict(urls_from_variables(environ)["PENSTOCK_DATABASE_URL"]) for _ in range(2)]
    assert found[0] == found[1]
    copy = Path(str(found[0]["sslkey"]))
    assert copy.parent == Path(f"/proc/{os.getpid()}/fd")
    assert (stat.S_IMODE(copy.stat().st_mode), copy.read_bytes()) == (0o600, key.read_bytes())
    key.chmod(0o400)
    assert private(str(key)) == str(key)


def test_both_urls_get_it_and_the_urls_own_wins(pki: Path):
    """What somebody wrote into the worker's URL is theirs."""
    files: dict[str, Any] = {CERTIFICATE_FILE: str(pki / "one.crt"), KEY_FILE: str(pki / "one.key")}
    own = f"{URL}?sslcert=/c&sslkey=/k&sslmode=verify-ca"
    made = urls_from_variables({"PENSTOCK_DATABASE_URL": own, "PENSTOCK_DIRECT_URL": URL, **files})
    assert made["PENSTOCK_DATABASE_URL"] == own
    assert made["PENSTOCK_DIRECT_URL"].endswith("&sslmode=require")
    assert set(urls_from_variables(files).values()) == {""}


def test_an_application_that_uses_none_does_not_load_ssl_for_it():
    """Every process that enqueues imports both."""
    code = "import sys, penstock.database.variables; from penstock import App; sys.exit('ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
