"""Plain JSON text: checks that JSON and Postgres can represent a Python value, and explains why not.

Pure, and knows nothing of tasks. What JSON would change in silence (NaN, NUL, a lone surrogate) is refused here.
"""

from __future__ import annotations

import dataclasses
import math
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from ...errors import PayloadTooLarge, shown
from .conversions import Chosen, Sealed, give, is_model

MAX_PAYLOAD_BYTES: Final = 256 * 1024
"""Most bytes that the JSON of a job's arguments, headers or result may have."""

_ENCODER: Final = msgspec.json.Encoder(decimal_format="string", enc_hook=give)
_LARGE: Final = re.compile(rb"[0-9](?:[0-9]{15}|e\+?[0-9])")
_EXPONENT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+?\d+')
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_WHERE: Final = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)


def encode_json(value: object) -> bytes:
    """JSON; raises TypeError, ValueError, OverflowError, RecursionError and UnicodeEncodeError."""
    encoded = encode_small(value)
    return written_out(encoded) if b"e" in encoded and is_large(encoded) else encoded


encode_small: Final = _ENCODER.encode
"""`encode_json` for values without large floats: the search for one takes longer than the encoding."""


def written_out(encoded: bytes) -> bytes:
    """The JSON with floats without exponents: Postgres keeps 1e22 as an integer, and as such it would come back."""
    return _EXPONENT.sub(_written_out, encoded)


def is_large(encoded: bytes) -> bool:
    """Return True if the text may contain a number that differs as integer and float; false positives are possible."""
    return _LARGE.search(encoded) is not None


def _written_out(found: re.Match[bytes]) -> bytes:
    text = found[0]
    return text if text.startswith(b'"') else f"{Decimal(text.decode()):f}.0".encode()


def text_within_limit(encoded: bytes, *, of: str) -> str:
    """The text of encoded JSON. Raises PayloadTooLarge, with `of` for what it is."""
    if len(encoded) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"{of}: {len(encoded)} bytes as JSON, the limit is {MAX_PAYLOAD_BYTES}")
    return encoded.decode()


def split(error: Exception) -> tuple[str, str]:
    """The error message of msgspec, and the path that it names."""
    found = _WHERE.match(str(error))
    return (found["what"], found["path"] or "") if found else (str(error), "")


def lower(what: str) -> str:
    """A sentence of msgspec's as it goes on after a colon."""
    return what if what[1:2].isupper() else what[:1].lower() + what[1:]  # "Expected …", but "JSON is …"


def json_refusal(value: object) -> str | None:
    """Why a value cannot be kept as JSON in Postgres, or None."""
    try:
        encoded = encode_small(value)
        if b"null" in encoded and _has_non_finite(msgspec.to_builtins(value, str_keys=True, enc_hook=give)):
            return "NaN and infinity have no JSON form"
    except UnicodeEncodeError:
        return "text with a lone surrogate cannot be encoded as UTF-8"
    except RecursionError:
        return "it contains itself, or is nested too deeply"
    except (TypeError, ValueError, OverflowError) as error:
        return f"{lower(str(error))}, got {shown(value)}"
    if b"\\u0000" in encoded and _NUL.search(encoded):
        return "text with a NUL character cannot be stored in Postgres"
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
    """Equal, and of one kind all the way down; a tuple may come back as a list, a subclass as its base."""
    if type(given) is type(decoded) and type(given) in _ATOMS:  # nearly always
        return given == decoded
    if isinstance(given, (Chosen, Sealed)):
        given = given.value
    if isinstance(given, (list, tuple)) and isinstance(decoded, (list, tuple)):
        return len(given) == len(decoded) and all(map(same, given, decoded))
    if isinstance(given, dict) and isinstance(decoded, dict):
        return given.keys() == decoded.keys() and all(same(value, decoded[name]) for name, value in given.items())
    if dataclasses.is_dataclass(given) and type(given) is type(decoded):
        return all(same(getattr(given, one.name), getattr(decoded, one.name)) for one in dataclasses.fields(given))
    if is_model(type(given)):
        return type(given) is type(decoded) and _of_model(given) == _of_model(decoded)
    return given == decoded and (isinstance(given, type(decoded)) or isinstance(decoded, type(given)))


def _of_model(model: Any) -> tuple[dict[str, object], object]:
    """Fields, also those that are left out of its JSON, without what it caches."""
    return {name: getattr(model, name) for name in type(model).model_fields}, model.model_extra


def is_exact(given: Any, decoded: Any) -> bool:
    """No integer became a float that is another number."""
    match given, decoded:
        case (int(), float()):
            return bool(given == decoded)
        case ([*_], [*_]):
            return all(map(is_exact, given, decoded))
        case (dict(), dict()):
            return all(is_exact(value, decoded.get(name)) for name, value in given.items())
    return True
