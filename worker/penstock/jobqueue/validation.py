"""Checks a rule of the CRD against a manifest: paths, values, violations. Contains no rule itself.

The checks see a manifest whose structure is valid and whose defaults are applied; an absent field and one that is null
are the same. A rule that mentions `oldSelf` speaks of a change, so it is checked only where the manifest before is
known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SHOWN: Final = 80
"""Characters of a refused value that an error repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One CEL rule and its mirror.

    `at` is the place of the rule in the schema, dotted, with `[]` for the items of a list and "" for the root.
    `field` is the rule's fieldPath without its dot. `check` takes the value there and, for a transition, the old one.
    """

    name: str
    at: str
    text: str
    message: str
    field: str
    check: Callable[..., bool]

    @property
    def transition(self) -> bool:
        """True if the rule compares with the object before."""
        return "oldSelf" in self.text


def rule(at: str, text: str, message: str, *, field: str = "") -> Callable[[Callable[..., bool]], Rule]:
    """Make a `Rule` of the check below it; the check's name is the rule's."""

    def make(check: Callable[..., bool]) -> Rule:
        return Rule(name=check.__name__, at=at, text=text, message=message, field=field, check=check)

    return make


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: where, which, and the value found there."""

    path: str
    message: str
    value: Any

    def __str__(self) -> str:
        """One clause that names field, rule and value."""
        value = repr(self.value)
        return f"{self.path}: {self.message}; got {value if len(value) <= _SHOWN else value[: _SHOWN - 1] + '…'}"


def broken(
    rules: Iterable[Rule], manifest: Mapping[str, Any], old: Mapping[str, Any] | None = None
) -> Iterator[Violation]:
    """Every violation of `rules` by the manifest, in their order.

    Args:
        rules: what is checked.
        manifest: structurally valid, defaults applied.
        old: the manifest before, likewise; without it no transition rule is checked.
    """
    for one in rules:
        if one.transition and old is None:
            continue
        before = dict(_places(old or {}, one.at)) if one.transition else {}
        for path, value in _places(manifest, one.at):
            values = (value, before.get(path, value)) if one.transition else (value,)
            if not one.check(*values):
                yield Violation(f"{path}.{one.field}".strip("."), one.message, _at(value, one.field))


def has_field(value: Mapping[str, Any], name: str) -> bool:
    """CEL's `has(value.name)`."""
    return value.get(name) is not None


def _places(value: Any, at: str, path: str = "") -> Iterator[tuple[str, Any]]:
    head, _, rest = at.partition(".")
    if not head:
        yield path, value
        return
    name = head.removesuffix("[]")
    child = value.get(name) if isinstance(value, Mapping) else None
    if child is None:
        return
    here = f"{path}.{name}".lstrip(".")
    if head.endswith("[]"):
        for index, one in enumerate(child):
            yield from _places(one, rest, f"{here}[{index}]")
    else:
        yield from _places(child, rest, here)


def _at(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
