"""W3C trace context in a job's headers: written at enqueue, read when the job runs or its log lines are written.

Does not import OpenTelemetry: a span can only be current if the application has imported it, which `sys.modules` shows.
Without it an enqueue costs one more dictionary lookup. The header's format:
https://www.w3.org/TR/trace-context/#traceparent-header.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class TraceContext(NamedTuple):
    """A remote span: 32 and 16 hexadecimal digits, neither all zero; flags; tracestate, or ''."""

    trace_id: str
    span_id: str
    flags: int
    state: str


def opentelemetry() -> Any:
    """The module `opentelemetry.trace` if this process has imported it, else None."""
    return sys.modules.get("opentelemetry.trace")


def current_headers() -> dict[str, str]:
    """Headers that name the current span; empty without one."""
    trace = opentelemetry()
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    headers = {PARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"}
    if state := context.trace_state.to_header():
        headers[STATE] = state
    return headers


def with_current(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """A job's headers with those of the current span added; the caller's own win."""
    current = current_headers()
    return {**current, **(headers or {})} if current else headers


def read(headers: str | None) -> TraceContext | None:
    """The producer's span from a job's headers (JSON); None if there is none or it is malformed."""
    if headers is None or PARENT not in headers:
        return None
    try:
        found = msgspec.json.decode(headers)
        match = _FORM.fullmatch(found[PARENT])
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return None
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return None
    state = found.get(STATE, "")
    return TraceContext(match[1], match[2], int(match[3], 16), state if isinstance(state, str) else "")
