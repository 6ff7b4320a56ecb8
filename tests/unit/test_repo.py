"""What holds for the repository as a whole: where things stand, how large they are, and what no file may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tools import generate

ROOT = Path(__file__).parents[2]
STORE = ROOT / "worker" / "penstock" / "store"
MODULE_LINES, FUNCTION_LINES, SQL_LINES = 300, 40, 60
MACHINE_PATHS = ("/" + "root/", "/" + "work/", "/" + "home/")
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted.org", "proxy." + "golang.org", "registry." + "npmjs.org")
SENDS = {"statement", "_row", "_rows", "named_rows", "rows", "value"}
"""The functions of the store whose first argument is the name of a statement file."""
FORMATTER_SWITCHES = 4
"""Two tables of values in tests, and two calls that pass all parameters on by name; the number only falls."""
PRODUCT = ("worker/penstock", "operator/penstock_operator")
SHARED_NAMES = {
    "CallResult": "one meaning twice: `penstock.testing` is imported without the runtime",
    "main": "the entry point of each process",
    "migrate": "the command, and the function that it calls",
    "release": "one meaning twice: return what was taken and not finished, jobs or events of a stage",
}
"""Names that two modules of the product may define, and why."""


def tracked(pattern: str = "*") -> list[Path]:
    """Files that git knows and that are there, by a pattern of git's; the clone may have another owner."""
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z", "--", pattern]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("arguments", [[], ["-S"], ["-I"]], ids=["plain", "without site", "isolated"])
@pytest.mark.parametrize("folder", [".", "operator", "worker", "tests"])
def test_import_operator_is_the_standard_librarys(folder, arguments):
    """The project folder `operator/` hides no module, from wherever Python is started."""
    said = subprocess.run(
        [sys.executable, *arguments, "-c", "import operator; print(operator.itemgetter(1)('ab'), operator.__file__)"],
        cwd=ROOT / folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.startswith("b ")
    assert Path(said[2:].strip()).name == "operator.py"
    assert ROOT / "operator" not in Path(said[2:].strip()).parents


def test_the_project_folders_are_no_packages():
    """A package named `operator` would shadow the standard library's module."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "worker" / "__init__.py").exists()
    assert not [path for path in (ROOT / "tests").rglob("operator") if path.is_dir()]


def test_every_folder_of_tests_is_a_package():
    """So that two test files may have one name."""
    folders = {path.parent for path in tracked("tests/*.py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_no_module_is_longer_than_300_lines_without_a_reason():
    """The reason stands in the module's docstring, with the words `300 lines`."""
    long = [path for path in tracked("*.py") if lines_of(path) > MODULE_LINES]
    unexplained = [
        f"{path.relative_to(ROOT)}: {lines_of(path)}"
        for path in long
        if "300 lines" not in " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    ]
    assert unexplained == []


def test_no_function_is_longer_than_40_lines():
    """Its signature and docstring included, its decorators not."""
    long = []
    for path in tracked("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} {lines}")
    assert long == []


def test_the_formatter_is_switched_off_for_no_more_statements():
    """The number of statements that it skips cannot grow; a region is never switched off."""
    switch = re.compile(r"# fmt: (skip|off|on)\b")
    found = [match for path in tracked("*.py") for match in switch.findall(path.read_text(encoding="utf-8"))]
    assert set(found) == {"skip"}
    assert len(found) <= FORMATTER_SWITCHES


def names_defined(path: Path) -> set[str]:
    """Classes, type aliases and public functions of a module, without the underscore of a private class."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name.strip("_"))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, made = node.targets[0].id.strip("_"), isinstance(node.value, ast.Call)
            if name[:1].isupper() and not name.isupper() and not made:  # TypeVars are calls, constants are upper case
                found.add(name)
    return found


def names_shared(folders: Iterable[str]) -> dict[str, list[str]]:
    """The modules by each name that several of them define."""
    places = defaultdict(list)
    for path in (path for folder in folders for path in tracked(f"{folder}/*.py")):
        for name in names_defined(path):
            places[name].append(str(path.relative_to(ROOT)))
    return {name: modules for name, modules in places.items() if len(modules) > 1}


def test_no_two_modules_define_the_same_name():
    """One name has one meaning; the exceptions have a reason, and none is left over."""
    shared = names_shared(PRODUCT)
    assert {name: modules for name, modules in shared.items() if name not in SHARED_NAMES} == {}
    assert set(SHARED_NAMES) - set(shared) == set()


def test_a_class_a_type_alias_and_a_function_count_as_names(tmp_path):
    """Type variables, constants, methods and private functions do not."""
    module = tmp_path / "module.py"
    module.write_text(
        "T = TypeVar('T')\nLIMIT = 3\nKey = tuple[str, str]\nclass _Page:\n    def read(self): ...\n"
        "def line(): ...\nasync def wait(): ...\ndef _hidden(): ...\n",
        encoding="utf-8",
    )
    assert names_defined(module) == {"Key", "Page", "line", "wait"}


def test_nobody_waits_with_what_may_lose_a_cancellation():
    """Before Python 3.12 `asyncio.wait_for` swallows one that comes as the wait is over; `asyncio.timeout` does not."""
    ours = [path for folder in ("worker", "operator") for path in tracked(f"{folder}/*.py")]
    assert ours
    assert [str(path) for path in ours if "asyncio.wait_for(" in path.read_text(encoding="utf-8")] == []


def test_no_statement_or_function_of_the_store_is_longer_than_60_lines():
    """One file each; migrations are as long as the tables that they make."""
    files = [*STORE.glob("sql/*.sql"), *STORE.glob("functions/*.sql")]
    assert files
    assert [f"{path.name}: {lines_of(path)}" for path in files if lines_of(path) > SQL_LINES] == []


def statements_sent() -> Iterator[tuple[str, str]]:
    """(statement, module) wherever the store sends one by name."""
    for path in STORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in SENDS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, path.name


def test_every_statement_file_is_sent_by_exactly_one_module():
    """None is left over, none is missing, and its first line says who uses it."""
    used = defaultdict(set)
    for name, module in statements_sent():
        used[name].add(module)
    assert set(used) == {path.stem for path in STORE.glob("sql/*.sql")}
    assert {name: modules for name, modules in used.items() if len(modules) != 1} == {}
    assert [
        p.name for p in STORE.glob("sql/*.sql") if not p.read_text(encoding="utf-8").startswith("-- Used by ")
    ] == []


def test_every_function_file_makes_the_function_of_its_name():
    """And says first what for and under which locks."""
    for path in STORE.glob("functions/*.sql"):
        text = path.read_text(encoding="utf-8")
        assert f"CREATE OR REPLACE FUNCTION penstock.{path.stem}(" in text
        head = text.split("CREATE OR REPLACE", 1)[0]
        assert head.startswith("-- Purpose: ")
        assert "ocks" in head, path.name


def test_no_file_names_this_machine_or_a_package_registry():
    """Only lock files say where packages came from; nothing says where it was written."""
    found = []
    for path in tracked():
        if path.name in {"uv.lock", "go.sum"} or b"\0" in path.read_bytes()[:8000]:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*MACHINE_PATHS, *REGISTRY_HOSTS) if word in text]
    assert found == []


def test_copies_and_generated_pages_are_what_their_sources_make():
    """`make generate` renews them."""
    assert [one.path for one in generate.stale()] == []


def test_a_copy_that_was_edited_is_found():
    """And one that is right is not."""
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    right = generate.Made("LICENSE", "itself", lambda: licence)
    edited = generate.Made("LICENSE", "elsewhere", lambda: licence + "more")
    absent = generate.Made("no/such/file", "elsewhere", lambda: "")
    assert generate.stale([right, edited, absent]) == [edited, absent]
