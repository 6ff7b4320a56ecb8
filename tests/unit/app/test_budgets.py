"""What `penstock` may cost to install and import. A budget is raised here on purpose or not at all."""

import importlib.metadata
import re
import subprocess
import sys

IMPORT_SECONDS = 0.12
"""Processor time of importing all public names in a fresh interpreter, the interpreter's own start left out."""
IMPORTED_MODULES = 160
IMPORT = """
import sys, time
before, started = set(sys.modules), time.process_time()
import penstock
for name in set(penstock.__all__) - {"__version__"}:
    getattr(penstock, name)
print(time.process_time() - started, len(set(sys.modules) - before))
"""
"""The public names are loaded at their first use; the version, which few programs read, costs as much as a third."""
DIRECT = {"cronsim", "msgspec", "prometheus-client", "psycopg", "typer", "tzdata"}
INSTALLED = 20
"""Distributions that `pip install penstock` brings, over all levels: 17 as this is written."""


def imported() -> tuple[float, int]:
    """Seconds of processor time, and the number of modules, of a fresh import."""
    printed = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True).stdout
    seconds, modules = printed.split()
    return float(seconds), int(modules)


def test_importing_the_public_names_is_cheap():
    """The least of ten, of processor time: what else runs on the machine does not count."""
    for _ in range(10):
        seconds, _modules = imported()
        if seconds <= IMPORT_SECONDS:
            return
    raise AssertionError(f"the import took {seconds} s of processor time, the budget is {IMPORT_SECONDS}")


def test_importing_the_public_names_loads_few_modules():
    """A library that slips into the import shows here before it shows in the time."""
    assert imported()[1] <= IMPORTED_MODULES


def requirements(name: str, extras: frozenset[str] = frozenset()) -> list[tuple[str, frozenset[str]]]:
    """What a distribution requires, with the extras that it asks for."""
    found = []
    for line in importlib.metadata.requires(name) or []:
        requirement, _, marker = line.partition(";")
        wanted = re.findall(r"extra == [\"']([\w-]+)[\"']", marker)
        if (wanted and not extras & set(wanted)) or not applies(marker):
            continue
        match = re.match(r"([\w.-]+)(?:\[([\w, -]+)\])?", requirement.strip())
        assert match is not None
        asked = frozenset(part.strip() for part in (match[2] or "").split(",") if part.strip())
        found.append((match[1].lower().replace("_", "-"), asked))
    return found


def applies(marker: str) -> bool:
    """Whether an environment marker holds here, as far as Penstock's own requirements use them."""
    return not re.search(
        r"sys_platform == ['\"]win32|platform_system == ['\"]Windows|python_version < ['\"]3\.11", marker
    )


def test_penstock_depends_on_little():
    """Six libraries, and theirs: cronsim and tzdata have none."""
    assert {name for name, _ in requirements("penstock")} == DIRECT
    seen: dict[str, frozenset[str]] = {}
    todo = requirements("penstock")
    while todo:
        name, extras = todo.pop()
        if name in seen and extras <= seen[name]:
            continue
        seen[name] = seen.get(name, frozenset()) | extras
        try:
            todo += requirements(name, extras)
        except importlib.metadata.PackageNotFoundError:
            del seen[name]  # for another platform or version of Python
    assert set(seen) > DIRECT
    assert len(seen) <= INSTALLED, sorted(seen)
