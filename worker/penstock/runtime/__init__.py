"""One worker process: the demand-driven loop over one queue, and its supervision. Start reading at `worker`.

Importing this package loads nothing else: a child process needs a small part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .main import run_worker

__all__ = ["run_worker"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import main  # noqa: PLC0415 - see above

        return getattr(main, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
