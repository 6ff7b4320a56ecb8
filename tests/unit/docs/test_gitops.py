"""The files for Argo CD, Flux and Kustomize, judged by the tools themselves where they are here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.docs.pages import ROOT

FILES = ROOT / "examples" / "gitops"
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "fine"}
BROKEN = {**READY, "status": "False", "reason": "DatabaseUnreachable", "message": "no route"}
QUEUES: dict[str, tuple[dict[str, Any], str, str]] = {
    "that nobody reported on": ({}, "Progressing", "not reported yet"),
    "of an older generation": ({"observedGeneration": 1, "conditions": [READY]}, "Progressing", "this generation"),
    "that is ready": ({"observedGeneration": 2, "conditions": [READY]}, "Healthy", "Ready: fine"),
    "without its database": ({"observedGeneration": 2, "conditions": [BROKEN]}, "Degraded", "DatabaseUnreachable: no"),
    "that is not known yet": (
        {"observedGeneration": 2, "conditions": [{**BROKEN, "status": "Unknown"}]},
        "Progressing",
        "DatabaseUnreachable",
    ),
    "with other conditions alone": (
        {"observedGeneration": 2, "conditions": [{**READY, "type": "Listening"}]},
        "Progressing",
        "not reported yet",
    ),
}


def lua_of(value: Any) -> str:
    """A value as Lua's source."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {lua_of(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua_of, value)) + "}"
    return json.dumps(value)


def health(queue: dict[str, Any]) -> list[str]:
    """Status and message, by the script as Argo CD runs it: the object is the global `obj`."""
    lua = shutil.which("lua5.4") or shutil.which("lua") or shutil.which("lua5.1")
    if lua is None:
        pytest.skip("no Lua interpreter: apt-get install lua5.4")
    code = f"obj = {lua_of(queue)}\nlocal found = dofile({json.dumps(str(FILES / 'argocd' / 'health.lua'))})\n"
    code += "print(found.status)\nprint(found.message)"
    done = subprocess.run([str(lua), "-e", code], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", QUEUES)
def test_argo_cd_judges_a_job_queue_by_its_condition(name: str):
    """Healthy only when the operator has said so of the generation that is there."""
    status, wanted, message = QUEUES[name]
    found = health({"metadata": {"generation": 2}, "spec": {}, "status": status})
    assert found[0] == wanted
    assert message in found[1]
    assert health({"metadata": {"generation": 2}, "spec": {}})[0] == "Progressing"


def test_argo_cd_shows_a_stopped_job_queue_as_suspended():
    """Somebody asked for it; it is no fault."""
    status = {"observedGeneration": 2, "conditions": [{**BROKEN, "reason": "Stopped"}]}
    queue = {"metadata": {"generation": 2}, "spec": {"stopPolicy": "Hold"}, "status": status}
    assert health(queue) == ["Suspended", "stopPolicy is Hold."]
    assert health({**queue, "spec": {"stopPolicy": "None"}})[0] == "Degraded"


def test_the_values_for_argo_cd_hold_the_script():
    """Both files are the same script."""
    values = yaml.safe_load((FILES / "argocd" / "values.yaml").read_text())
    named_there = values["configs"]["cm"]["resource.customizations.health.penstock.dev_JobQueue"]
    assert named_there == (FILES / "argocd" / "health.lua").read_text()


def test_flux_waits_for_every_state_of_the_condition():
    """One expression for each verdict, about the right kind; the values of the release are the chart's."""
    objects = {each["kind"]: each for each in yaml.safe_load_all((FILES / "flux" / "penstock.yaml").read_text())}
    (check,) = objects["Kustomization"]["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == ("penstock.dev/v1alpha1", "JobQueue")
    for verdict in ("inProgress", "failed", "current"):
        assert "c.type == 'Ready'" in check[verdict]
    values = yaml.safe_load((ROOT / "charts" / "penstock" / "values.yaml").read_text())
    assert objects["HelmRelease"]["spec"]["values"].keys() <= values.keys()


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """Kind -> object of the overlay, by Kustomize."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl, which has Kustomize in it")
    command = [str(kubectl), "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(FILES / "kustomize/overlay")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def test_kustomize_renames_what_a_job_queue_names(built: dict[str, Any]):
    """A prefix and a hash reach the references; the queue keeps its name."""
    spec = built["JobQueue"]["spec"]
    secret = built["Secret"]["metadata"]["name"]
    assert secret.startswith("prod-shop-postgres-")
    assert spec["databaseRef"] == {
        "secretRef": {"name": secret},
        "operatorSecretRef": {"name": secret, "key": "operator"},
    }
    assert (built["JobQueue"]["metadata"]["name"], spec["queueName"]) == ("prod-emails", "emails")


def test_kustomize_merges_a_patch_into_the_container_and_replaces_its_image(built: dict[str, Any]):
    """With the merge keys of schema.json a patch adds to the lists in place of replacing them."""
    template = built["JobQueue"]["spec"]["worker"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry.example.com/team/shop:1.0.0"
    assert {each["name"] for each in container["env"]} == {"REGION", "STAGE"}
    assert container["envFrom"] == [{"configMapRef": {"name": built["ConfigMap"]["metadata"]["name"]}}]
    assert container["resources"] == {"limits": {"memory": "1Gi"}}
    assert template["metadata"]["labels"] == {"team": "shop"}


def test_every_secret_of_the_definition_is_among_kustomizes_references():
    """A new reference is followed too."""
    configuration = yaml.safe_load((FILES / "kustomize" / "penstock.yaml").read_text())
    known = {
        field["path"]
        for each in configuration["nameReference"]
        if each["kind"] == "Secret"
        for field in each["fieldSpecs"]
    }
    definition = yaml.safe_load((ROOT / "crds" / "jobqueue.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    wanted = {path for path in references(schema, "spec") if not path.startswith("spec/worker/template/")}
    assert wanted
    assert wanted <= known


def references(schema: Any, path: str) -> Iterator[str]:
    """Paths of the names of Secrets."""
    for name, field in schema.get("properties", {}).items():
        if name.lower().endswith("secretref") and "name" in field.get("properties", {}):
            yield f"{path}/{name}/name"
        yield from references(field, f"{path}/{name}")
