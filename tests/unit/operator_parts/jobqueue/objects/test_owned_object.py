"""Whose an object is, and that nothing of somebody else's is written, whatever comes in between."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.errors import ClusterError, Conflict, Forbidden, NameTaken, Refused, Unreachable
from penstock_operator.jobqueue.failure_backoff import (
    MAX_REST_SECONDS,
    MAX_SHORT_REST_SECONDS,
    REST_SECONDS,
    FailureBackoff,
)
from penstock_operator.jobqueue.objects.owned_object import ATTEMPTS, OwnedObject
from penstock_operator.jobqueue.template import manifests
from penstock_operator.kube.client import Cluster
from penstock_operator.resources.adoption import SCALE, TEMPLATE, Meta, ObjectOwnership, settled_fields
from tests.unit.operator_parts.objects import jobqueue

WANTED = manifests.disruption_budget(jobqueue())
OURS = WANTED["metadata"]["ownerReferences"][0]
PAST = {**OURS, "uid": "u-0"}
OTHER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "emails", "uid": "x", "controller": True}
LABELS = WANTED["metadata"]["labels"]


def meta(**metadata: Any) -> Meta:
    return Meta.read({"uid": "b-1", "resourceVersion": "7", "generation": 1, **metadata})


@pytest.mark.parametrize(
    ("metadata", "claim"),
    [
        ({"ownerReferences": [OURS], "labels": LABELS}, ObjectOwnership.OURS),
        ({"ownerReferences": [OURS]}, ObjectOwnership.OURS),
        ({"labels": LABELS}, ObjectOwnership.ADOPTABLE),
        ({"labels": LABELS, "ownerReferences": [PAST]}, ObjectOwnership.ADOPTABLE),
        ({"labels": LABELS, "ownerReferences": [{**OTHER, "controller": False}]}, ObjectOwnership.ADOPTABLE),
        ({}, ObjectOwnership.TAKEN),
        ({"labels": None, "ownerReferences": None}, ObjectOwnership.TAKEN),
        ({"ownerReferences": [PAST]}, ObjectOwnership.TAKEN),
        ({"labels": {**LABELS, "penstock.dev/jobqueue": "letters"}}, ObjectOwnership.TAKEN),
        ({"labels": {**LABELS, "app.kubernetes.io/managed-by": "Helm"}}, ObjectOwnership.TAKEN),
        ({"labels": LABELS, "ownerReferences": [OTHER]}, ObjectOwnership.TAKEN),
        ({"labels": LABELS, "ownerReferences": [{**PAST, "name": "letters"}]}, ObjectOwnership.TAKEN),
        ({"labels": LABELS, "ownerReferences": [{**PAST, "kind": "CronJob"}]}, ObjectOwnership.TAKEN),
        ({"labels": LABELS, "ownerReferences": [{**PAST, "apiVersion": "shop.dev/v1"}]}, ObjectOwnership.TAKEN),
    ],
)
def test_an_object_is_ours_adoptable_or_somebody_elses(metadata: Any, claim: ObjectOwnership):
    """By its controller, else by both labels; a controller of another kind, group or name is somebody."""
    assert meta(**metadata).claim(WANTED["metadata"]) is claim


def test_adoption_takes_the_place_of_the_past_and_of_nobody_else():
    """References that only hold up a deletion stay."""
    keeper = {**OTHER, "controller": False}
    assert meta(ownerReferences=[PAST, keeper]).owners_with(OURS) == [keeper, OURS]


class OneObject:
    """An API server with at most one object, which `between` changes before a call of that name is answered."""

    def __init__(self, found: dict[str, Any] | None = None) -> None:
        self.found, self.version = copy.deepcopy(found), 7
        self.between: dict[str, list[Any]] = {}
        self.calls: list[str] = []

    def _start(self, call: str) -> None:
        self.calls.append(call)
        for change in self.between.pop(call, [])[:1]:
            self.found = copy.deepcopy(change)
            if self.found is not None:
                self.version += 1
                self.found["metadata"]["resourceVersion"] = str(self.version)

    def _is_as_judged(self, metadata: Any) -> None:
        if self.found is None or any(
            metadata.get(key) not in {None, self.found["metadata"][key]} for key in ("uid", "resourceVersion")
        ):
            raise Conflict("changed", status=409)

    def _write(self, change: Any) -> dict[str, Any]:
        self.version += 1
        made = self.found or {"metadata": {"uid": "new"}}
        metadata = {**made["metadata"], **change["metadata"], "resourceVersion": str(self.version)}
        self.found = {**made, **change, "metadata": metadata}
        return copy.deepcopy(self.found)

    async def create(self, manifest: Any, *, manager: str) -> dict[str, Any]:
        self._start("create")
        if self.found is not None:
            raise Conflict("exists", status=409)
        return self._write(manifest)

    async def apply(self, manifest: Any, *, manager: str) -> dict[str, Any]:
        self._start("apply")
        self._is_as_judged(manifest["metadata"])
        return self._write(manifest)

    async def patch_metadata(self, manifest: Any, change: Any) -> dict[str, Any]:
        self._start("patch")
        self._is_as_judged(change)
        return self._write({"metadata": change})

    async def find(self, *_: str) -> dict[str, Any] | None:
        self._start("find")
        return copy.deepcopy(self.found)


def stored(version: str = "7", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "b-1", "resourceVersion": version, "generation": 1, **metadata}, "spec": {"theirs": 1}}


def writes(server: OneObject) -> OwnedObject:
    return OwnedObject(cast("Cluster", server), lambda _: None)


THEIRS = stored(labels={"app": "theirs"})
MINE = stored(labels=LABELS, ownerReferences=[OURS])


@pytest.mark.parametrize(
    ("seen", "call", "then"),
    [
        (None, "create", THEIRS),
        (MINE, "apply", THEIRS),
        (MINE, "apply", stored(labels=LABELS, ownerReferences=[OTHER])),
        (stored(labels=LABELS), "patch", stored(labels=LABELS, ownerReferences=[OTHER])),
        (stored(labels=LABELS), "patch", stored()),
    ],
)
async def test_an_object_that_becomes_somebody_elses_before_the_write_is_left_as_it_is(
    seen: Any, call: str, then: dict[str, Any]
):
    """Between the view and the write: the write is bound to the version that was judged."""
    server = OneObject(seen)
    server.between = {call: [then]}
    current = None if seen is None else Meta.read(seen["metadata"])
    with pytest.raises(NameTaken, match="PodDisruptionBudget emails-worker exists and does not belong"):
        await writes(server).put(WANTED, current)
    assert server.found is not None
    assert server.found["spec"] == {"theirs": 1}
    assert server.found["metadata"].get("ownerReferences") == then["metadata"].get("ownerReferences")


@pytest.mark.parametrize(
    ("seen", "call", "then"),
    [
        (None, "create", stored(labels=LABELS)),
        (None, "create", MINE),
        (MINE, "apply", None),
        (MINE, "apply", MINE),
        (stored(labels=LABELS), "patch", None),
        (stored(labels=LABELS, ownerReferences=[PAST]), "patch", stored(labels=LABELS)),
        (stored(labels=LABELS, ownerReferences=[PAST]), "apply", None),
    ],
)
async def test_whatever_else_happens_before_the_write_the_object_is_there_and_ours_afterwards(
    seen: Any, call: str, then: Any
):
    """It goes, comes or changes: it is read again, judged again and written."""
    server = OneObject(seen)
    server.between = {call: [then]}
    made = await writes(server).put(WANTED, None if seen is None else Meta.read(seen["metadata"]))
    assert made["metadata"]["ownerReferences"][-1] == OURS
    assert made["spec"] == WANTED["spec"]


async def test_an_object_that_changes_at_every_try_is_given_up_for_now():
    """A conflict, and a bounded number of calls."""
    server = OneObject(MINE)

    class Restless(dict[str, list[Any]]):
        def pop(self, key: str, default: Any = None) -> Any:
            return [MINE] if key == "apply" else default

    server.between = Restless()
    with pytest.raises(Conflict):
        await writes(server).put(WANTED, Meta.read(MINE["metadata"]))
    assert server.calls.count("apply") == ATTEMPTS


def entry(manager: str, operation: str, fields: Any, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields, **more}


def test_a_creation_reads_as_the_applies_that_it_stands_for():
    """The replicas go to their own manager; entries of others and of subresources stay as they are."""
    status = entry("kube-controller-manager", "Update", {"f:status": {}}, subresource="status")
    scaled = entry(SCALE, "Update", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    created = entry(SCALE, "Update", {"f:metadata": {}, "f:spec": {"f:replicas": {}, "f:template": {}}})
    assert settled_fields([created, status, scaled], replicas=True) == [
        entry(SCALE, "Apply", {"f:spec": {"f:replicas": {}}}),
        entry(TEMPLATE, "Apply", {"f:metadata": {}, "f:spec": {"f:template": {}}}),
        status,
        scaled,
    ]
    again = [entry(TEMPLATE, "Update", {"f:spec": {"f:a": {}}}), entry(TEMPLATE, "Apply", {"f:spec": {"f:b": {}}})]
    assert settled_fields(again, replicas=False) == [entry(TEMPLATE, "Apply", {"f:spec": {"f:a": {}, "f:b": {}}})]


@given(kinds=st.lists(st.sampled_from([Refused, Forbidden, Unreachable, Conflict]), max_size=40))
def test_pauses_double_up_to_minutes_and_end_with_a_change(kinds: list[type[ClusterError]]):
    """Never shorter for the same reason, never longer than their bound; something else that is wanted starts afresh."""
    now = 0.0
    rest = FailureBackoff(clock=lambda: now)
    for kind in kinds:
        rest.check("a")
        error = kind("no")
        rest.failed("a", error)
        assert rest.until is not None
        soon = isinstance(error, Unreachable | Conflict)
        assert 0 < rest.until - now <= (MAX_SHORT_REST_SECONDS if soon else MAX_REST_SECONDS)
        with pytest.raises(type(error)):
            rest.check("a")
        until = rest.until
        assert not rest.failed("a", error)
        assert rest.until == until
        rest.check("b")
        now = until
    rest.check("a")


def test_a_refusal_rests_ten_seconds_then_twice_as_long_and_is_news_once():
    """The same sentence again is none; after a success it is."""
    now = 0.0
    rest = FailureBackoff(clock=lambda: now)
    news, untils = [], []
    for error in ("no", "no", "other"):
        news.append(rest.failed("a", Refused(error)))
        untils.append(rest.until)
    assert (news, untils) == ([True, False, True], [REST_SECONDS, 2 * REST_SECONDS, 4 * REST_SECONDS])
    rest.succeeded()
    assert rest.until is None
    assert rest.failed("a", Refused("other"))
