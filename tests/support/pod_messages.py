"""The termination message of a container, as a kubelet takes it: the last lines of the log of the run that failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 2048
MAX_LINES: Final = 80


def last_output(spec: Mapping[str, Any], log: Path, start: int, code: int) -> dict[str, str]:
    """The `message` of a terminated state, or nothing.

    Args:
        spec: of the container; without the policy FallbackToLogsOnError there is no message.
        log: of all its runs.
        start: where in it the run starts, in bytes.
        code: the run's exit code.
    """
    if spec.get("terminationMessagePolicy") != "FallbackToLogsOnError" or code == 0 or not log.exists():
        return {}
    text = log.read_bytes()[start:][-MAX_BYTES:].decode(errors="replace")
    return {"message": "".join(text.splitlines(keepends=True)[-MAX_LINES:])} if text else {}
