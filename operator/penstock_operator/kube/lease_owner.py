"""The owner of the Lease: this process's service account, whose deletion removes the Lease as well.

The account's name and uid are claims of its own token; reading them needs no right. The claims are not verified, for
the API server that issued the token judges what is done with it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_CLAIM: Final = "kubernetes.io"


def owner_reference(token: str, namespace: str) -> dict[str, Any] | None:
    """The owner reference to the service account of a token.

    Args:
        token: as presented to the API server, with or without its scheme.
        namespace: of the object to be owned. An owner in another namespace would have the object collected at once.

    Returns:
        None for a token that is not a service account's, or of one in another namespace.
    """
    found = _claims(token).get(_CLAIM)
    if not isinstance(found, dict) or found.get("namespace") != namespace:
        return None
    account = found.get("serviceaccount")
    if not isinstance(account, dict):
        return None
    name, uid = account.get("name"), account.get("uid")
    if not (isinstance(name, str) and name and isinstance(uid, str) and uid):
        return None
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": uid}


def owned(metadata: Mapping[str, Any], owner: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata with that owner in place of any other service account; as it was if there is none."""
    if owner is None:
        return dict(metadata)
    others = [one for one in metadata.get("ownerReferences") or () if one.get("kind") != owner["kind"]]
    return {**metadata, "ownerReferences": [*others, dict(owner)]}


def _claims(token: str) -> dict[str, Any]:
    parts = token.removeprefix("Bearer ").strip().split(".")
    if len(parts) != 3:
        return {}
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}
