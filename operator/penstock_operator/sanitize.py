"""Makes untrusted text fit for a log line, a condition or an event: no control or hidden characters, bounded length.

Servers, Secrets and API objects of tenants choose some of what the operator prints. Otherwise a terminal escape in a
server's error message would run in the reader's terminal, and a line break would forge a log line.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_LINE: Final = 2048
"""Characters of one log message."""
_CUT: Final = "…"
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of control, format (bidirectional overrides, zero width), surrogate, private and unassigned characters,
and of line and paragraph separators."""


def sanitized(text: str, limit: int = MAX_LINE) -> str:
    """The text on one line, with hidden characters as escapes.

    Args:
        text: from anywhere.
        limit: characters of the result, at least 1; what is longer is cut and ends with `…`.
    """
    head = text[:limit]
    if not (head.isascii() and head.isprintable()):
        head = "".join(map(_visible, head))
    if len(text) > limit or len(head) > limit:
        return head[: limit - 1] + _CUT
    return head


def sanitized_lines(text: str, limit: int) -> str:
    """A text of several lines, such as a traceback: every line is sanitized and indented; none can pass for a
    log line of its own.

    Args:
        text: from anywhere.
        limit: characters of the result; the end is kept, for it says what went wrong.
    """
    lines = text[-limit:].split("\n")
    return "\n".join(f"  {sanitized(line)}" for line in lines)


def _visible(character: str) -> str:
    if character == "\t":
        return " "
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
