"""Checks whether a Deployment's pods use the current credentials of their Secret; a change starts a rollout.

A pod reads its variables once, when a container starts. The pod template therefore carries a mark that changes with the
credentials, and the Deployment carries a note of the Secret's version that the mark stands for. Both are made of uid
and resource version alone: a reader of Deployments learns nothing about the Secret's content (ADR 43).

The version of a Secret changes with its labels too. Versions between which this process read the same values are the
same credentials: the note is updated, the mark stays, and no pod is replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY, SecretChange

from ..kube.secrets import SecretName, Secrets
from ..resources.resource import CREDENTIALS, CREDENTIALS_SEEN, Deployment, JobQueue

MAX_VERSIONS: Final = 64
"""Versions of the same values that are remembered; the note on a Deployment is one of the latest."""
_LENGTH: Final = 16

Keys = tuple[tuple[SecretName, tuple[str, ...]], ...]
"""Each Secret that workers use, and the keys in it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The version of what workers use now, and all versions that are known to hold the same."""

    version: str
    same: frozenset[str]


@dataclass(slots=True)
class _KnownValues:
    digest: bytes
    versions: dict[str, None] = field(default_factory=dict)


class CredentialVersions:
    """The known versions of workers' credentials; of their values only a digest by a key of this process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[Keys, _KnownValues] = {}

    def observe(self, wanted: Sequence[Keys], read: Secrets) -> set[Keys]:
        """Take note of what was read; those whose version has moved since the last time.

        Args:
            wanted: what the workers of all JobQueues use; the others are forgotten.
            read: the Secrets of all of them.
        """
        self._known = {keys: known for keys, known in self._known.items() if keys in set(wanted)}
        return {keys for keys in set(wanted) if self._observe(keys, read)}

    def _observe(self, keys: Keys, read: Secrets) -> bool:
        digest = hmac.new(self._key, digestmod="sha256")
        names = []
        for place, wanted in keys:
            content = read.content(place)
            if content is None:
                return False  # what cannot be read has not changed by that
            names.append(f"{place[1]}={content.version}")
            for key in wanted:
                digest.update(repr((key, content.data.get(key))).encode())
        version = hashlib.sha256(",".join(names).encode()).hexdigest()[:_LENGTH]
        known = self._known.get(keys)
        if known is None or known.digest != digest.digest():
            known = self._known[keys] = _KnownValues(digest.digest())
        moved = next(reversed(known.versions), None) != version
        known.versions.pop(version, None)
        known.versions[version] = None
        if len(known.versions) > MAX_VERSIONS:
            known.versions.pop(next(iter(known.versions)))
        return moved

    def of(self, queue: JobQueue) -> Credentials | None:
        """The credentials that the workers of a JobQueue use; None while they are not known."""
        known = self._known.get(worker_keys(queue))
        return None if known is None else Credentials(next(reversed(known.versions)), frozenset(known.versions))


def worker_keys(queue: JobQueue) -> Keys:
    """The Secrets and keys that the pods of a JobQueue take their credentials from."""
    if queue.policy is None:
        return ()
    reference = queue.policy.database_ref
    secret = reference.secret_ref
    keys = [secret.key] if secret.parts is None else list(secret.parts.keys().values())
    if reference.direct_key is not None:
        keys.append(reference.direct_key)
    client = reference.client_certificate_secret_ref
    more = () if client is None else (((queue.namespace, client.name), (TLS_CERTIFICATE, TLS_KEY)),)
    return (((queue.namespace, secret.name), tuple(keys)), *more)


def rolls_out(queue: JobQueue) -> bool:
    """Return True if a change of the credentials replaces the pods."""
    return queue.policy is not None and queue.policy.database_ref.on_secret_change is SecretChange.ROLLOUT


def marked(
    manifest: Mapping[str, Any], existing: Deployment | None, found: Credentials | None, *, rollout: bool
) -> dict[str, Any]:
    """The manifest of a Deployment with the mark on its template and the note of the version that it stands for.

    Args:
        manifest: of the Deployment, without both.
        existing: the Deployment as it is; None before there is one.
        found: what its workers use now; None while that is not known, and then nothing changes.
        rollout: whether a change replaces the pods (`databaseRef.onSecretChange`).
    """
    mark, seen = ("", "") if existing is None else (existing.credentials, existing.credentials_seen)
    if found is not None and (not seen or seen in found.same):
        seen = found.version
    elif found is not None and rollout:
        mark = seen = found.version
    return _annotated(manifest, mark=mark, seen=seen)


def noted(manifest: Mapping[str, Any], existing: Deployment) -> bool:
    """Return True if the Deployment has the manifest's note; one that somebody removed changes no generation."""
    return bool((manifest["metadata"].get("annotations") or {}).get(CREDENTIALS_SEEN, "") == existing.credentials_seen)


def _annotated(manifest: Mapping[str, Any], *, mark: str, seen: str) -> dict[str, Any]:
    made = dict(manifest)
    if seen:
        made["metadata"] = _with_annotation(manifest["metadata"], CREDENTIALS_SEEN, seen)
    if mark:
        template = dict(manifest["spec"]["template"])
        template["metadata"] = _with_annotation(template.get("metadata") or {}, CREDENTIALS, mark)
        made["spec"] = {**manifest["spec"], "template": template}
    return made


def _with_annotation(metadata: Mapping[str, Any], name: str, value: str) -> dict[str, Any]:
    return {**metadata, "annotations": {**(metadata.get("annotations") or {}), name: value}}
