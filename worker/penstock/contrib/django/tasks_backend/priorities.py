"""Maps the framework's priorities (-100 to 100, larger first) to Penstock's four (0 to 3, lower first). Pure."""

from __future__ import annotations

from typing import Final

from penstock.app.options import DEFAULT_PRIORITY

LOW: Final = -50
"""At and above it, a priority below the default is 2; below it, 3."""


def penstock_priority(priority: int) -> int:
    """0 above the framework's default of 0; 1 for the default; 2 from -1 to -50; 3 below."""
    if priority > 0:
        return 0
    if priority == 0:
        return DEFAULT_PRIORITY
    return 2 if priority >= LOW else 3
