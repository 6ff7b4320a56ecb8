"""One pod: the demand-driven loop over one queue, and what keeps it honest. Start reading at `pipeline`."""

from .pipeline import run_worker

__all__ = ["run_worker"]
