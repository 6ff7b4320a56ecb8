"""Checks the import contracts in a copy of the tree, in a process of its own, and imports no module of the copy.

The copy is the first entry of `sys.path`; the argument is a folder with `contracts` (the file of import-linter) and
`planted.json`: for each wrong import its file, its lines, and the contract that has to object. Prints JSON.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TypedDict

import grimp
from importlinter.application import use_cases
from importlinter.configuration import configure
from importlinter.domain.contract import registry


class Planted(TypedDict):
    """One wrong import: the lines are appended to the module's file, which is created if it does not exist."""

    module: str
    lines: str
    contract: str


class Checked(TypedDict):
    """What was found: contracts broken by the tree, circles of modules, libraries with their importers.

    `edges` are the imports that each planted line adds, `objected` whether its contract is broken by them.
    """

    broken: list[str]
    circles: list[list[str]]
    libraries: dict[str, list[str]]
    edges: list[list[str]]
    objected: list[bool]


def build() -> grimp.ImportGraph:
    return grimp.build_graph("penstock", "penstock_operator", include_external_packages=True, cache_dir=None)


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Modules that import each other, directly or through others; imports under TYPE_CHECKING count.

    What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    """
    left = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    before = -1
    while len(left) != before:
        before = len(left)
        importing = {module for module, imported in left.items() if imported & left.keys()}
        imported = set().union(*left.values()) if left else set()
        left = {module: found for module, found in left.items() if module in importing & imported}
    return [[module, *sorted(left[module] & left.keys())] for module in sorted(left)]


def libraries(graph: grimp.ImportGraph) -> dict[str, list[str]]:
    """Who imports what is neither ours nor Python's own."""
    ours = ("penstock", "penstock_operator")
    names = {module for module in graph.modules if module.split(".")[0] not in {*ours, *sys.stdlib_module_names}}
    return {name: sorted(graph.find_modules_that_directly_import(name)) for name in sorted(names)}


def checker(folder: Path):
    """A function from a contract's name and a graph to whether the contract is kept."""
    configure()
    options = use_cases.read_user_options(str(folder / "contracts"))
    use_cases._register_contract_types(options)
    known = {one["name"]: one for one in options.contracts_options}

    def kept(name: str, graph: grimp.ImportGraph) -> bool:
        kind = registry.get_contract_class(known[name]["type"])
        contract = kind(name=name, session_options=options.session_options, contract_options=known[name])
        return bool(contract.check(copy.deepcopy(graph), verbose=False).kept)

    return kept, list(known)


def plant(root: Path, planted: list[Planted]) -> None:
    for one in planted:
        project = "operator" if one["module"].startswith("penstock_operator") else "worker"
        path = root / project / (one["module"].replace(".", "/") + ".py")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{text}\n{one['lines']}\n", encoding="utf-8")


def with_edges(clean: grimp.ImportGraph, module: str, edges: set[str]) -> grimp.ImportGraph:
    graph = copy.deepcopy(clean)
    if module not in graph.modules:
        graph.add_module(module)
    for imported in edges:
        if imported not in graph.modules:
            graph.add_module(imported, is_squashed=True)
        graph.add_import(importer=module, imported=imported, line_number=1, line_contents="planted")
    return graph


def main(folder: Path) -> None:
    planted: list[Planted] = json.loads((folder / "planted.json").read_text(encoding="utf-8"))
    kept, names = checker(folder)
    clean = build()
    plant(folder, planted)
    dirty = build()
    edges: list[set[str]] = []
    for one in planted:
        before = clean.find_modules_directly_imported_by(one["module"]) if one["module"] in clean.modules else set()
        edges.append(dirty.find_modules_directly_imported_by(one["module"]) - before)
    found = Checked(
        broken=[name for name in names if not kept(name, clean)],
        circles=circles(clean),
        libraries=libraries(clean),
        edges=[sorted(one) for one in edges],
        objected=[
            not kept(one["contract"], with_edges(clean, one["module"], added))
            for one, added in zip(planted, edges, strict=True)
        ],
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
