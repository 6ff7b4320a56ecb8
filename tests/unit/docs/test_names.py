"""One set of names in all documents: what one page makes is what another one uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.kustomize import kustomized
from tests.unit.docs.pages import ROOT, page, pages

HOW_TO = page("docs/how-to/cluster.md")
NOTES = (ROOT / "charts" / "penstock" / "templates" / "NOTES.txt").read_text()
SECRET = re.compile(r"create secret generic (\S+)((?: --from-literal=\S+)+)")


def secrets(text: str) -> dict[str, set[str]]:
    """Keys by the name of each Secret that a text says to create."""
    return {name: set(re.findall(r"--from-literal=(\w+)=", keys)) for name, keys in SECRET.findall(text)}


def jobqueues() -> Iterator[tuple[str, Any]]:
    """Every JobQueue that a document shows in full, with where."""
    for one in pages():
        for block in one.blocks:
            if block.language == "yaml" and "kind: JobQueue" in block.text:
                yield from ((f"{one.name}:{block.line}", found) for found in yaml.safe_load_all(block.text))
    yield from (("examples/shop", found) for found in kustomized(ROOT / "examples" / "shop"))
    chart = yaml.safe_load((ROOT / "charts" / "penstock" / "Chart.yaml").read_text())
    examples = yaml.safe_load(chart["annotations"]["artifacthub.io/crdsExamples"])
    yield from (("charts/penstock/Chart.yaml", found) for found in examples)


def test_the_secret_of_the_how_to_is_that_of_the_charts_notes():
    """Name and keys: a reader follows one of them and then the other."""
    made = secrets("\n".join(HOW_TO.commands()))
    assert made == {"shop-postgres": {"url", "operator"}} == secrets(NOTES)


@pytest.mark.parametrize(("where", "found"), [pytest.param(*one, id=one[0]) for one in jobqueues()])
def test_a_jobqueue_of_the_documents_uses_keys_that_the_documents_make(where: str, found: Any):
    """The workers' login lacks the operator's rights, so the operator's key is always named next to it."""
    reference = found["spec"]["databaseRef"]
    own = reference["operatorSecretRef"]
    assert own == {"name": reference["secretRef"]["name"], "key": "operator"}, where
    assert reference["secretRef"].get("key", "url") in {"url", "pooled"}


@pytest.mark.parametrize(("where", "found"), [pytest.param(*one, id=one[0]) for one in jobqueues()])
def test_an_image_of_the_shop_is_the_one_that_the_how_to_pushes(where: str, found: Any):
    """With its registry and its tag."""
    pushed = [line.removeprefix("docker push ") for line in HOW_TO.commands() if line.startswith("docker push")]
    (registry,) = (line.removeprefix("REGISTRY=") for line in HOW_TO.commands() if line.startswith("REGISTRY="))
    names = {image.replace("$REGISTRY", registry) for image in pushed}
    (container,) = found["spec"]["worker"]["template"]["spec"]["containers"]
    assert container["image"] in names or found["spec"]["worker"]["app"] != "shop.jobs:app", where
