"""Each rule accepts what it should and names what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import ManifestError
from penstock.jobqueue.manifests import with_defaults
from penstock.jobqueue.policy import parse_policy
from penstock.jobqueue.rules import RULES, violations
from tests.unit.jobqueue.examples import manifest
from tests.unit.jobqueue.test_crd_contract import SCHEMA
from tests.unit.jobqueue.verdicts import ACCEPTED, CHANGES, REFUSED


def completed(changes: dict[str, Any], name: str = "emails") -> Any:
    made = manifest(**changes)
    made["metadata"]["name"] = name
    return with_defaults(made, SCHEMA)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_broken_rule_is_named_with_its_field_and_value(case):
    """The violation carries the field that the CRD blames, the CRD's message, and what was given."""
    (found,) = violations(completed(case.changes, case.resource))
    rule = next(one for one in RULES if one.name == case.rule)
    assert found.message == rule.message
    assert found.path == case.blamed
    assert str(found).startswith(f"{case.blamed}: {rule.message}; got ")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_the_parser_refuses_what_a_rule_refuses(case):
    """The structs' own defaults lead to the same verdict as the schema's."""
    made = manifest(**case.changes)
    made["metadata"]["name"] = case.resource
    with pytest.raises(ManifestError, match=case.resource):
        parse_policy(made)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_keeps_the_rules_is_accepted(case):
    """Edges that are still inside."""
    assert violations(completed(case.changes)) == []
    parse_policy(manifest(**case.changes))


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_a_change_is_checked_against_what_was_there(case):
    """A transition rule needs the object before and says nothing without it."""
    old, new = completed(case.before), completed(case.after)
    assert [found.path for found in violations(new, old)] == case.refused
    assert violations(new) == []


def test_every_rule_is_shown_to_refuse_something():
    """A rule without a case could be dead."""
    shown = {case.rule for case in REFUSED} | {"queue_name_is_immutable"}
    assert shown == {rule.name for rule in RULES}
