"""`python -m penstock_operator`: signals can stop the process from its first line on.

The imports take a second. `operate` puts handlers of its own in the place of these; until then there is nothing to
release.
"""

from __future__ import annotations

import sys

from penstock.early_signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals(0)

from .main import main

if __name__ == "__main__":
    sys.exit(main())
