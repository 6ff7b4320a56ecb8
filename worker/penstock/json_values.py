"""Plain JSON text: what it and Postgres can hold of a Python value, and the sentences for what they cannot.

Pure, and knows nothing of tasks. What JSON would change in silence (NaN, NUL, a lone surrogate) is refused here.
"""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from .errors import PayloadTooLarge
from .settings import shown

MAX_PAYLOAD_BYTES: Final = 256 * 1024
"""Most bytes that the JSON of a job's arguments, headers or result may have."""

_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_WHERE: Final = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)


def encode(value: object) -> bytes:
    """JSON; raises TypeError, ValueError, OverflowError, RecursionError and UnicodeEncodeError."""
    return _ENCODER.encode(value)


def bounded(encoded: bytes, *, of: str) -> str:
    """The text of encoded JSON. Raises PayloadTooLarge, with `of` for what it is."""
    if len(encoded) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"{of}: {len(encoded)} bytes as JSON, the limit is {MAX_PAYLOAD_BYTES}")
    return encoded.decode()


def split(error: Exception) -> tuple[str, str]:
    """What msgspec says is wrong, and the path of where it is."""
    found = _WHERE.match(str(error))
    return (found["what"], found["path"] or "") if found else (str(error), "")


def lower(what: str) -> str:
    """A sentence of msgspec's as it goes on after a colon."""
    return what if what[1:2].isupper() else what[:1].lower() + what[1:]  # "Expected …", but "JSON is …"


def refusal(value: object) -> str | None:
    """Why a value cannot be kept as JSON in Postgres, or None."""
    try:
        encoded = encode(value)
        if b"null" in encoded and _has_non_finite(msgspec.to_builtins(value)):
            return "NaN and infinity have no JSON form"
    except UnicodeEncodeError:
        return "text with a lone surrogate has no UTF-8 form"
    except RecursionError:
        return "it contains itself, or is nested too deeply"
    except (TypeError, ValueError, OverflowError) as error:
        return f"{lower(str(error))}, got {shown(value)}"
    if b"\\u0000" in encoded and _NUL.search(encoded):
        return "text with a NUL character cannot be kept in Postgres"
    return None


def _has_non_finite(value: object) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case dict():
            return any(map(_has_non_finite, value.values()))
        case list() | tuple():
            return any(map(_has_non_finite, value))
        case _:
            return False


def same(given: object, decoded: object) -> bool:
    """Equal, and of one kind all the way down; a tuple may come back as a list."""
    if isinstance(given, (list, tuple)) and isinstance(decoded, (list, tuple)):
        return len(given) == len(decoded) and all(map(same, given, decoded))
    if isinstance(given, dict) and isinstance(decoded, dict):
        return given.keys() == decoded.keys() and all(same(value, decoded[name]) for name, value in given.items())
    return given == decoded
