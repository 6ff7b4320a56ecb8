"""Secrets as other tools write them: the operator's address and the pod's variables lead to the same database."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from penstock.database.variables import CERTIFICATE_FILE, KEY_FILE, urls_from_variables
from penstock_operator.database.address import Address
from penstock_operator.jobqueue.database_address import address_of
from penstock_operator.jobqueue.template import manifests
from penstock_operator.jobqueue.template.database_variables import CA_FOLDER, CA_VOLUME, CLIENT_FOLDER, CLIENT_VOLUME
from penstock_operator.kube.client import Cluster
from penstock_operator.kube.secret_content import SecretContent
from penstock_operator.kube.secrets import Secrets, secrets_of
from tests.unit.jobqueue.verdicts import WORKER, pod
from tests.unit.operator_parts.objects import jobqueue

CLOUDNATIVEPG = {
    "username": "app",
    "user": "app",
    "password": "p@ss/w:rd%#ü",
    "host": "shop-rw",
    "port": "5432",
    "dbname": "app",
    "uri": "postgresql://app:p%40ss@shop-rw.db:5432/app",
    "jdbc-uri": "jdbc:postgresql://…",
    "pgpass": "…",
}
ZALANDO = {"username": "shop", "password": "p@ss"}
RDS = {"engine": "postgres", "username": "shop", "password": "p@ss", "host": "shop.rds.example.com", "dbname": "shop"}
CRUNCHY = {
    "user": "shop",
    "password": "p@ss",
    "host": "shop-primary.db.svc",
    "port": "5432",
    "dbname": "shop",
    "pgbouncer-host": "shop-pgbouncer.db.svc",
    "uri": "postgresql://shop:p%40ss@shop-primary.db.svc:5432/shop",
}


class Server:
    def __init__(self, secrets: dict[str, dict[str, str]]) -> None:
        self.secrets = secrets

    async def secret(self, namespace: str, name: str) -> SecretContent:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.secrets[name].items()}
        return SecretContent.read({"metadata": {"name": name, "uid": "u", "resourceVersion": "1"}, "data": data})


async def address(reference: dict[str, Any], **secrets: dict[str, str]) -> Address | tuple[str, str]:
    queue, read = jobqueue(databaseRef=reference), Secrets(cast("Cluster", Server(secrets)))
    await read.read(secrets_of(queue), suspect=set())
    return address_of(queue, read)


def pod_urls(reference: dict[str, Any], **secrets: dict[str, str]) -> dict[str, str]:
    """What a worker makes of the variables that its pod gets, resolved as a kubelet does."""
    (worker,) = manifests.deployment(jobqueue(databaseRef=reference))["spec"]["template"]["spec"]["containers"]
    environ = {}
    for one in worker["env"]:
        if "value" in one:
            environ[one["name"]] = one["value"]
        elif (found := one["valueFrom"].get("secretKeyRef")) is not None:
            current = secrets[found["name"]]
            if found["key"] in current or not found.get("optional"):
                environ[one["name"]] = current[found["key"]]
    return urls_from_variables(environ)


@pytest.mark.parametrize(
    ("reference", "secret", "url"),
    [
        ({"secretRef": {"name": "db", "key": "uri"}}, CLOUDNATIVEPG, CLOUDNATIVEPG["uri"]),
        (
            {"secretRef": {"name": "db", "parts": {}}},
            CLOUDNATIVEPG,
            "postgresql://app:p%40ss%2Fw%3Ard%25%23%C3%BC@shop-rw:5432/app",
        ),
        (
            {"secretRef": {"name": "db", "parts": {}}, "host": "acid-shop.db", "dbname": "shop"},
            ZALANDO,
            "postgresql://shop:p%40ss@acid-shop.db:5432/shop",
        ),
        ({"secretRef": {"name": "db", "parts": {}}}, RDS, "postgresql://shop:p%40ss@shop.rds.example.com:5432/shop"),
        (
            {"secretRef": {"name": "db", "parts": {"username": "user", "host": "pgbouncer-host"}}, "port": 6432},
            CRUNCHY,
            "postgresql://shop:p%40ss@shop-pgbouncer.db.svc:6432/shop",
        ),
    ],
    ids=["CloudNativePG, uri", "CloudNativePG, parts", "Zalando", "RDS", "Crunchy"],
)
async def test_secrets_of_other_tools_are_understood_by_operator_and_worker_alike(reference, secret, url):
    """No value of them is in the manifest."""
    found = await address(reference, db=secret)
    assert isinstance(found, Address)
    assert (found.url, found.direct_url) == (url, url)
    assert pod_urls(reference, db=secret)["PENSTOCK_DATABASE_URL"] == url
    assert secret["password"] not in f"{manifests.deployment(jobqueue(databaseRef=reference))}"


async def test_a_part_that_is_missing_or_wrong_is_a_reason_without_its_value():
    """The key is named where it is missing, the part where it makes no URL."""
    parts = {"secretRef": {"name": "db", "parts": {}}}
    found = await address(parts, db=ZALANDO)
    assert found == ("SecretUnreadable", "Secret db, key 'host': Secret db has no key 'host'")
    found = await address(parts, db=RDS | {"port": "swordfish"})
    assert found == ("InvalidURL", "Secret db: database: port must be a number from 1 to 65535")
    found = await address(parts, db=RDS | {"host": "/var/run/swordfish"})
    assert isinstance(found, tuple)
    assert found[0] == "InvalidURL"
    assert "swordfish" not in found[1]


async def test_certificates_reach_the_operator_as_text_and_the_worker_as_a_file():
    """Both verify in full by them; the volume's name and place are the operator's, whatever the template says."""
    reference = {"secretRef": {"name": "db"}, "caSecretRef": {"name": "ca"}}
    secrets = {"db": {"url": "postgresql://u:p@h/d"}, "ca": {"ca.crt": "-----BEGIN CERTIFICATE-----\n"}}
    found = await address(reference, **secrets)
    assert isinstance(found, Address)
    assert found.url == "postgresql://u:p@h/d?sslmode=verify-full"
    assert found.ca == "-----BEGIN CERTIFICATE-----"
    assert pod_urls(reference, **secrets)["PENSTOCK_DATABASE_URL"] == (
        f"postgresql://u:p@h/d?sslrootcert={CA_FOLDER}/ca.crt&sslmode=verify-full"
    )
    volumes = [{"name": CA_VOLUME, "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    template = pod(WORKER | {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}, volumes=volumes)
    spec = manifests.pod_template(jobqueue(databaseRef=reference, worker__template=template))["spec"]
    assert [one["name"] for one in spec["volumes"]] == ["tmp", CA_VOLUME]
    assert spec["volumes"][1]["secret"] == {
        "secretName": "ca",
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
        "defaultMode": 0o444,
    }
    mounts = spec["containers"][0]["volumeMounts"]
    assert mounts[1] == {"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": True}


CLIENT = {"tls.crt": "-----BEGIN CERTIFICATE-----\n", "tls.key": "-----BEGIN PRIVATE KEY-----\n"}


async def test_a_client_certificate_reaches_the_operator_as_text_and_the_worker_as_files():
    """Nothing of it is in the manifest or in a repr."""
    reference = {"secretRef": {"name": "db"}, "clientCertificateSecretRef": {"name": "tls"}}
    found = await address(reference, db={"url": "postgresql://u@h/d"}, tls=CLIENT)
    assert isinstance(found, Address)
    assert (found.certificate, found.key) == ("-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----")
    assert "BEGIN" not in repr(found)
    spec = manifests.deployment(jobqueue(databaseRef=reference))["spec"]["template"]["spec"]
    (worker,) = spec["containers"]
    values = {one["name"]: one.get("value") for one in worker["env"]}
    assert values[CERTIFICATE_FILE] == f"{CLIENT_FOLDER}/tls.crt"
    assert values[KEY_FILE] == f"{CLIENT_FOLDER}/tls.key"
    (volume,) = spec["volumes"]
    assert volume["secret"]["secretName"] == "tls"
    assert {one["path"] for one in volume["secret"]["items"]} == {"tls.crt", "tls.key"}
    assert worker["volumeMounts"] == [{"name": CLIENT_VOLUME, "mountPath": CLIENT_FOLDER, "readOnly": True}]


async def test_the_operator_may_have_a_client_certificate_of_its_own():
    """Its login is another, and with verify-full the common name is the login's; workers keep theirs."""
    reference = {
        "secretRef": {"name": "db"},
        "operatorSecretRef": {"name": "db"},
        "caSecretRef": {"name": "ca"},
        "clientCertificateSecretRef": {"name": "tls"},
        "operatorClientCertificateSecretRef": {"name": "own"},
    }
    secrets = {
        "db": {"url": "postgresql://u@h/d"},
        "tls": CLIENT,
        "own": CLIENT | {"tls.key": "own"},
        "ca": {"ca.crt": "C"},
    }
    found = await address(reference, **secrets)
    assert isinstance(found, Address)
    assert (found.key, found.ca) == ("own", "C")
    spec = manifests.deployment(jobqueue(databaseRef=reference))["spec"]["template"]["spec"]
    assert [one["secret"]["secretName"] for one in spec["volumes"]] == ["ca", "tls"]


@pytest.mark.parametrize("lacking", ["tls.crt", "tls.key"])
async def test_a_client_certificate_without_one_of_its_keys_is_named(lacking: str):
    """As a missing URL is."""
    reference = {"secretRef": {"name": "db"}, "clientCertificateSecretRef": {"name": "tls"}}
    secret = {key: value for key, value in CLIENT.items() if key != lacking}
    found = await address(reference, db={"url": "postgresql://u@h/d"}, tls=secret)
    assert found == ("SecretUnreadable", f"Secret tls, key {lacking!r}: Secret tls has no key {lacking!r}")


async def test_a_missing_certificate_is_named():
    """As a missing URL is."""
    reference = {"secretRef": {"name": "db"}, "caSecretRef": {"name": "ca", "key": "root.pem"}}
    found = await address(reference, db={"url": "postgresql://u:p@h/d"}, ca={})
    assert found == ("SecretUnreadable", "Secret ca, key 'root.pem': Secret ca has no key 'root.pem'")
