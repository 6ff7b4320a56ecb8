"""The chart as Helm's own engine renders it, and what tests take from the result.

Owns: rendering, and applying a few kinds of the result without Helm. Must not judge; the tests of the chart do.

`rights()` gives the operator's service account exactly the roles that an installation would: a verb
that the chart lacks fails a test of the operator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane, free_ports
from tests.support.pod_env import ALL_ADDRESSES, LISTENS
from tests.support.pod_user import give
from tests.support.waiting import eventually

CHART = Path(__file__).resolve().parent.parent.parent / "charts" / "penstock"
RELEASE = "penstock"
_RBAC = "apis/rbac.authorization.k8s.io/v1"
_PATHS = {
    "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": f"{_RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{namespace}}/rolebindings",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
}


def render(values: Mapping[str, Any] | None = None, *, namespace: str = "prod", name: str = RELEASE) -> list[Any]:
    """All objects of the chart in the order of their templates.

    Raises:
        helm_python.HelmError: the values break the schema, or a template fails.
    """
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(dict(values or {}), name=name, namespace=namespace)
    manifests = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [found for text in manifests for found in yaml.safe_load_all(text) if found]


def only(objects: Sequence[Any], kind: str, name: str | None = None) -> Any:
    """The one object of that kind (and name)."""
    found = [each for each in objects if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} and name {name}"
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRights:
    """How to run the operator as the chart would, outside a pod.

    Args:
        kubeconfig: a file that presents the service account's token.
        token: the same token.
        env: the container's environment as rendered, listening on a free loopback port.
    """

    kubeconfig: Path
    token: str
    env: Mapping[str, str]


def rights(
    plane: ControlPlane, *, namespace: str, folder: Path, values: Mapping[str, Any] | None = None
) -> OperatorRights:
    """Apply the chart's service account and roles in the namespace and return access with them.

    Args:
        plane: the control plane.
        namespace: where the operator is said to be installed.
        folder: takes the kubeconfig.
        values: of the chart; by default its own.
    """
    objects = render(values, namespace=namespace)
    for each in objects:
        if template := _PATHS.get(each["kind"]):
            metadata = each["metadata"]
            collection = template.format(namespace=metadata.get("namespace"))
            plane.client().apply(f"/{collection}/{metadata['name']}", each)
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    token = plane.service_account_token(namespace, pod["serviceAccountName"])
    kubeconfig = folder / "operator.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(plane.kubeconfig(token, namespace=namespace))
    give(kubeconfig)
    for watched in _env(pod, namespace)["PENSTOCK_WATCH_NAMESPACES"].split(","):
        eventually(lambda where=watched: _may_list(plane, token, where), f"the rights in {watched}")  # type: ignore[misc]
    return OperatorRights(kubeconfig=kubeconfig, token=token, env=_env(pod, namespace))


def _may_list(plane: ControlPlane, token: str, namespace: str) -> bool:
    try:
        where = "" if namespace == "*" else f"/namespaces/{namespace}"
        plane.client(token).request("GET", f"/apis/apps/v1{where}/deployments")
    except ApiError as error:
        return error.status != 403
    return True


def _env(pod: Mapping[str, Any], namespace: str) -> dict[str, str]:
    fields = {"metadata.namespace": namespace, "metadata.name": "operator-0", "status.podIP": "127.0.0.1"}
    (container,) = pod["containers"]
    env = {
        entry["name"]: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }
    if env[LISTENS] in ALL_ADDRESSES:  # of the pod; here a port of this machine stands for it
        env[LISTENS] = fields["status.podIP"]
    return {**env, "PENSTOCK_HTTP_PORT": str(free_ports(1)[0])}
