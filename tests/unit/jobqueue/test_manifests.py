"""Files of manifests: what is read, what is completed, and the one error that names the place."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from penstock.errors import ManifestError
from penstock.jobqueue.manifests import load_manifests
from penstock.jobqueue.policy import Mode
from tests.unit.jobqueue.examples import LEAST, REPOSITORY, manifest

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-postgres"}}


@pytest.fixture
def written(tmp_path):
    """Writes documents to a file and gives its path."""

    def write(*documents: Any):
        path = tmp_path / "jobqueues.yaml"
        path.write_text("---\n".join(one if isinstance(one, str) else yaml.safe_dump(one) for one in documents))
        return path

    return write


def test_the_shops_file_declares_its_four_queues():
    """Consumers and demand as the example promises; zero at rest; short windows."""
    found = {one.name: one for one in load_manifests(REPOSITORY / "examples" / "shop" / "jobqueues.yaml")}
    workers = {name: one.policy.worker for name, one in found.items()}
    assert {name: (one.concurrency, one.holds_at_most) for name, one in workers.items()} == {
        "emails": (5, 20),
        "images": (3, 3),
        "analytics": (3, 100),
        "reports": (1, 1),
    }
    assert workers["images"].executor.value == "Thread"
    for one in found.values():
        assert one.policy.scaling.min_replicas == 0
        assert one.policy.scaling.scale_down.cooldown_seconds == 10
        assert one.policy.retry.backoff.base_seconds == 1
        assert one.policy.worker.app == "shop.jobs:app"
        assert one.policy.database_ref.secret_ref.name == "shop-postgres"
    assert [step.change for step in found["analytics"].policy.scaling.steps] == [2, 1, -1]


def test_the_defaults_of_the_crd_are_filled_in(written):
    """At every depth; a null counts as left out where there is a default."""
    (found,) = load_manifests(written(manifest(scaling={"target": {"jobsPerSlot": 3}, "mode": None})))
    assert found.content["spec"]["scaling"]["target"] == {
        "queueLatencySeconds": 10,
        "jobsPerSlot": 3,
        "utilizationPercent": 80,
    }
    assert found.content["spec"]["stopPolicy"] == "None"
    assert found.policy.scaling.mode is Mode.AUTO


def test_documents_of_other_kinds_and_empty_ones_are_passed_over_but_counted(written):
    """The number of a document is the one a person counts."""
    (found,) = load_manifests(written(SECRET, "", dict(LEAST)))
    assert (found.name, found.document) == ("emails", 3)


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"worker__concurency": 3}, "spec.worker.concurency: unknown field; known fields: app, concurrency"),
        ({"worker__app": None}, "spec.worker.app: required"),
        ({"worker__app": "shop.jobs"}, "spec.worker.app: must match"),
        ({"worker__app": "shop.jobs:app\n"}, "spec.worker.app: must match"),
        ({"worker__concurrency": 0}, "spec.worker.concurrency: must be at least 1; got 0"),
        ({"worker__concurrency": "5"}, "spec.worker.concurrency: must be of type integer; got '5'"),
        ({"worker__concurrency": True}, "spec.worker.concurrency: must be of type integer; got True"),
        ({"replicas": 3}, "spec.replicas: replicas is only for mode Fixed: in mode Auto the operator decides; got 3"),
        ({"scaling__mode": "auto"}, "spec.scaling.mode: must be one of Auto, Fixed; got 'auto'"),
        ({"scaling__minReplicas": 11}, "spec.scaling.minReplicas: minReplicas must not be above maxReplicas; got 11"),
        ({"scaling__steps": [{"above": 1, "change": 0}]}, "spec.scaling.steps[0].change: a step above"),
        ({"queueName": "a b"}, "spec.queueName: must match"),
        ({"worker__template": {"spec": {"containers": []}}}, "spec.worker.template.spec.containers: "),
        (
            {"worker__template": {"spec": {"containers": [{"name": "worker", "image": "a"}] * 2}}},
            "name 'worker' must be unique",
        ),
    ],
)
def test_a_manifest_that_breaks_schema_or_rule_is_one_clear_error(written, changes, result):
    """File, document, resource, field, rule and value."""
    path = written(SECRET, manifest(**changes))
    with pytest.raises(ManifestError) as refused:
        load_manifests(path)
    assert str(refused.value).startswith(f"{path}, document 2, JobQueue emails: ")
    assert result in str(refused.value)


def test_an_error_repeats_no_structure_that_could_hold_a_credential(written):
    """Only plain values are shown."""
    env = [{"name": "TOKEN", "value": "swordfish"}]
    path = written(manifest(worker__template={"spec": {"containers": {"name": "worker", "env": env}}}))
    with pytest.raises(ManifestError) as refused:
        load_manifests(path)
    assert "must be of type array; got a dict" in str(refused.value)
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"kind": "Jobqueue"}, "kind: must be JobQueue; got 'Jobqueue'"),
        ({"apiVersion": "penstock.dev/v1"}, "apiVersion: must be penstock.dev/v1alpha1; got 'penstock.dev/v1'"),
        ({"metadata": {"name": "E_mails"}}, "metadata.name: must match"),
        ({"metadata": {}}, "metadata.name: required"),
        ({"spec": None}, "spec: must be of type object; got None"),
    ],
)
def test_what_only_resembles_a_jobqueue_is_refused(written, change, result):
    """A typing error in the head must not pass the document over."""
    with pytest.raises(ManifestError) as refused:
        load_manifests(written(dict(LEAST) | change))
    assert result in str(refused.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("kind: JobQueue\nspec: [", "line 2: is not valid YAML"),
        ("kind: JobQueue\nkind: JobQueue\n", "line 2: is not valid YAML: key 'kind' is given twice"),
        ("just words", "must be of type object; got 'just words'"),
        ("", "contains no JobQueue of penstock.dev/v1alpha1"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_with_its_line(written, text, result):
    """Whatever a person may name by mistake."""
    with pytest.raises(ManifestError) as refused:
        load_manifests(written(text))
    assert result in str(refused.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    """The system's own reason is kept."""
    with pytest.raises(ManifestError, match=r"none\.yaml: cannot be read: No such file"):
        load_manifests(tmp_path / "none.yaml")
    binary = tmp_path / "picture.yaml"
    binary.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ManifestError, match="is not UTF-8 text"):
        load_manifests(binary)


def test_two_of_one_name_or_one_queue_are_refused(written):
    """One queue has one JobQueue."""
    twin = manifest(queueName="emails")
    twin["metadata"]["name"] = "letters"
    with pytest.raises(ManifestError, match=r"document 2, JobQueue letters: document 1 has the same queue 'emails'"):
        load_manifests(written(dict(LEAST), twin))
    with pytest.raises(ManifestError, match="document 1 has the same name"):
        load_manifests(written(dict(LEAST), dict(LEAST)))
