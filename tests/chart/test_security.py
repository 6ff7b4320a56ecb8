"""What the chart asks for: the rights and the freedoms of the operator, none that it does not need."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chart import only, render

SCOPES: tuple[dict[str, Any], ...] = ({}, {"watchNamespaces": ["shop", "mail"]}, {"watchNamespaces": ["*"]})


@pytest.mark.parametrize("values", SCOPES, ids=["own", "listed", "all"])
def test_secrets_can_be_read_by_name_and_never_listed(values: dict[str, Any]):
    """An attacker who takes over the operator sees no Secret whose name it does not know."""
    verbs = {verb for rule in rules(render(values)) if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {"get"}


@pytest.mark.parametrize("values", SCOPES, ids=["own", "listed", "all"])
def test_no_rule_has_a_wildcard(values: dict[str, Any]):
    """Every group, resource and verb is written out."""
    for rule in rules(render(values)):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


@pytest.mark.parametrize("values", SCOPES, ids=["own", "listed", "all"])
def test_the_operator_can_delete_nothing_and_cannot_raise_its_own_rights(values: dict[str, Any]):
    """Scaling down never deletes a pod, owned objects go with their owner, and roles are out of reach."""
    for rule in rules(render(values)):
        assert not {"delete", "deletecollection", "escalate", "bind", "impersonate"} & set(rule["verbs"])
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]


def test_each_watched_namespace_gets_a_role_and_nothing_is_cluster_wide():
    """Namespaces that are not named stay out of reach."""
    objects = render({"watchNamespaces": ["shop", "mail"]}, namespace="prod")
    roles = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects if each["kind"] == "Role"}
    assert roles == {("shop", "penstock"), ("mail", "penstock"), ("prod", "penstock-leader")}
    assert not [each for each in objects if each["kind"].startswith("ClusterRole")]


def test_all_namespaces_is_one_cluster_role_only_when_asked():
    """The explicit `*` is the only way to cluster-wide rights."""
    objects = render({"watchNamespaces": ["*"]})
    only(objects, "ClusterRole")
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Role"] == ["penstock-leader"]


def test_people_reach_job_queues_by_the_clusters_roles_only_when_asked():
    """Two ClusterRoles that nothing binds: Kubernetes adds them to view, edit and admin."""
    before = [each["metadata"]["name"] for each in render()]
    added = [each for each in render({"rbac": {"aggregate": True}}) if each["metadata"]["name"] not in before]
    documented = {
        label.removeprefix("rbac.authorization.k8s.io/aggregate-to-"): {
            verb for rule in each["rules"] for verb in rule["verbs"]
        }
        for each in added
        for label in each["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/")
    }
    writes = {"create", "update", "patch", "delete"}
    assert documented == {"view": {"get", "list", "watch"}, "edit": writes, "admin": writes}
    assert {group for each in added for rule in each["rules"] for group in rule["apiGroups"]} == {"penstock.dev"}


def test_only_the_deployment_mounts_a_token_and_only_its_own():
    """The account mounts none by itself; the one that the operator needs is projected and short-lived."""
    objects = render()
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    sources = [source for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", ())]
    (token,) = [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]
    assert token["expirationSeconds"] <= 3607


def test_the_container_cannot_write_gain_or_be_root():
    """Read-only root, numeric user, no capability, no escalation, the runtime's system call filter, bounded memory."""
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory", "ephemeral-storage"} == container["resources"]["limits"].keys()
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_the_network_policy_names_every_port():
    """Both directions are closed but for DNS, the API server and Postgres, and the metrics port inwards."""
    spec = only(render({"networkPolicy": {"databasePorts": [25060]}}), "NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    (egress,) = spec["egress"]
    assert {(port["protocol"], port["port"]) for port in egress["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
        ("UDP", 5353),
        ("TCP", 5353),
        ("TCP", 443),
        ("TCP", 6443),
        ("TCP", 25060),
    }
    assert only(render({"networkPolicy": {"metricsFrom": []}}), "NetworkPolicy")["spec"]["ingress"] == []


def rules(objects: list[Any]) -> Iterator[Any]:
    """All rules of all roles of the rendering."""
    for each in objects:
        if each["kind"] in {"Role", "ClusterRole"}:
            yield from each["rules"]
