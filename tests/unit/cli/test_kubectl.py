"""The database of a JobQueue, through a kubectl that is a program of the test: what it is asked, what is not shown."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main
from penstock.cli.database import database_urls
from penstock.cli.kubectl import variables_of_jobqueue
from penstock.errors import ConfigurationError, PenstockError

URL = "postgresql://shop:hunter2@127.0.0.1:1/shop"
OTHER = "postgresql://watcher:hunter3@127.0.0.1:1/shop"
PROGRAM = """\
#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "asked").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
found = json.loads((here / "answers.json").read_text()).get(sys.argv[2] + "/" + sys.argv[-1])
if found is None:
    sys.exit(f'Error from server (NotFound): {{sys.argv[2]}} "{{sys.argv[-1]}}" not found')
print(json.dumps(found))
"""


def encoded(**values: str) -> dict[str, Any]:
    return {"data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}}


class Cluster:
    """A kubectl on PATH that answers from a table and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "kubectl"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        self.has()

    def has(self, **answers: Any) -> None:
        kinds = {"jobqueues": "jobqueues.penstock.dev", "secret": "secret"}
        named = {f"{kinds[name.partition('__')[0]]}/{name.partition('__')[2]}": a for name, a in answers.items()}
        (self._folder / "answers.json").write_text(json.dumps(named))

    @property
    def asked(self) -> list[str]:
        return (self._folder / "asked").read_text().splitlines()


def jobqueue(**reference: Any) -> dict[str, Any]:
    return {"spec": {"databaseRef": {"secretRef": {"name": "db"}, **reference}}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """First on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("PENSTOCK_DATABASE_URL", raising=False)
    return Cluster(tmp_path)


def test_the_url_comes_from_the_secret_that_the_jobqueue_names(cluster: Cluster):
    """In the namespace asked for; kubectl gets names, and never a URL."""
    cluster.has(jobqueues__emails=jobqueue(), secret__db=encoded(url=URL + "\n", other="x"))
    found = database_urls("emails", "shop")
    assert (found.url, found.direct_url, found.pooled) == (URL, URL, False)
    assert cluster.asked == [
        "get jobqueues.penstock.dev --output=json --namespace=shop -- emails",
        "get secret --output=json --namespace=shop -- db",
    ]
    assert "hunter2" not in repr(found)


def test_a_direct_key_and_the_operators_own_secret_are_followed(cluster: Cluster):
    """The operator's login may read everything, a worker's may not."""
    reference = {"secretRef": {"name": "db", "key": "pooled"}, "directKey": "direct"}
    cluster.has(jobqueues__emails=jobqueue(**reference), secret__db=encoded(pooled=URL, direct=OTHER))
    assert database_urls("emails", None).pooled
    assert cluster.asked[-1] == "get secret --output=json -- db"
    own = {**reference, "operatorSecretRef": {"name": "watcher"}}
    cluster.has(jobqueues__emails=jobqueue(**own), secret__watcher=encoded(url=OTHER))
    assert variables_of_jobqueue("emails", None) == {"PENSTOCK_DATABASE_URL": OTHER, "PENSTOCK_DIRECT_URL": ""}


def test_a_secret_with_parts_and_certificates_are_followed(cluster: Cluster):
    """What the JobQueue says itself wins; the certificates are a file of this process."""
    reference = {
        "secretRef": {"name": "db", "parts": {"username": "user"}},
        "dbname": "shop",
        "caSecretRef": {"name": "ca"},
    }
    parts = encoded(host="db.example.com", user="shop", password="p@ss", dbname="another")
    cluster.has(jobqueues__emails=jobqueue(**reference), secret__db=parts, secret__ca=encoded(**{"ca.crt": "PEM"}))
    found = database_urls("emails", None)
    url, _, query = found.url.partition("?")
    assert url == "postgresql://shop:p%40ss@db.example.com:5432/shop"
    file = query.removeprefix("sslrootcert=").removesuffix("&sslmode=verify-full")
    assert Path(file).read_text() == "PEM\n"


@pytest.mark.parametrize("field", ["clientCertificateSecretRef", "operatorClientCertificateSecretRef"])
def test_a_client_certificate_is_a_pair_of_private_files(cluster: Cluster, field: str):
    """Of this process, readable by its user alone; the operator's own comes first."""
    reference = {"secretRef": {"name": "db"}, "clientCertificateSecretRef": {"name": "other"}, field: {"name": "tls"}}
    pair = encoded(**{"tls.crt": "C", "tls.key": "K"})
    cluster.has(jobqueues__emails=jobqueue(**reference), secret__db=encoded(url=URL), secret__tls=pair)
    found = variables_of_jobqueue("emails", None)
    files = [Path(found[name]) for name in ("PENSTOCK_DATABASE_CERTIFICATE_FILE", "PENSTOCK_DATABASE_KEY_FILE")]
    assert [one.read_text() for one in files] == ["C\n", "K\n"]
    assert files[1].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        (
            {},
            "kubectl get jobqueues.penstock.dev emails: Error from server (NotFound): jobqueues.",
        ),
        ({"jobqueues__emails": jobqueue()}, "kubectl get secret db: Error from server (NotFound)"),
        ({"jobqueues__emails": {"spec": {}}}, "secretRef.name must be set"),
        ({"jobqueues__emails": jobqueue(secretRef={"name": "../x"})}, "databaseRef.secretRef.name must be the name"),
        ({"jobqueues__emails": jobqueue(secretRef={"name": "--all"})}, "got '--all'"),
        ({"jobqueues__emails": jobqueue(secretRef={"name": ["a"]})}, "got ['a']"),
        ({"jobqueues__emails": jobqueue(operatorSecretRef={"name": "a/b"})}, "operatorSecretRef.name must be"),
        (
            {"jobqueues__emails": jobqueue(secretRef={"name": "db", "key": "\x1b[2J"}), "secret__db": encoded(uri=URL)},
            r"must have the key \x1b[2J, got uri",
        ),
        ({"jobqueues__emails": jobqueue(), "secret__db": encoded(uri=URL)}, "must have the key url, got uri"),
        ({"jobqueues__emails": jobqueue(), "secret__db": {"data": None}}, "must have the key url, got none"),
        ({"jobqueues__emails": jobqueue(), "secret__db": {"data": {"url": "%%%"}}}, "the value of url must be text"),
    ],
)
def test_what_the_cluster_does_not_have_is_one_error(cluster: Cluster, answers: dict[str, Any], named: str):
    """Without the value of any key."""
    cluster.has(**answers)
    with pytest.raises(PenstockError) as caught:
        variables_of_jobqueue("emails", None)
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_without_kubectl_there_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the way to do without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"needs kubectl on PATH.*PENSTOCK_DATABASE_URL"):
        variables_of_jobqueue("emails", None)


def test_no_command_shows_the_url_of_a_secret(cluster: Cluster, capsys: pytest.CaptureFixture[str]):
    """Neither in an answer nor in an error, and a name that looks like an option is a name."""
    cluster.has(jobqueues__emails=jobqueue(), secret__db=encoded(url=URL))
    for command in (["doctor"], ["queues", "list"], ["jobs", "cancel", "--all", "--yes"], ["top", "--once"]):
        with pytest.raises(SystemExit) as exit_:
            main([*command, "--jobqueue", "emails"])
        said = capsys.readouterr()
        assert exit_.value.code == 1
        assert "cannot be reached" in said.out + said.err
        assert "hunter2" not in said.out + said.err
    with pytest.raises(SystemExit):
        main(["queues", "list", "--jobqueue=--kubeconfig=x"])
    assert cluster.asked[-1].endswith("-- --kubeconfig=x")


def test_the_plugin_of_kubectl_is_the_same_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Installed next to `penstock`, and named as it was typed."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/kubectl-penstock"])
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Usage: kubectl penstock " in capsys.readouterr().out
