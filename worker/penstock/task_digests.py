"""Digests of tasks: names as a worker publishes them, four characters each, because samples read every worker's row.

Pure. A digest can show that no worker has a task. Two names with one digest, one pair in sixteen million, only hide it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

MAX_TASKS: Final = 250
"""Of one App; the digests of more are not published."""
_LENGTH: Final = 4


def task_digests(names: Iterable[str]) -> str | None:
    """The digests of the names, one after the other; None for more than `MAX_TASKS`."""
    made = sorted({_digest(name) for name in names})
    return "".join(made) if len(made) <= MAX_TASKS else None


def has_task(digests: str, name: str) -> bool:
    """Whether the name is among those of the digests; True for about one other name in 70,000 with `MAX_TASKS`."""
    wanted = _digest(name)
    return any(digests[start : start + _LENGTH] == wanted for start in range(0, len(digests), _LENGTH))


def _digest(name: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:3]).decode()
