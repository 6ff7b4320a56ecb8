"""Maps errors to conditions: failed calls of the API server, and unexpected exceptions. Pure."""

from __future__ import annotations

import re
from typing import Final

from .errors import ChangesUndone, ClusterError, Conflict, Forbidden, InvalidName, NameTaken, NotFound, Unreachable

REASON: Final = "ReconcileFailed"
MAX_TEXT: Final = 200
_REASONS: Final = (
    (NameTaken, "NameTaken"),
    (ChangesUndone, "ChangesUndone"),
    (InvalidName, "InvalidName"),
    (Forbidden, "Forbidden"),
    (NotFound, "NotFound"),
    (Conflict, "Conflict"),
    (Unreachable, "ApiServerUnreachable"),
)
_URL: Final = re.compile(r"\S*://\S*")
_PASSWORD: Final = re.compile(r"(?i)(pass(?:word|wd)?|pwd|token|secret)(['\"]?\s*[=:]\s*)\S+")


def described(error: BaseException) -> tuple[str, str]:
    """Reason and sentence of a condition."""
    return (
        REASON,
        f"Reconciliation failed: {summary(error)} Retrying; the operator's log has the traceback.",
    )


def reason_of_call(error: ClusterError) -> str:
    """The reason of the condition WorkersAvailable for a call that failed."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "TemplateRejected")


def summary(error: BaseException) -> str:
    """Class and text of an error on one printable line, without URLs and passwords; the text at most 200 characters."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error whose text cannot be had has still a class
        text = ""
    text = _PASSWORD.sub(r"\1\2…", _URL.sub("(a URL)", text[: 10 * MAX_TEXT]))
    text = "".join(one if one.isprintable() else " " for one in text).strip()
    text = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
    name = type(error).__name__
    return f"{name}: {text.rstrip('.')}." if text else f"{name}."
