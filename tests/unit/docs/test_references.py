"""What the documents point to exists: files, tests, headings, commands, targets, metrics, variables, words."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import pytest
from tools.pages import command_names
from typer.testing import CliRunner

from penstock.cli import cli
from penstock_operator.resources import conditions
from tests.unit.docs.pages import ROOT, Page, page, pages

ALL = list(pages())
TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".venv")}
STORE = ROOT / "worker" / "penstock" / "store"
PLACEHOLDERS = ("NAME", "NNNN", "*", "{", "<")
FOR_DEVELOPMENT = {
    *("PENSTOCK_PG_BIN", "PENSTOCK_TEST_MAJORS", "PENSTOCK_TEST_URLS", "PENSTOCK_TEST_BASE_IMAGE"),
    *("PENSTOCK_CLUSTER", "PENSTOCK_TEST_KUBECONFIG", "PENSTOCK_TEST_REGISTRY", "PENSTOCK_TEST_CLUSTER_DATABASE"),
    *("PENSTOCK_SOAK", "PENSTOCK_SCALE_DOWNS"),
}
"""Variables that are no settings of a process: where PostgreSQL is, and what the tests use."""
each_page = pytest.mark.parametrize("page", ALL, ids=lambda one: one.name)


@functools.cache
def named_tests(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def typed(page: Page, program: str) -> list[list[str]]:
    """Uses of a program on a page, in console blocks and in spans of code, as words without the program."""
    lines = [*page.commands(), *(span for span in page.spans() if span.startswith(f"{program} "))]
    words = [shlex.split(line.replace("...", "").replace("…", "")) for line in lines]
    return [line[1:] for line in words if line[:1] == [program]]


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Page):
    """A moved file takes its links along."""
    broken = []
    for target in page.links():
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        if not path.exists() or (anchor and anchor not in page_at(path).anchors()):
            broken.append(target)
    assert broken == []


def page_at(path: Path) -> Page:
    return page(path.relative_to(ROOT).as_posix())


@each_page
def test_every_path_that_is_named_exists(page: Page):
    """Spans of code that start with a folder of the repository, with the test after `::` if there is one."""
    missing = []
    for span in page.spans():
        path, _, test = span.partition("::")
        if (
            "/" not in path
            or " " in path
            or path.split("/")[0] not in TOP
            or any(mark in path for mark in PLACEHOLDERS)
        ):
            continue
        here = ROOT / path
        if not here.exists() or (test and test not in named_tests(here)):
            missing.append(span)
    assert missing == []


@each_page
def test_every_test_that_is_named_exists(page: Page):
    """A claim whose test was renamed would stand alone."""
    known = {name for path in (ROOT / "tests").rglob("test_*.py") for name in named_tests(path)}
    named = {found for span in page.spans() for found in re.findall(r"(?:^|::)(test_[a-z]\w{15,})$", span)}
    assert named - known == set()


@each_page
def test_every_make_target_that_is_named_exists(page: Page):
    """In blocks to type and in running text."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for line in typed(page, "make") for word in line if "=" not in word}
    assert named - targets == set()


@each_page
def test_every_penstock_command_and_option_that_is_named_exists(page: Page):
    """As the command line itself says."""
    known = set(command_names())
    for words in typed(page, "penstock"):
        command = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert command in known, words
        assert [word for word in words if word.startswith("--") and word not in help_of(command)] == [], words


@functools.cache
def help_of(command: str) -> str:
    return CliRunner().invoke(cli, [*command.split(), "--help"], env={"COLUMNS": "200"}).output


@each_page
def test_every_metric_that_is_named_exists(page: Page):
    """By the page that is made from the code; or it is a role of the database."""
    known = set(re.findall(r"`(penstock_\w+)`", (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")))
    known |= {name for path in STORE.glob("roles.sql") for name in re.findall(r"penstock_\w+", path.read_text())}
    named = {span for span in page.spans() if re.fullmatch(r"penstock_[a-z_]+", span)} - {"penstock_operator"}
    assert named - known - {"penstock_app"} == set()  # a fixture


@each_page
def test_every_variable_that_is_named_exists(page: Page):
    """By the page that is made from the settings."""
    known = set(re.findall(r"`(PENSTOCK_\w+)`", (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")))
    named = {found for span in page.spans() for found in re.findall(r"PENSTOCK_[A-Z_]+", span)}
    assert named - known - FOR_DEVELOPMENT == set()


def rows(name: str, heading: str) -> list[list[str]]:
    """Cells of the table under a heading, its head left out."""
    text = (ROOT / name).read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_what_to_open_fits_a_screen_and_names_only_files():
    """At most 25 rows; a file to open and a test for each."""
    found = rows("docs/explanation/architecture.md", "I want to change…")
    assert 15 <= len(found) <= 25
    for _, opened, tested in found:
        for cell in (opened, tested):
            paths = re.findall(r"`([^`]+)`", cell)
            assert paths
            assert all((ROOT / path).exists() for path in paths), cell


def test_every_function_of_the_store_has_its_row_of_locks():
    """What it locks, in what order, is the first thing that a change of it must know."""
    named_there = {
        name for row in rows("docs/explanation/store.md", "The functions") for name in re.findall(r"`(\w+)`", row[0])
    }
    there = {path.stem for path in (STORE / "functions").glob("*.sql")}
    assert named_there == there


def test_every_interleaving_has_its_row_and_every_row_its_test():
    """The table is the list of what has been thought of."""
    named_there = {row[2].strip("`") for row in rows("docs/explanation/store.md", "Two at once")}
    files = list((ROOT / "tests" / "postgres").rglob("test_*.py"))
    assert named_there <= {name for path in files for name in named_tests(path)}
    stepped = {name for path in files if "interleavings" in path.name for name in named_tests(path)}
    assert stepped
    assert stepped - named_there == set()


def test_a_word_of_the_glossary_is_there_once_and_has_its_file():
    """One word per thing."""
    text = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8").split("\n## ")[0]
    words = re.findall(r"^\| ([\w ()-]+) \| [A-Z].+\. \| `(\S+)` \| .+ \|$", text, re.MULTILINE)
    assert len(words) == text.count("\n| ") - 1 >= 30
    assert len({word for word, _ in words}) == len(words)
    assert all((ROOT / path).is_file() for _, path in words)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_form_and_its_place_in_the_list(path: Path):
    """Context with an example first, decision, cost, when to revisit it; at most 60 lines."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Cost", "Revisit"]
    assert "**Example.**" in text.split("## Decision", maxsplit=1)[0]
    assert len(text.splitlines()) <= 60
    number = int(path.stem[:4])
    head = re.match(
        rf"# {number}\. (.+)\n\n- Status: (accepted|superseded by \d+)\n- Date: (\d{{4}}-\d\d-\d\d)\n\n## ", text
    )
    assert head, "number, title, status and date come first"
    row = f"| [{number}]({path.name}) | {' | '.join(head.groups())} |\n"
    assert row in (path.parent / "README.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_without_gaps():
    """A missing number reads like a decision that was hidden."""
    numbers = sorted(int(path.stem[:4]) for path in (ROOT / "docs" / "adr").glob("0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_figure_of_the_readme_is_on_the_page_that_it_links():
    """A number that was measured again changes in both places, or the first screen is out of date."""
    for what, measured, link in rows("README.md", "What was measured"):
        (target,) = re.findall(r"\]\(([^)#]+)", link)
        named_there = set(re.findall(r"\d[\d.,]*\d|\d", (ROOT / target).read_text(encoding="utf-8")))
        figures = set(re.findall(r"\d[\d.,]*\d|\d", measured.replace("p50", "").replace("p99", "")))
        assert figures - named_there == set(), f"README.md, 'What was measured', row {what!r}: not in {target}"


def test_every_page_is_within_reach_of_the_readme():
    """By links from page to page, folders included; nobody finds what nothing leads to."""
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        ahead += [(path.parent / target.partition("#")[0]).resolve() for target in page_at(path).links()]
    assert {one.name for one in ALL} - {path.relative_to(ROOT).as_posix() for path in seen} == set()


def test_the_conditions_of_the_operators_page_are_those_of_its_code():
    """Each type once; each reason is a word of the code, so that a renamed one takes its row along."""
    named_there = rows("docs/reference/operator.md", "Conditions")
    assert [row[0].strip("`") for row in named_there] == list(conditions.TYPES)
    named_there += rows("docs/reference/operator.md", "What goes wrong, and what it says")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator" / "penstock_operator").rglob("*.py"))
    named = {word for row in named_there for cell in row for word in re.findall(r"`([A-Z][A-Za-z]+)`", cell)}
    assert [word for word in sorted(named) if word not in conditions.TYPES and f'"{word}"' not in code] == []


def test_one_version_is_named_everywhere():
    """Of two that differ one was forgotten: the operator uses what is inside the library of its own version alone."""
    places = {
        "worker/pyproject.toml": r'^version = "(.+)"',
        "operator/pyproject.toml": r'^version = "(.+)"|"penstock==([^"]+)"',
        "charts/penstock/Chart.yaml": r"^(?:version|appVersion): (.+)",
        "Dockerfile": r"^ARG VERSION=(.+)",
    }
    named_there = [
        "".join(found)
        for name, pattern in places.items()
        for found in re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(named_there) == 6
    assert set(named_there) == {named_there[0]}
