"""The folder can be lifted out: alone, without the package around it, where tasks start eagerly too."""

import ast
import pathlib
import shutil
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[3] / "worker" / "penstock" / "stages"

SCRIPT = """
import asyncio, sys
from stages import CancelMode, Consumer, Pipeline, TaskSupervisor, from_iterable, stream


async def main(eager):
    if eager:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    seen, ran, stored = [], [], []

    class Late(Consumer):
        async def on_start(self):
            await self.subscribe(numbers, max_demand=4)

        async def handle_events(self, events, subscription):
            seen.extend(events)

    numbers, late = from_iterable(range(20)), Late()
    await late.start()
    await numbers.start()
    await late.wait()

    async def work(event):
        ran.append(event)

    numbers, tasks = from_iterable(range(20)), TaskSupervisor(work)
    await tasks.subscribe(numbers, cancel=CancelMode.TEMPORARY)
    await tasks.start()
    await numbers.start()
    await numbers.wait()
    await tasks.idle()
    await tasks.stop()
    pipeline = Pipeline("p").source(lambda: from_iterable(range(20))).process(lambda envelope: None, concurrency=2)
    await pipeline.batch("db", lambda given, info: stored.extend(one.data for one in given), size=7).run()
    numbers = from_iterable(range(20))
    await numbers.start()
    streamed = [event async for event in stream(numbers)]
    for got in (seen, sorted(ran), sorted(stored), streamed):
        assert got == list(range(20)), got
    assert asyncio.all_tasks() == {asyncio.current_task()}


asyncio.run(main(sys.argv[1] == "eager"))
"""


@pytest.mark.parametrize("start", ["lazy", "eager"])
def test_the_folder_works_alone(tmp_path, start):
    """Copied to an empty place, with warnings as errors and no site packages."""
    if start == "eager" and sys.version_info < (3, 12):
        pytest.skip("tasks start eagerly from Python 3.12 on")
    shutil.copytree(FOLDER, tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "error", "-S", "script.py", start]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_it_imports_the_standard_library_and_itself_only():
    """Every import, also inside functions."""
    foreign = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            foreign |= {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign == set()
