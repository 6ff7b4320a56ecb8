"""The manual's Python runs, and prints what the page says."""

import ast
import asyncio
import contextlib
import inspect
import io
import pathlib
import re
import types

import pytest

import penstock.stages

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "reference" / "stages.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_runs_and_prints_what_the_page_says():
    """From top to bottom in one namespace, as a reader would; no task is left at the end."""
    blocks = BLOCK.findall(PAGE.read_text())
    problems: list[object] = []

    async def read() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        namespace: dict[str, object] = {"__name__": "manual"}
        compared = 0
        for index, (language, text) in enumerate(blocks):
            if language != "python":
                continue
            printed = io.StringIO()
            code = compile(text, f"stages.md, block {index}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            with contextlib.redirect_stdout(printed):
                answer = types.FunctionType(code, namespace)()
                if inspect.isawaitable(answer):
                    async with asyncio.timeout(10):
                        await answer
            if printed.getvalue():
                assert blocks[index + 1] == ("text", printed.getvalue())
                compared += 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return compared

    assert asyncio.run(read()) >= 12
    assert not problems


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z]\w+)\(", PAGE.read_text()))))
def test_every_name_that_the_page_calls_is_public(name):
    """Words in code style that are called exist in the package."""
    assert hasattr(penstock.stages, name)


def test_links_inside_the_page_lead_somewhere():
    """Each has its heading."""
    page = PAGE.read_text()
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
