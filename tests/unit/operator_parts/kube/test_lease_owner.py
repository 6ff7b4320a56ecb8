"""Whom the Lease belongs to: the account of the operator's token, and nobody where that is unknown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.kube.lease_owner import owned, owner_reference

ACCOUNT = {"name": "penstock", "uid": "5f3b"}
OWNER = {"apiVersion": "v1", "kind": "ServiceAccount", **ACCOUNT}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def token(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer e30.{body}.c2ln"


def test_the_account_of_the_token_owns_the_lease():
    """As the API server wrote both into the token, with or without the scheme in front."""
    found = token({"kubernetes.io": {"namespace": "prod", "serviceaccount": ACCOUNT, "pod": {"name": "x", "uid": "y"}}})
    assert owner_reference(found, "prod") == OWNER
    assert owner_reference(found.removeprefix("Bearer "), "prod") == OWNER


def test_an_account_of_another_namespace_owns_nothing():
    """The garbage collector deletes at once what has an owner that is not in its namespace."""
    assert owner_reference(token({"kubernetes.io": {"namespace": "shop", "serviceaccount": ACCOUNT}}), "prod") is None


@pytest.mark.parametrize(
    "text", ["", "opaque", "a.b", "a.!.c", "a.e30.c", "a.bnVsbA.c", "a.W10.c", token({"kubernetes.io": "prod"})]
)
def test_a_token_that_says_nothing_of_an_account_leaves_the_lease_without_an_owner(text: str):
    """A certificate, a cloud's token, a person's kubeconfig."""
    assert owner_reference(text, "prod") is None


@given(JSON, JSON, JSON)
def test_no_claims_are_too_odd(namespace: Any, account: Any, uid: Any):
    """Whatever is in a token: an owner with a name and a uid, or none."""
    for claims in (
        namespace,
        {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": account, "uid": uid}}},
    ):
        found = owner_reference(token(claims), "prod")
        assert found is None or (found["name"] and found["uid"])


def test_a_new_installation_takes_the_place_of_the_account_before():
    """Of a reinstallation: the Lease of an account that is gone would be collected; other owners stay."""
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}
    metadata = {"name": "penstock", "ownerReferences": [other, {**OWNER, "uid": "old"}]}
    assert owned(metadata, OWNER) == {"name": "penstock", "ownerReferences": [other, OWNER]}
    assert owned(metadata, None) == metadata
