"""One scenario's own namespace, JobQueue and jobs, on a real cluster.

Owns what a scenario creates and how it counts: by the store's rows and by the tasks' own ledger. Must not reach into
the node, the operator or another scenario's namespace; `site.py` does what is shared.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests.cluster.faults.site import Site
from tests.support.api_client import MERGE, ApiError

JOBS = Path(__file__).parent / "ledger_jobs.py"
SECONDS = 600.0
"""A condition that comes true costs none of it."""
Found = TypeVar("Found")
Observed = TypeVar("Observed")
QUICK: dict[str, Any] = {
    "scaleDown": {"stabilizationWindowSeconds": 1, "cooldownSeconds": 1},
    "activation": {"pollPeriodSeconds": 2},
}


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a scenario's jobs.

    Args:
        states: job -> state in the store.
        crashes: job -> attempts that the store counts as lost with their process.
        starts: job -> attempts that started, by the tasks' ledger.
        ends: job -> attempts that finished, by the tasks' ledger.
    """

    states: Mapping[int, str]
    crashes: Mapping[int, int]
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def text(self) -> str:
        """One line for a report."""
        again = sum(times > 1 for times in self.starts.values())
        lost = sum(self.crashes.values())
        return f"{len(self.states)} jobs, {dict(Counter(self.states.values()))}, {again} started again, {lost} crashes"

    def each_ran_once(self) -> None:
        """Nothing was interrupted: one start and one finish of each job, and no crash."""
        once = dict.fromkeys(self.states, 1)
        assert (dict(self.starts), dict(self.ends)) == (once, once), self.text
        assert sum(self.crashes.values()) == 0, self.text

    def each_finished(self) -> None:
        """Nothing was lost: each job is completed, by an attempt that finished."""
        assert set(self.states.values()) == {"completed"}, self.text
        assert set(self.ends) == set(self.states), self.text

    def nothing_ran_twice_without_a_crash(self) -> None:
        """A job finished again only where the store knows that a process was lost."""
        assert {job for job, times in self.ends.items() if times > 1 + self.crashes.get(job, 0)} == set(), self.text


@dataclass(slots=True, kw_only=True)
class Fleet:
    """A namespace with a JobQueue of the same name.

    Args:
        site: the cluster and what is installed on it.
        name: of namespace, JobQueue and queue.
        url: of the database, as pods and this process reach it.
    """

    site: Site
    name: str
    url: str
    jobs: list[int] = field(default_factory=list)

    # -- objects

    def create(self) -> None:
        """The Secret and the tasks, in the namespace that is there, under Pod Security `restricted`."""
        api = self.site.client
        self.write_secret(self.url)
        tasks = {"metadata": {"name": "tasks"}, "data": {JOBS.name: JOBS.read_text(encoding="utf-8")}}
        api.request("POST", self.path("configmaps"), tasks)
        account = self.path("serviceaccounts", "default")
        self.until(lambda: self.found(account), "the namespace's service account")

    def delete(self) -> None:
        """The JobQueue, without waiting for its pods."""
        if self.found(self.queue_path):
            self.site.client.request("DELETE", self.queue_path)

    def path(self, plural: str, name: str = "", *, group: str = "", subresource: str = "") -> str:
        """Of an object of this namespace, or of all of a kind."""
        root = f"/apis/{group}" if group else "/api/v1"
        return "/".join(part for part in (f"{root}/namespaces/{self.name}/{plural}", name, subresource) if part)

    @property
    def queue_path(self) -> str:
        return self.path("jobqueues", self.name, group="penstock.dev/v1alpha1")

    @property
    def deployment_path(self) -> str:
        (found,) = self.site.client.request("GET", self.path("deployments", group="apps/v1"))["items"]
        return self.path("deployments", found["metadata"]["name"], group="apps/v1")

    def write_secret(self, url: str) -> None:
        """The workers' URL; the operator has its own."""
        data = {"url": url, "operator": self.url}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "data": encoded}
        self.site.client.apply(self.path("secrets", "database"), body)

    def declare(
        self, *, container: Mapping[str, Any] | None = None, pod: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        """Apply the JobQueue.

        Args:
            container: fields of the worker's container in addition to its image and the tasks.
            pod: fields of the pod in addition.
            spec: `replicas` (mode Fixed), `scaling`, and fields of `worker` in camel case.
        """
        image: dict[str, Any] = {"name": "worker", "image": self.site.worker_image, "imagePullPolicy": "IfNotPresent"}
        image["volumeMounts"] = [{"name": "tasks", "mountPath": "/app"}]
        image["resources"] = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        template = {
            "containers": [{**image, **(container or {})}],
            "volumes": [{"name": "tasks", "configMap": {"name": "tasks"}}],
            **(pod or {}),
        }
        replicas, scaling = spec.pop("replicas", None), spec.pop("scaling", {})
        worker = {"app": "ledger_jobs:app", "concurrency": 2, "drainTimeoutSeconds": 60, **spec}
        body: dict[str, Any] = {
            "databaseRef": {
                "secretRef": {"name": "database"},
                "operatorSecretRef": {"name": "database", "key": "operator"},
            },
            "worker": {**worker, "template": {"spec": template}},
            "scaling": {"maxReplicas": 4, **QUICK, **scaling},
        }
        if replicas is not None:
            body |= {"replicas": replicas, "scaling": {**body["scaling"], "mode": "Fixed"}}
        found = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "JobQueue",
            "metadata": {"name": self.name},
            "spec": body,
        }
        self.site.client.apply(self.queue_path, found)

    def found(self, path: str) -> Any:
        """An object, or None."""
        try:
            return self.site.client.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def patch(self, path: str, body: Any) -> Any:
        return self.site.client.request("PATCH", path, body, content_type=MERGE)

    def scale(self, replicas: int) -> None:
        """As `kubectl scale`."""
        self.patch(f"{self.queue_path}/scale", {"spec": {"replicas": replicas}})

    # -- what is there

    def pods(self) -> list[dict[str, Any]]:
        """Of the JobQueue, those that are going included, oldest first."""
        found = self.site.client.request("GET", self.path("pods") + f"?labelSelector=penstock.dev/jobqueue={self.name}")
        return sorted(found["items"], key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def serving(self) -> list[str]:
        """Names of pods that are Ready and stay."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)
        ]

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the JobQueue; empty while there is none."""
        found = self.site.client.request("GET", self.queue_path).get("status", {}).get("conditions", [])
        return next((one for one in found if one["type"] == kind), {})

    def until(self, condition: Callable[[], Found], what: str) -> Found:
        """Wait for a condition; a refused request or a lost connection in it counts as "not yet".

        The failure shows the namespace's pods, events and logs.
        """
        return self.site.cluster.wait_for(condition, f"{self.name}: {what}", namespace=self.name, seconds=SECONDS)

    def while_it_lasts(self, condition: Callable[[], bool], observe: Callable[[], Observed]) -> list[Observed]:
        """What `observe` returns, again and again until `condition` holds."""
        seen: list[Observed] = []

        def once() -> bool:
            seen.append(observe())
            return condition()

        self.until(once, "what is observed is over")
        return seen

    def until_serving(self, count: int) -> list[str]:
        """Wait until exactly so many pods serve; their names."""
        self.until(lambda: len(self.serving()) == count, f"{count} pods serve")
        return self.serving()

    def until_reason(self, kind: str, *reasons: str) -> str:
        """Wait for one of the reasons in a condition; its message."""

        def there() -> bool:
            found = self.condition(kind).get("reason")
            assert found in reasons, f"{kind} is {found}"
            return True

        self.until(there, f"{kind} is {' or '.join(reasons)}")
        return str(self.condition(kind)["message"])

    # -- jobs

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement as the database's owner, in a connection of its own: scenarios stop servers."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, task: str, count: int = 1, **arguments: Any) -> list[int]:
        """Jobs of a task; their ids."""
        statement = "SELECT penstock.enqueue(%s, %s, %s::jsonb) FROM generate_series(1, %s)"
        ids = [int(row[0]) for row in self.sql(statement, self.name, task, json.dumps(arguments), count)]
        self.jobs += ids
        return ids

    def noted(self, phase: str, jobs: list[int] | None = None) -> Counter[int]:
        """Job -> how often the tasks' ledger has that phase."""
        rows = self.sql("SELECT job FROM public.ran WHERE phase = %s AND job = ANY(%s)", phase, jobs or self.jobs)
        return Counter(int(row[0]) for row in rows)

    def until_started(self, jobs: list[int]) -> None:
        self.until(lambda: set(self.noted("start", jobs)) == set(jobs), "the jobs run")

    def running_on(self) -> dict[int, str]:
        """Job -> the pod that runs it, by the ledger: started there, and not finished."""
        rows = self.sql(
            "SELECT s.job, s.worker FROM public.ran s WHERE s.phase = 'start' AND s.job = ANY(%s) AND NOT EXISTS "
            "(SELECT FROM public.ran e WHERE e.job = s.job AND e.phase = 'end')",
            self.jobs,
        )
        return {int(job): str(worker) for job, worker in rows}

    def until_done(self) -> Account:
        """Wait until every job is over, then count."""

        def over() -> bool:
            left = [job for job, state in self._states().items() if state not in {"completed", "dead", "cancelled"}]
            assert not left, f"{len(left)} jobs are not over"
            return True

        self.until(over, "every job is over")
        return self.account()

    def account(self) -> Account:
        """Both sides of the story, now."""
        crashes = self.sql("SELECT id, crashes FROM penstock.jobs WHERE id = ANY(%s)", self.jobs)
        counted = Account(
            self._states(), {int(j): int(n or 0) for j, n in crashes}, self.noted("start"), self.noted("end")
        )
        print(f"{self.name}: {counted.text}")
        return counted

    def _states(self) -> dict[int, str]:
        rows = self.sql("SELECT id, state FROM penstock.jobs WHERE id = ANY(%s)", self.jobs)
        states = {int(job): str(state) for job, state in rows}
        assert set(states) == set(self.jobs), "a committed job is missing in the store"
        return states


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Its condition Ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
