"""The output formats of commands: a table for people, JSON and YAML for programs. Needs no library.

Text from the database is untrusted: a task's name or an error may contain escape sequences that would rewrite a
terminal. Therefore every character that does not print (controls, bidirectional overrides, surrogates) is shown as its
escape, in all three formats. The YAML uses JSON's scalars in YAML's block style: no text can be read as a number, a
date or `no`, and any YAML 1.2 parser reads it.
"""

from __future__ import annotations

import enum
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

MAX_CELL: Final = 60
"""Maximum length of a table's cell, in characters; JSON and YAML contain the whole text."""
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_PLAIN: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that a YAML 1.1 parser reads as a boolean or null."""


class Format(enum.StrEnum):
    """The value of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def safe(text: str) -> str:
    r"""The text on one line, with every character that does not print as its escape, as `\x1b` or `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode() if ord(character) != 0x7F else "\\x7f"


def cell(value: object, max_length: int | None = MAX_CELL) -> str:
    """One value in a table: safe, on one line, truncated."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S%z")
        case dict():
            return cell(json.dumps(as_json_types(value), ensure_ascii=False), max_length)
        case list() | tuple():
            return cell(", ".join(map(str, value)), max_length)
    text = safe(str(value))
    return text if max_length is None or len(text) <= max_length else text[: max_length - 1] + "…"


def format_duration(value: float | None) -> str:
    """A duration for people, in its two largest units: `3d 4h`, `1m 5s`, `0.25s`; `-` for None."""
    if value is None:
        return "-"
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value < 10:
        return f"{sign}{value:.2g}s"
    whole = round(value)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, whole = divmod(whole, size)
        if number or parts:
            parts.append(f"{number}{unit}" if number else "")
    return sign + " ".join(part for part in parts[:2] if part)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under their names, two spaces apart; every cell is safe. Empty without rows."""
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        return ""
    lines = [[name.upper() for name in head], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    drawn = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(drawn) + "\n"


def pairs(values: Mapping[str, object]) -> str:
    """Names and values, one line each; None is left out."""
    present = {name: value for name, value in values.items() if value is not None}
    width = max(map(len, present), default=0)
    return "".join(f"{name.ljust(width)}  {cell(value, None)}\n" for name, value in present.items())


def as_json(value: Any) -> str:
    """Indented JSON in UTF-8; characters that do not print are escaped, which makes it safe on a terminal."""
    text = json.dumps(as_json_types(value), ensure_ascii=False, indent=2)
    return _escape_outside_lines(text, _json_escape) + "\n"


def as_yaml(value: Any) -> str:
    """YAML 1.2 in block style with JSON's scalars."""
    return "\n".join(_yaml_lines(as_json_types(value))) + "\n"


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines = []
        for key, inner in value.items():
            name = key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _NOT_PLAIN else _yaml_scalar(key)
            lines += _yaml_under(f"{name}:", inner)
        return lines
    if isinstance(value, list) and value:
        return [line for inner in value for line in _yaml_item(inner)]
    return [_yaml_scalar(value)]


def _yaml_under(name: str, value: Any) -> list[str]:
    if isinstance(value, dict | list) and value:
        return [name, *(f"  {line}" for line in _yaml_lines(value))]
    return [f"{name} {_yaml_scalar(value)}"]


def _yaml_item(value: Any) -> list[str]:
    first, *rest = _yaml_lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, float):
        # A YAML 1.1 parser reads a number with an exponent but without a point as text.
        digits, _, exponent = repr(value).partition("e")
        return f"{digits}.0e{exponent}" if exponent and "." not in digits else repr(value)
    return _escape_outside_lines(json.dumps(value, ensure_ascii=False), _yaml_escape)


def _escape_outside_lines(text: str, escape: Any) -> str:
    """Escape all but line ends: those inside a text were escaped by JSON already."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(escape(c) if c != "\n" and unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) != 0x7F else "\\u007f"


def _yaml_escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


def as_json_types(value: Any) -> Any:
    """The value in JSON's types: named tuples as objects, times in ISO 8601, other sequences as lists."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "__struct_fields__"):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): as_json_types(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json_types(inner) for inner in value]
    return value


def write(form: Format, value: Any, *, drawn: str, empty: str = "") -> None:
    """Print a result to stdout.

    Args:
        form: the value of `-o`.
        value: printed as JSON or YAML.
        drawn: printed as the table.
        empty: printed on stderr in place of an empty table.
    """
    match form:
        case Format.JSON:
            sys.stdout.write(as_json(value))
        case Format.YAML:
            sys.stdout.write(as_yaml(value))
        case Format.TABLE if drawn:
            sys.stdout.write(drawn)
        case Format.TABLE if empty:
            sys.stderr.write(empty + "\n")
