"""Maps error responses of the API server to the operator's exceptions. Pure."""

from __future__ import annotations

from typing import Final

from .. import errors

_REFUSALS: Final = ("failed to create typed patch object", "failed to create manager", "request is too large")
"""In a 500 of the API server: what it was sent is the reason, and no repetition helps."""


def error_of(status: int, message: str) -> errors.ClusterError:
    """The kind of error that an answer of that code is."""
    if status == 500 and any(words in message for words in _REFUSALS):
        return errors.Refused(message, status=status)
    kinds = {401: errors.Forbidden, 403: errors.Forbidden, 404: errors.NotFound, 409: errors.Conflict}
    if status >= 500 or status == 429:
        return errors.Unreachable(message, status=status)
    return kinds.get(status, errors.Refused)(message, status=status)
