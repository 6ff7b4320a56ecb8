"""`make demo`'s command as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shop import jobs

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.timeout(500)
def test_the_demo_ends_by_itself_with_everything_accounted_for_and_leaves_no_file(tmp_path: Path) -> None:
    """Exit code 0; its output has the jobs, the reasons and no password; its temporary files are gone."""
    tmp_path.chmod(0o711)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "SHOP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "shop.demo"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        timeout=450,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stderr == ""
    assert "Everything is accounted for." in done.stdout
    for task in jobs.app.tasks:
        assert task.removeprefix("shop.jobs:") in done.stdout
    for queue in ("emails", "images", "analytics", "reports"):
        assert f"{queue}: 0 -> " in done.stdout
    assert "postgresql://" not in done.stdout
    assert list(tmp_path.iterdir()) == []
