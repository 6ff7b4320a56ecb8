"""The watches: kopf sees that objects change and feeds the cache. The only kopf import but for `__main__`.

Must not decide or write anything: no create, update, timer or daemon handlers, hence no finalizers and no annotations
of ours on users' objects. Events are hints; what a watch gap swallows is found by the supervisor's list.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import kopf

from .cache import Cache
from .resource import JOBQUEUE_LABEL

OWN: Final = ("pods", "deployments")
"""Kinds of which only those with our label are watched, chosen by the API server."""


def registry(cache: Cache) -> kopf.OperatorRegistry:
    """Kopf's handlers, feeding that cache."""
    made = kopf.OperatorRegistry()
    shelves = {
        ("penstock.dev", "v1alpha1", "jobqueues"): cache.jobqueues,
        ("apps", "v1", "deployments"): cache.deployments,
        ("", "v1", "pods"): cache.pods,
    }
    for resource, shelf in shelves.items():

        async def observe(event: Mapping[str, Any], *, shelf: Any = shelf, **_: Any) -> None:
            shelf.observe(event["object"], gone=event["type"] == "DELETED")

        kopf.on.event(*resource, registry=made, id=f"observe-{resource[2]}")(observe)

    @kopf.on.login(registry=made)
    def login(**kwargs: Any) -> Any:
        """The pod's service account, else the kubeconfig; both read again when the token is refused."""
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    return made


def settings() -> kopf.OperatorSettings:
    """Kopf as we want it: no scanning, no peering, no events of its own, no word for every event."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True  # else roles in one namespace see nothing for a minute
    made.peering.standalone = True
    made.posting.enabled = False
    made.networking.request_timeout = 15
    made.networking.connect_timeout = 5
    made.watching.server_timeout = 300
    made.watching.inactivity_timeout = 330
    for kind in OWN:
        made.watching.label_selectors[kind] = JOBQUEUE_LABEL
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return made
