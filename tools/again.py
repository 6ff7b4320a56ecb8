"""Rerun the tests that failed in the last `make test`: `python -m tools.again`, a part of `make ci`.

The suite runs thousands of tests against real servers, several at once, on any machine that CI provides; one stall of
that machine must not stop an unrelated change. At most `MAX_TESTS` tests run a second time, one after the other, and
what fails twice has failed. A test that passes the second time is reported as UNSTABLE: it has a bug that needs a fix.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")
MAX_TESTS = 3
"""More failures than these are not explained by one stall."""


def failed(root: Path) -> list[str]:
    """Node ids of the tests that failed last; empty if none failed, or none ran."""
    try:
        found: Mapping[str, bool] = json.loads((root / LAST_FAILED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return sorted(found)


def again(root: Path, pytest: Sequence[str]) -> int:
    """Rerun the failed tests with that command; 0 only if there were few and all of them pass now."""
    tests = failed(root)
    if not 0 < len(tests) <= MAX_TESTS:
        print(f"ci: no rerun: failed tests: {len(tests)} (rerun for 1 to {MAX_TESTS})", flush=True)
        return 1
    print(f"ci: rerunning failed tests: {', '.join(tests)}", flush=True)
    code = subprocess.run([*pytest, *tests], cwd=root, check=False).returncode
    result = "UNSTABLE: passed only when rerun, needs a fix" if code == 0 else "failed again, or not found"
    print(f"ci: {result}: {', '.join(tests)}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(again(ROOT, [sys.executable, "-m", "pytest"]))
