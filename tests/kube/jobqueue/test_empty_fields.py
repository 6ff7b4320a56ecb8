"""Empty fields, one by one: the API server, local mode and the operator come to the same verdict and the same value."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.errors import ManifestError
from penstock.jobqueue.manifests import load_manifests
from penstock_operator.resources.resource import JobQueue
from tests.kube.jobqueue.conftest import JobQueues
from tests.support.api_client import ApiError
from tests.unit.jobqueue.examples import manifest
from tests.unit.jobqueue.test_crd_contract import SPEC

FULL: dict[str, Any] = manifest(
    queueName="emails",
    databaseRef={"secretRef": {"name": "s", "key": "url"}, "directKey": "d", "operatorSecretRef": {"name": "o"}},
    limits={"maxInFlight": 5},
    circuitBreaker={"failurePercent": 5},
    worker__template={
        "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
        "spec": {"containers": [{"name": "worker", "image": "i", "env": [{"name": "A", "value": "b"}]}]},
    },
    scaling__steps=[{"above": 5, "change": 1}],
    scaling__scaleUp={"maxPods": 1, "maxPercent": 1},
    scaling__connectionBudget={"maxConnections": 50},
    schedules=[{"name": "nightly", "task": "report", "cron": "0 3 * * *", "args": {"a": "b"}}],
)
"""A JobQueue in which nearly every object and list is there."""
EMPTY: dict[str, tuple[Any, ...]] = {"object": ({},), "array": ([], [None], [{}]), "string": ("",), "integer": ()}


def cases(schema: Mapping[str, Any] = SPEC, path: tuple[Any, ...] = ("spec",)) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each field with null, and with what is empty for its type."""
    for name, field in schema.get("properties", {}).items():
        for value in (None, *EMPTY.get(field.get("type", ""), ())):
            yield (*path, name), value
        yield from cases(field, (*path, name))
        if field.get("type") == "array":
            yield from cases(field["items"], (*path, name, 0))
        if "additionalProperties" in field:
            yield (*path, name, "a"), None


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """`FULL` with that value there."""
    made = copy.deepcopy(FULL)
    place: Any = made
    for part in path[:-1]:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    place[path[-1]] = value
    return made


def stored_by(jobqueues: JobQueues, made: dict[str, Any]) -> Any:
    """The spec as the API server would keep it; None if it refuses."""
    try:
        return jobqueues.api.request("POST", f"{jobqueues.collection}?dryRun=All&fieldValidation=Strict", made)["spec"]
    except ApiError as error:
        if error.status not in {400, 422}:
            raise
        return None


def read_from(file: Path, made: dict[str, Any]) -> Any:
    """The spec as local mode reads it; None if it refuses."""
    file.write_text(yaml.safe_dump(made))
    try:
        (read,) = load_manifests(file)
    except ManifestError:
        return None
    return read.content["spec"]


@pytest.mark.parametrize("part", range(2))
def test_an_empty_field_has_one_verdict_and_one_value(jobqueues: JobQueues, tmp_path: Path, part: int):
    """Null and the empty value of every field of the definition; what is stored is what local mode reads."""
    seen = 0
    for path, value in list(cases())[part::2]:
        if path[-1] == "replicas":
            continue
        made = with_value(path, value)
        stored = stored_by(jobqueues, made)
        assert read_from(tmp_path / "jobqueues.yaml", made) == stored, (path, value)
        metadata = {"uid": "u", "namespace": "n", "name": "emails", "resourceVersion": "1"}
        view = JobQueue.read({"metadata": metadata, "spec": stored or made["spec"]})
        assert (view.policy is None) == (view.invalid is not None), (path, value)
        assert stored is None or view.invalid is None, (path, value, view.invalid)
        seen += 1
    assert seen > 80
