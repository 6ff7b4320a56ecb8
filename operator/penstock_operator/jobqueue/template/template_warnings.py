"""Warnings about pod templates that the API server accepts, for the condition WorkersAvailable. Pure.

They name what the operator does otherwise than the template says, and what makes jobs run twice. They keep nothing from
running.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .pod_template import worker_container
from .worker_container import WORKER, ignored_variables

_PROXY: Final = re.compile(
    r"cloud-?sql-?proxy|alloydb-auth-proxy|pg-?bouncer|pg-?cat|pgdog|odyssey|supavisor|haproxy|envoy|istio-proxy|"
    r"linkerd-proxy|stunnel|ghostunnel|socat|tailscale|cloudflared|sql-proxy|rds-proxy|db-proxy|postgres-proxy"
)
"""Names of containers or images by which a pod reaches its database."""


def template_warnings(given: Mapping[str, Any], completed: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences about a template, none for most.

    Args:
        given: the template of the JobQueue, of which `completed` was made.
        completed: what `pod_template` returned.
    """
    (mine,) = [one for one in given["spec"]["containers"] if one["name"] == WORKER]
    ignored = ignored_variables(mine, worker_container(completed))
    found = []
    if ignored:
        follow = "follows" if len(ignored) == 1 else "follow"
        found.append(f"Not used from the template: {', '.join(ignored)}, which {follow} from the JobQueue.")
    found += [
        f"Container {name} looks like a database proxy that gets SIGTERM together with the worker: drained jobs lose"
        " the database and run twice; make it an init container with restartPolicy Always."
        for name in _proxies(completed["spec"])
    ]
    return tuple(found)


def _proxies(pod: Mapping[str, Any]) -> Iterator[str]:
    """Regular containers that a drain would outlive; init containers with restartPolicy Always end after it."""
    for one in pod["containers"]:
        image = one.get("image", "").rpartition("@")[0] or one.get("image", "")
        words = f"{one['name']} {image.rpartition('/')[2]}"
        if one["name"] != WORKER and _PROXY.search(words.lower()):
            yield one["name"]
