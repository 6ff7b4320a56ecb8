"""`python -m penstock_operator`: signals can stop the process from its first moment on.

As PID 1 of a container it would not get a signal that has no handler, and the imports take a second. `operate` puts
handlers of its own in their place; until then there is nothing to release.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))

from .main import main

if __name__ == "__main__":
    sys.exit(main())
