"""What failed in the last `make test`, once more: `python -m tools.again`, a part of `make ci`.

The suite runs thousands of tests against real servers on whatever machine CI gives it; one stall of that machine is
not to stop a change that has nothing to do with it. So at most `MOST` tests get a second chance, each is named loudly,
and what fails twice has failed. Nobody is to get used to it: a test that is named here is unstable, and to be mended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")
MOST = 3
"""More failures than these are no accident."""


def failed(root: Path) -> list[str]:
    """Node ids of what failed last; empty if nothing did, or nothing ran."""
    try:
        found: Mapping[str, bool] = json.loads((root / LAST_FAILED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return sorted(found)


def again(root: Path, pytest: Sequence[str]) -> int:
    """Run them by that command; 0 only if there were few and all of them pass now."""
    tests = failed(root)
    if not 0 < len(tests) <= MOST:
        print(f"ci: {len(tests)} tests failed; none is run again (at most {MOST} are)", flush=True)
        return 1
    print(f"ci: run again, for they failed: {', '.join(tests)}", flush=True)
    code = subprocess.run([*pytest, *tests], cwd=root, check=False).returncode
    said = "UNSTABLE, failed once and then passed; to be mended" if code == 0 else "failed twice or were not there"
    print(f"ci: {said}: {', '.join(tests)}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(again(ROOT, [sys.executable, "-m", "pytest"]))
