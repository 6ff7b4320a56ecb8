"""Every path to the API server leads to the object that was meant, or is refused before anything is sent."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.errors import ManifestError
from penstock.jobqueue.policy import parse_policy
from penstock.jobqueue.resource_names import DATA_KEY, RESOURCE_NAME, is_resource_name
from penstock_operator.errors import InvalidName, SettingsError
from penstock_operator.kube import api_paths
from penstock_operator.kube.api_paths import collection, everywhere, item
from penstock_operator.kube.secrets import places
from penstock_operator.resources.resource import JobQueue
from penstock_operator.settings import OperatorSettings
from tests.unit.jobqueue.examples import REPOSITORY, manifest
from tests.unit.operator_parts.objects import jobqueue

HOST = "https://10.0.0.1:6443/k8s/clusters/c-1"
TRAVERSALS = (
    "../../other/secrets/postgres",
    "..",
    ".",
    "../x",
    "x/..",
    "a/b",
    "/",
    "//",
    "a\\b",
    "%2e%2e",
    "..%2f..%2fx",
    "%",
    "",
    "*",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "\u002e\u2024",
    "\uff0e\uff0e",
    "a\u2215b",
    "\ud800",
    "x" * 254,
    "a?b=c",
    "a#b",
    "a;b",
    "a b",
    " ",
    "a\x1b[2Jb",
    "%00",
    "..;",
    "..?x",
    "..#x",
)
"""What has led HTTP clients and servers elsewhere; the last ones are harmless once they are quoted."""
KINDS = ("JobQueue", "Deployment", "Pod", "PodDisruptionBudget", "PodMonitor", "Secret", "Event", "Lease")

texts = st.one_of(
    st.sampled_from(TRAVERSALS),
    st.text(alphabet="./\\%*?#2eEfF\r\n\x00 -a", max_size=12),
    st.text(max_size=30),
    st.text(alphabet=string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=30),
)


def sent(path: str) -> list[str]:
    """The segments that urllib3 puts on the wire for it, below the API server's own prefix."""
    url = urllib3.util.parse_url(HOST + path)
    assert (url.host, url.port, url.query, url.fragment) == ("10.0.0.1", 6443, None, None)
    assert url.path is not None
    prefix = urlsplit(HOST).path + "/"
    assert url.path.startswith(prefix)
    return url.path.removeprefix(prefix).split("/")


@given(kind=st.sampled_from(KINDS), namespace=texts, name=texts, subresource=st.sampled_from(["", "scale", "status"]))
@example(kind="Secret", namespace="shop", name="../../other/secrets/postgres", subresource="")
@example(kind="Secret", namespace="*", name="postgres", subresource="")
@example(kind="Secret", namespace="..", name="postgres", subresource="")
def test_a_path_names_just_the_object_that_was_meant_or_is_refused(
    kind: str, namespace: str, name: str, subresource: str
):
    """Whatever the names hold: as many segments as there are, each of which reads as what was given."""
    try:
        segments = sent(item(kind, namespace, name, subresource))
    except InvalidName:
        return
    *_, word, where, plural, what = segments[: len(segments) - bool(subresource)]
    assert (word, unquote(where), unquote(what)) == ("namespaces", namespace, name)
    assert sent(everywhere(kind)) == [*segments[: segments.index("namespaces")], plural]
    assert sent(collection(kind, namespace)) == segments[: segments.index(plural) + 1]
    assert not {"", ".", ".."} & {unquote(one) for one in segments}


@pytest.mark.parametrize("name", TRAVERSALS[: TRAVERSALS.index("a?b=c")], ids=ascii)
@pytest.mark.parametrize(
    "make",
    [
        lambda name: item("Secret", "shop", name),
        lambda name: item("Pod", name, "x"),
        lambda name: collection("Event", name),
    ],
)
def test_what_no_object_can_be_called_is_refused_with_rule_and_value(make: Callable[[str], str], name: str):
    """In one line that a terminal can show."""
    with pytest.raises(InvalidName) as refused:
        make(name)
    assert "must" in str(refused.value)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


def test_a_subresource_is_one_of_ours():
    """It is no place for a name."""
    with pytest.raises(InvalidName, match="must be one of scale, status"):
        item("Deployment", "shop", "emails", "../../../secrets/x")


def test_no_other_module_writes_a_path_or_calls_a_text_one():
    """The type holds it in the checker, this in the sources."""
    for file in (REPOSITORY / "operator" / "penstock_operator").rglob("*.py"):
        text = file.read_text()
        if file.name != "api_paths.py":
            assert not re.search(r"ApiPath\(|[\"'/]apis?/|/namespaces/|request\(\s*\"[A-Z]+\", f?\"", text), file.name
    assert set(api_paths._KINDS) == set(KINDS)


REFERENCES: tuple[Callable[[str], dict[str, Any]], ...] = (
    lambda text: {"secretRef": {"name": text}},
    lambda text: {"secretRef": {"name": "s", "key": text}},
    lambda text: {"secretRef": {"name": "s"}, "directKey": text},
    lambda text: {"secretRef": {"name": "s"}, "operatorSecretRef": {"name": text}},
    lambda text: {"secretRef": {"name": "s"}, "operatorSecretRef": {"name": "o", "key": text}},
)


@given(reference=st.sampled_from(REFERENCES), text=texts)
@example(reference=REFERENCES[0], text="shop-postgres\n")
@example(reference=REFERENCES[0], text="../../other/secrets/postgres")
@example(reference=REFERENCES[4], text="..")
@example(reference=REFERENCES[0], text="\ud800")
def test_a_jobqueue_leads_the_operator_to_secrets_of_its_own_namespace_alone(
    reference: Callable[[str], dict[str, Any]], text: str
):
    """Also under an installed definition that knows no patterns: the spec is refused, and no Secret is read."""
    found = jobqueue(databaseRef=reference(text))
    if found.policy is None:
        assert found.invalid is not None
        assert "spec.databaseRef" in found.invalid
        assert places(found) == []
        return
    for namespace, name, key in places(found):
        assert namespace == "shop"
        assert is_resource_name(name)
        assert re.match(DATA_KEY, key)
        assert sent(item("Secret", namespace, name)) == ["api", "v1", "namespaces", "shop", "secrets", name]


@given(text=texts)
@example(text="emails\n")
def test_a_jobqueue_of_any_name_has_children_of_its_own_namespace_or_none(text: str):
    """Its name is part of theirs."""
    found = JobQueue.read(
        {"metadata": {"name": text, "namespace": "shop", "uid": "u", "resourceVersion": "1"}, **_without_metadata()}
    )
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        try:
            segments = sent(item(kind, found.namespace, found.child))
        except InvalidName:
            continue
        assert segments[-3:-1] == ["shop", api_paths._KINDS[kind][1]]


def _without_metadata() -> dict[str, Any]:
    return {key: value for key, value in manifest().items() if key != "metadata"}


@given(text=texts)
@example(text="shop\n")
@example(text="a..b")
def test_names_in_the_operators_environment_are_names_or_an_error(text: str):
    """Namespaces, the Lease and the pod stand in paths and in a header."""
    for variable in ("PENSTOCK_WATCH_NAMESPACES", "PENSTOCK_NAMESPACE", "PENSTOCK_LEASE_NAME", "PENSTOCK_POD_NAME"):
        try:
            settings = OperatorSettings.from_env({"PENSTOCK_POD_NAME": "o", variable: text})
        except SettingsError:
            continue
        for one in (*settings.watch_namespaces, settings.namespace, settings.lease_name or "x", settings.pod_name):
            assert one == "*" or re.match(RESOURCE_NAME, one)


@given(key=texts, value=texts)
def test_labels_of_monitors_are_labels_or_an_error(key: str, value: str):
    """The API server would refuse the whole PodMonitor for one that is none."""
    try:
        made = OperatorSettings.from_env(
            {"PENSTOCK_POD_NAME": "o", "PENSTOCK_POD_MONITOR_LABELS": f"{key}={value}"}
        ).pod_monitor_labels
    except SettingsError:
        return
    for one, kept in made.items():
        assert re.match(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z", one)
        assert re.match(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z", kept)


@pytest.mark.parametrize("key", ["tls.crt", "url", ".dockerconfigjson", "a..b", "-", "_x", "A.b-c_d"])
def test_every_usual_key_of_a_secret_is_accepted(key: str):
    """The rule is Kubernetes' own for keys."""
    made = parse_policy(manifest(databaseRef={"secretRef": {"name": "s", "key": key}}))
    assert made.database_ref.secret_ref.key == key


@pytest.mark.parametrize("key", [".", "..", "..x", "a/b", "a b", "", "a\n"])
def test_what_no_key_can_be_is_refused(key: str):
    """With the field."""
    with pytest.raises(ManifestError, match=r"spec\.databaseRef\.secretRef\.key"):
        parse_policy(manifest(databaseRef={"secretRef": {"name": "s", "key": key}}))
