"""The bills of materials name what the images hold: every locked package with its hashes, and nothing of the tests."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("image", "holds", "lacks"),
    [
        ("worker", {"psycopg", "msgspec", "uvloop"}, {"kopf", "kubernetes"}),
        ("operator", {"kopf", "psycopg"}, {"uvloop"}),
    ],
)
def test_a_bill_of_materials_is_the_locked_set_of_its_image(
    tmp_path: Path, image: str, holds: set[str], lacks: set[str]
):
    """CycloneDX, each component with a package URL."""
    command = ["make", "--no-print-directory", "sbom", f"DIST={tmp_path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    bill = json.loads((tmp_path / f"sbom-{image}.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    names = {each["name"] for each in bill["components"]}
    assert holds <= names
    assert not (lacks | {"pytest", "mypy", "hypothesis"}) & names
    packages = [each for each in bill["components"] if each["name"] not in {"penstock", "penstock-operator"}]
    assert all(each["purl"].startswith("pkg:pypi/") for each in packages)
