"""From an import path to the App, with one clear error for each way to fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock import App
from penstock.app.loading import load_app
from penstock.errors import ConfigurationError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of this test's own, importable."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "jobs.py").write_text("from penstock import App\napp = App()\nother = 3\n")
    (tmp_path / name / "broken.py").write_text("\n\nraise RuntimeError('no settings')\n")
    (tmp_path / name / "needy.py").write_text("import no_such_library_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_an_import_path_leads_to_the_app(package: str):
    """package.module:attribute."""
    assert isinstance(load_app(f"{package}.jobs:app"), App)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("{}.jobs", "package.module:attribute"),
        ("{}/jobs.py:app", "package.module:attribute"),
        ("{}.none:app", "there is no module '{}.none'"),
        ("nowhere_at_all.jobs:app", "there is no module 'nowhere_at_all'"),
        ("{}.jobs:missing", "'missing' in module {}.jobs does not exist"),
        ("{}.jobs:other", "'other' in module {}.jobs is int, not an App"),
        ("{}.broken:app", r"importing {}.broken failed with RuntimeError: no settings \(.*broken.py, line 3\)"),
        ("{}.needy:app", r"failed with ModuleNotFoundError: .*no_such_library_at_all.*needy.py, line 1"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(package: str, path: str, named: str):
    """Missing module, missing attribute, no App, or a module that fails."""
    with pytest.raises(ConfigurationError, match=named.replace("{}", package)):
        load_app(path.replace("{}", package))


def test_importing_penstock_loads_no_driver():
    """Declaring tasks costs msgspec and this package, nothing that opens or watches anything."""
    heavy = "{'psycopg', 'typer', 'asyncio', 'prometheus_client', 'rich', 'yaml', 'penstock.store', 'penstock.testing'}"
    code = f"import sys; from penstock import App; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_the_version_is_the_distributions():
    """Read when asked for."""
    import importlib.metadata

    import penstock

    assert penstock.__version__ == importlib.metadata.version("penstock")
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = penstock.no_such_name  # type: ignore[attr-defined]
