"""Checks a PromQL expression against the metrics that exist: names, labels, and the labels of its result.

It parses the part of PromQL that the dashboards and rules use and rejects everything else, because an unchecked
expression must not pass. A legend or an annotation may name the labels of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import promql_parser as parser
from promql_parser import AggModifierType, LabelModifierType, MatchOp

if TYPE_CHECKING:
    from collections.abc import Mapping

Labels = frozenset[str]

KEEPING: Final = frozenset(
    {"rate", "increase", "delta", "clamp_min", "max_over_time", "min_over_time", "timestamp", "changes", "sort_desc"}
)
"""Functions whose result has the labels of their vector."""
SCALARS: Final = frozenset({"time"})


class WrongExpressionError(Exception):
    """An expression that names what does not exist, or that cannot be read."""


def labels_of(expression: str, known: Mapping[str, Labels]) -> Labels:
    """The labels of the expression's result.

    Args:
        expression: without variables of a dashboard or placeholders of a rule.
        known: series by name with their labels, as `registry.reading()` gives them.

    Raises:
        WrongExpressionError: it does not parse, or names a metric or label that is not there.
    """
    try:
        parsed = parser.parse(expression)
    except ValueError as error:
        raise WrongExpressionError(f"{expression}: {error}") from error
    return _labels(parsed, known)


def _labels(node: parser.Expr, known: Mapping[str, Labels]) -> Labels:
    if isinstance(node, parser.VectorSelector):
        return _selected(node, known)
    if isinstance(node, parser.MatrixSelector):
        return _selected(node.vector_selector, known)
    if isinstance(node, parser.NumberLiteral | parser.StringLiteral):
        return frozenset()
    if isinstance(node, parser.ParenExpr | parser.UnaryExpr | parser.SubqueryExpr):
        return _labels(node.expr, known)
    if isinstance(node, parser.AggregateExpr):
        return _aggregated(node, known)
    if isinstance(node, parser.BinaryExpr):
        return _combined(node, known)
    assert isinstance(node, parser.Call)
    return _called(node, known)


def _selected(node: parser.VectorSelector, known: Mapping[str, Labels]) -> Labels:
    name = node.name or ""
    if name not in known:
        raise WrongExpressionError(f"no metric has the name {name!r}")
    for matcher in node.matchers.matchers:
        if matcher.name not in known[name]:
            raise WrongExpressionError(f"{name} has no label {matcher.name!r}, only {sorted(known[name])}")
    return known[name]


def _aggregated(node: parser.AggregateExpr, known: Mapping[str, Labels]) -> Labels:
    inner = _labels(node.expr, known)
    if str(node.op) in {"topk", "bottomk"}:
        return inner
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    if not named <= inner:
        raise WrongExpressionError(f"{node.prettify()}: {sorted(named - inner)} are no labels of what is aggregated")
    return named if node.modifier.type == AggModifierType.By else inner - named


def _combined(node: parser.BinaryExpr, known: Mapping[str, Labels]) -> Labels:
    left, right = _labels(node.lhs, known), _labels(node.rhs, known)
    if isinstance(node.rhs, parser.NumberLiteral) or isinstance(node.lhs, parser.NumberLiteral):
        return left | right
    if str(node.op) == "or":
        return left & right
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is None:
        if left != right and not _is_scalar(node.lhs) and not _is_scalar(node.rhs):
            raise WrongExpressionError(f"{node.prettify()}: {sorted(left ^ right)} are on one side only")
        return left | right
    if matching.type != LabelModifierType.Include:
        raise WrongExpressionError(f"{node.prettify()}: say `on`, not `ignoring`")
    if missing := frozenset(matching.labels) - (left & right):
        raise WrongExpressionError(f"{node.prettify()}: {sorted(missing)} are not on both sides")
    return left


def _is_scalar(node: parser.Expr) -> bool:
    return isinstance(node, parser.Call) and node.func.name in SCALARS


def _called(node: parser.Call, known: Mapping[str, Labels]) -> Labels:
    name = str(node.func.name)
    if name in SCALARS:
        return frozenset()
    inner = [_labels(argument, known) for argument in node.args]
    if name in KEEPING:
        return inner[0]
    if name == "vector":
        return frozenset()
    if name == "histogram_quantile":
        if "le" not in inner[1]:
            raise WrongExpressionError(f"{node.prettify()}: the label le is needed and was aggregated away")
        return inner[1] - {"le"}
    if name == "absent":
        return _equal_matchers(node.args[0])
    raise WrongExpressionError(f"the function {name} is not understood here")


def _equal_matchers(node: parser.Expr) -> Labels:
    """What `absent` knows of what is missing: nothing, but for a bare selector."""
    if not isinstance(node, parser.VectorSelector):
        return frozenset()
    return frozenset(one.name for one in node.matchers.matchers if one.op == MatchOp.Equal)
