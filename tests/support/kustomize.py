"""As much of kustomize as the examples use: resources, a namespace, JSON patches by kind; anything else is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonpatch
import yaml


def kustomized(folder: Path) -> list[dict[str, Any]]:
    """What a kustomization of resources, a namespace and JSON patches by kind makes."""
    rules = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert rules.keys() <= {"apiVersion", "kind", "namespace", "resources", "patches"}
    made = []
    for name in rules["resources"]:
        for document in yaml.safe_load_all((folder / name).read_text()):
            document["metadata"]["namespace"] = rules["namespace"]
            patches = [one for one in rules["patches"] if one["target"]["kind"] == document["kind"]]
            operations = [operation for one in patches for operation in yaml.safe_load(one["patch"])]
            made.append(jsonpatch.apply_patch(document, operations))
    return made
