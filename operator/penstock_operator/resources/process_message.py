"""The last message of a process, as one clause for a condition. Pure.

A container's termination message is its last output, which anybody may have written: escape sequences, line ends and
hidden characters go, and so do passwords, in URLs and after `password=`. Of a traceback the last line says the most.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_LENGTH: Final = 240
"""Characters of a clause; what is longer loses its middle, for both ends say something."""
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_IN_URL: Final = re.compile(r"(?<=://)[^\s/?#]*@")
_AFTER_NAME: Final = re.compile(
    r"""(?i)(["']?[\w-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|authorization)["']?\s*[=:]\s*)"""
    r"""("[^"]*"|'[^']*'|(?:bearer |basic )?[^\s,;&"'})\]]+)"""
)
_SCANNED: Final = 8192


def last_words(text: str) -> str:
    """The last line that has words in it, made harmless; empty for none."""
    for line in reversed(text[-_SCANNED:].splitlines()):
        if shown := harmless(line):
            return shown
    return ""


def harmless(line: str) -> str:
    """One line without escapes, hidden characters and passwords, at most `MAX_LENGTH` long."""
    plain = "".join(one if _is_visible(one) else " " for one in _ESCAPES.sub("", line[-_SCANNED:]))
    plain = _AFTER_NAME.sub(r"\1***", _IN_URL.sub("***@", " ".join(plain.split())))
    if len(plain) <= MAX_LENGTH:
        return plain
    head = MAX_LENGTH // 2
    return f"{plain[:head]} … {plain[len(plain) - (MAX_LENGTH - head - 3) :]}"


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
