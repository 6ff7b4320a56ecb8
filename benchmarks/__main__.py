"""Run one benchmark, or all of them one after the other: `python -m benchmarks [NAME]`."""

from __future__ import annotations

import importlib
import pathlib
import sys

HERE = pathlib.Path(__file__).parent


def names() -> list[str]:
    """The benchmarks: modules of this folder whose name does not start with an underscore."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str]) -> int:
    """Run what was asked for; 2 for an unknown name."""
    wanted = arguments or names()
    if unknown := sorted(set(wanted) - set(names())):
        print(f"benchmarks: must be among {', '.join(names())}; got {', '.join(unknown)}", file=sys.stderr)
        return 2
    for name in wanted:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
