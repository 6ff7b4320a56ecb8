"""When a change of a Secret is a rollout, and what of it the Deployment shows."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from penstock_operator.errors import ClusterError, Forbidden, NotFound, Unreachable
from penstock_operator.jobqueue.credentials import CredentialVersions, marked, noted, rolls_out, worker_keys
from penstock_operator.jobqueue.template import manifests
from penstock_operator.kube.client import Cluster
from penstock_operator.kube.secret_content import SecretContent
from penstock_operator.kube.secrets import Secrets, secrets_of
from penstock_operator.resources.resource import CREDENTIALS, CREDENTIALS_SEEN, Deployment, JobQueue
from tests.unit.operator_parts.objects import deployment_object, jobqueue

SWORDFISH = "postgresql://shop:swordfish@db/shop"


class ApiServer:
    """Secrets by name, their resource versions counted; a ClusterError in place of one that cannot be read."""

    def __init__(self) -> None:
        self.version, self.secrets = 0, dict[str, dict[str, str] | ClusterError]()
        self.written = dict[str, int]()

    def put(self, name: str, **values: str) -> None:
        """Write it, also with the values that it has."""
        self.version += 1
        self.secrets[name], self.written[name] = values, self.version

    async def secret(self, namespace: str, name: str) -> SecretContent:
        found = self.secrets[name]
        if isinstance(found, ClusterError):
            raise found
        metadata = {"name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": str(self.written[name])}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in found.items()}
        return SecretContent.read({"metadata": metadata, "data": data})


class Operator:
    """What one process knows of the Secrets; the Deployment outlives it."""

    def __init__(self, server: ApiServer) -> None:
        self.secrets, self.now = Secrets(cast("Cluster", server), clock=lambda: self.now), 0.0
        self.versions = CredentialVersions()

    async def reconcile(self, queue: JobQueue, current: Deployment | None) -> Deployment:
        """The Deployment after what a minute later is read of its Secret was applied."""
        self.now += 61
        await self.secrets.read(secrets_of(queue), suspect=set())
        self.versions.observe([worker_keys(queue)], self.secrets)
        found = self.versions.of(queue)
        made = marked(manifests.deployment(queue), current, found, rollout=rolls_out(queue))
        template = made["spec"]["template"]
        assert "swordfish" not in f"{made} {found}"
        return Deployment.read(deployment_object(metadata=made["metadata"], spec={"replicas": 2, "template": template}))


@pytest.fixture
def server() -> ApiServer:
    """With the Secret of the least JobQueue."""
    made = ApiServer()
    made.put("shop-postgres", url=SWORDFISH, operator="o")
    return made


async def test_a_new_deployment_has_no_mark_and_a_changed_value_gives_it_one(server: ApiServer):
    """One for each change; in between nothing moves."""
    operator = Operator(server)
    first = await operator.reconcile(jobqueue(), None)
    assert (first.credentials, bool(first.credentials_seen)) == ("", True)
    again = await operator.reconcile(jobqueue(), first)
    assert again == first
    server.put("shop-postgres", url="another", operator="o")
    changed = await operator.reconcile(jobqueue(), again)
    assert changed.credentials == changed.credentials_seen != first.credentials_seen
    assert await operator.reconcile(jobqueue(), changed) == changed
    server.put("shop-postgres", url=SWORDFISH, operator="o")
    assert (await operator.reconcile(jobqueue(), changed)).credentials not in {"", changed.credentials}


@pytest.mark.parametrize("values", [{"url": SWORDFISH, "operator": "o"}, {"url": SWORDFISH, "operator": "rotated"}])
async def test_a_touched_secret_and_one_with_another_key_changed_replace_no_pod(server: ApiServer, values: Any):
    """The note moves on, so that the next process knows; also over many touches and a new process."""
    operator = Operator(server)
    current = first = await operator.reconcile(jobqueue(), None)
    for _ in range(100):
        server.put("shop-postgres", **values)
        current = await operator.reconcile(jobqueue(), current)
        assert current.credentials == ""
    assert current.credentials_seen != first.credentials_seen
    assert (await Operator(server).reconcile(jobqueue(), current)).credentials == ""


async def test_a_change_while_no_operator_runs_is_a_rollout(server: ApiServer):
    """Whether the values changed with the version cannot be known then; workers with an old password would stay."""
    current = await Operator(server).reconcile(jobqueue(), None)
    server.put("shop-postgres", url="another", operator="o")
    assert (await Operator(server).reconcile(jobqueue(), current)).credentials != ""


async def test_the_deployment_of_an_older_release_is_adopted_without_a_rollout(server: ApiServer):
    """An upgrade of the operator replaces no pod by this."""
    old = Deployment.read(deployment_object())
    made = await Operator(server).reconcile(jobqueue(), old)
    assert (made.credentials, bool(made.credentials_seen)) == ("", True)


@pytest.mark.parametrize("error", [NotFound("gone"), Forbidden("no right"), Unreachable("no answer")])
async def test_a_secret_that_cannot_be_read_changes_nothing(server: ApiServer, error: ClusterError):
    """Neither by a process that read it before nor by a new one; and back again it is the same."""
    operator = Operator(server)
    current = await operator.reconcile(jobqueue(), None)
    server.put("shop-postgres", url="another", operator="o")
    current = await operator.reconcile(jobqueue(), current)
    values, server.secrets["shop-postgres"] = server.secrets["shop-postgres"], error
    for one in (operator, Operator(server)):
        assert await one.reconcile(jobqueue(), current) == current
    server.secrets["shop-postgres"] = values
    for one in (operator, Operator(server)):
        assert await one.reconcile(jobqueue(), current) == current


async def test_a_secret_created_again_with_the_same_values_is_the_same(server: ApiServer):
    """As a restore or a tool that deletes and creates leaves it."""
    operator = Operator(server)
    current = await operator.reconcile(jobqueue(), None)
    server.secrets["shop-postgres"] = NotFound("gone")
    current = await operator.reconcile(jobqueue(), current)
    server.put("shop-postgres", url=SWORDFISH, operator="o")
    assert (await operator.reconcile(jobqueue(), current)).credentials == ""


async def test_a_jobqueue_that_ignores_changes_keeps_its_mark_and_catches_up_when_it_does_not(server: ApiServer):
    """Turning it off replaces no pod either."""
    operator = Operator(server)
    current = await operator.reconcile(jobqueue(), None)
    server.put("shop-postgres", url="another", operator="o")
    rolled = await operator.reconcile(jobqueue(), current)
    ignoring = jobqueue(databaseRef={"secretRef": {"name": "shop-postgres"}, "onSecretChange": "Ignore"})
    assert await operator.reconcile(ignoring, rolled) == rolled
    server.put("shop-postgres", url="a third", operator="o")
    assert await operator.reconcile(ignoring, rolled) == rolled
    assert (await operator.reconcile(jobqueue(), rolled)).credentials != rolled.credentials


async def test_the_workers_secret_counts_where_the_operator_has_its_own(server: ApiServer):
    """The operator's own rotated password is nothing to the workers."""
    server.put("operators", url="x")
    reference = {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": "operators"}}
    queue, operator = jobqueue(databaseRef=reference), Operator(server)
    current = await operator.reconcile(queue, None)
    server.put("operators", url="y")
    assert await operator.reconcile(queue, current) == current
    server.put("shop-postgres", url="another", operator="o")
    assert (await operator.reconcile(queue, current)).credentials != ""


async def test_a_note_that_somebody_removed_is_written_again(server: ApiServer):
    """Annotations of a Deployment change no generation, so they are compared."""
    current = await Operator(server).reconcile(jobqueue(), None)
    manifest = marked(manifests.deployment(jobqueue()), current, None, rollout=True)
    assert noted(manifest, current)
    assert manifest["metadata"]["annotations"] == {CREDENTIALS_SEEN: current.credentials_seen}
    assert not noted(manifest, Deployment.read(deployment_object()))


def test_a_template_keeps_its_own_annotations_next_to_the_mark():
    """Of the users' and ours neither replaces the other."""
    template = {"metadata": {"annotations": {"team": "a"}}, "spec": {"containers": [{"name": "worker", "image": "a"}]}}
    seen = {"annotations": {CREDENTIALS_SEEN: "1"}}
    rolled = {"replicas": 1, "template": {"metadata": {"annotations": {CREDENTIALS: "m"}}}}
    current = Deployment.read(deployment_object(metadata=seen, spec=rolled))
    made = marked(manifests.deployment(jobqueue(worker__template=template)), current, None, rollout=True)
    assert made["spec"]["template"]["metadata"]["annotations"] == {"team": "a", CREDENTIALS: "m"}


async def test_a_renewed_client_certificate_is_a_rollout_and_the_operators_own_is_none(server: ApiServer):
    """Workers show theirs when they connect; the operator's pods are not touched."""
    reference = {
        "secretRef": {"name": "shop-postgres"},
        "clientCertificateSecretRef": {"name": "tls"},
        "operatorClientCertificateSecretRef": {"name": "own"},
    }
    queue, operator = jobqueue(databaseRef=reference), Operator(server)
    for name in ("tls", "own"):
        server.put(name, **{"tls.crt": "1", "tls.key": "1"})
    first = await operator.reconcile(queue, None)
    server.put("own", **{"tls.crt": "2", "tls.key": "2"})
    assert await operator.reconcile(queue, first) == first
    server.put("tls", **{"tls.crt": "1", "tls.key": "1"})
    same = await operator.reconcile(queue, first)
    assert same.credentials == first.credentials
    server.put("tls", **{"tls.crt": "2", "tls.key": "2"})
    assert (await operator.reconcile(queue, same)).credentials != first.credentials
