"""The program `penstock`, also as `kubectl penstock` and `python -m penstock`: signals stop it from its first line on.

Must not import anything else before `main` has installed the handlers: the command line takes a tenth of a second.
"""

from __future__ import annotations

import sys

from penstock.early_signals import early_exit_code, exit_on_signals


def main() -> None:
    """Run the command in `sys.argv` and exit the process."""
    exit_on_signals(early_exit_code(sys.argv[1:]))
    from penstock.cli import main as run_command  # noqa: PLC0415 - the handlers come first

    run_command()


if __name__ == "__main__":
    main()
