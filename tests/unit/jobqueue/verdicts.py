"""Manifests with the verdict that the mirrored rules and the real API server must both reach."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as made_by
from typing import Any


@dataclass(frozen=True)
class Refused:
    """`changes` (as `examples.manifest` takes them) break `rule`, which blames a field."""

    name: str
    rule: str
    blamed: str
    changes: dict[str, Any] = made_by(default_factory=dict)
    resource: str = "emails"


@dataclass(frozen=True)
class Accepted:
    """`changes` break no rule."""

    name: str
    changes: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """From `before` to `after`; `refused` are the fields blamed."""

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    refused: list[str]


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


WORKER = {"name": "worker", "image": "shop:1"}

NIGHTLY = {"name": "nightly", "task": "report", "cron": "0 9 * * MON-FRI"}


def scheduled(**changes: Any) -> dict[str, Any]:
    """One schedule, with changes; None leaves a field out."""
    made = {name: value for name, value in {**NIGHTLY, **changes}.items() if value is not None}
    return {"schedules": [made]}


REFUSED = (
    Refused("a name of 57 characters", "name_is_short", "metadata.name", resource="a" * 57),
    Refused("replicas in mode Auto", "replicas_only_in_fixed", "spec.replicas", {"replicas": 3}),
    Refused("mode Fixed without replicas", "fixed_has_replicas", "spec.replicas", {"scaling__mode": "Fixed"}),
    Refused(
        "a deadline above the drain",
        "deadline_fits_the_drain",
        "spec.jobDeadlineSeconds",
        {"jobDeadlineSeconds": 61, "worker__drainTimeoutSeconds": 60},
    ),
    Refused(
        "a host and a URL",
        "places_are_of_parts",
        "spec.databaseRef.host",
        {"databaseRef__host": "db.example.com"},
    ),
    Refused(
        "a database name and two URLs",
        "places_are_of_parts",
        "spec.databaseRef.host",
        {"databaseRef__dbname": "shop", "databaseRef__operatorSecretRef": {"name": "operators"}},
    ),
    Refused(
        "less demand than consumers",
        "max_demand_feeds_all_consumers",
        "spec.worker.maxDemand",
        {"worker__concurrency": 5, "worker__maxDemand": 4},
    ),
    Refused(
        "minDemand at the concurrency",
        "min_demand_below_max",
        "spec.worker.minDemand",
        {"worker__concurrency": 5, "worker__minDemand": 5},
    ),
    Refused(
        "minDemand at maxDemand",
        "min_demand_below_max",
        "spec.worker.minDemand",
        {"worker__minDemand": 20, "worker__maxDemand": 20},
    ),
    Refused(
        "a grace period below the drain",
        "grace_covers_the_drain",
        "spec.worker.drainTimeoutSeconds",
        {"worker__template": pod(WORKER, terminationGracePeriodSeconds=30)},
    ),
    Refused(
        "no container named worker",
        "one_container_is_the_worker",
        "spec.worker.template.spec.containers",
        {"worker__template": pod({"name": "app", "image": "shop:1"})},
    ),
    Refused(
        "a database URL in env",
        "no_url_in_env",
        "spec.worker.template.spec.containers",
        {"worker__template": pod(WORKER | {"env": [{"name": "PENSTOCK_DATABASE_URL", "value": "x"}]})},
    ),
    Refused(
        "a base above the longest pause",
        "base_within_max",
        "spec.retry.backoff.baseSeconds",
        {"retry__backoff__baseSeconds": 10, "retry__backoff__maxSeconds": 9},
    ),
    Refused("minimum above maximum", "min_within_max", "spec.scaling.minReplicas", {"scaling__minReplicas": 11}),
    Refused(
        "a minimum beyond the budget",
        "min_within_budget",
        "spec.scaling.minReplicas",
        {"scaling__minReplicas": 3, "scaling__connectionBudget": {"maxConnections": 11}},
    ),
    Refused(
        "a budget below one worker",
        "one_worker_fits",
        "spec.scaling.connectionBudget.maxConnections",
        {"scaling__connectionBudget": {"maxConnections": 3}},
    ),
    Refused(
        "steps that overlap",
        "steps_do_not_overlap",
        "spec.scaling.steps",
        {"scaling__steps": [{"above": 5, "change": 1}, {"below": 6, "change": -1}]},
    ),
    Refused(
        "an above twice",
        "above_thresholds_differ",
        "spec.scaling.steps",
        {"scaling__steps": [{"above": 5, "change": 1}, {"above": 5, "change": 2}]},
    ),
    Refused(
        "a below twice",
        "below_thresholds_differ",
        "spec.scaling.steps",
        {"scaling__steps": [{"below": 5, "change": -1}, {"below": 5, "change": -2}]},
    ),
    Refused(
        "a step without a threshold",
        "step_has_one_threshold",
        "spec.scaling.steps[0]",
        {"scaling__steps": [{"change": 1}]},
    ),
    Refused(
        "a step above that removes",
        "step_above_adds",
        "spec.scaling.steps[0].change",
        {"scaling__steps": [{"above": 5, "change": -1}]},
    ),
    Refused(
        "a step below that adds nothing",
        "step_below_removes",
        "spec.scaling.steps[1].change",
        {"scaling__steps": [{"above": 9, "change": 1}, {"below": 5, "change": 0}]},
    ),
    Refused(
        "a schedule without a recurrence",
        "schedule_has_one_recurrence",
        "spec.schedules[0]",
        scheduled(cron=None),
    ),
    Refused(
        "a schedule with two",
        "schedule_has_one_recurrence",
        "spec.schedules[0]",
        scheduled(everySeconds=60),
    ),
    Refused("four fields", "cron_has_five_fields", "spec.schedules[0].cron", scheduled(cron="0 9 * *")),
    Refused("six fields", "cron_has_five_fields", "spec.schedules[0].cron", scheduled(cron="0 0 9 * * *")),
    Refused("a strange character", "cron_has_five_fields", "spec.schedules[0].cron", scheduled(cron="0 9 * * ?")),
    Refused("a tabulator", "cron_has_five_fields", "spec.schedules[0].cron", scheduled(cron="0 9\t* * *")),
    Refused("a line break", "cron_has_five_fields", "spec.schedules[0].cron", scheduled(cron="0 9 * * *\n")),
    Refused("@reboot", "cron_shortcut_is_known", "spec.schedules[0].cron", scheduled(cron="@reboot")),
    Refused(
        "an end before the start",
        "schedule_starts_before_its_end",
        "spec.schedules[0].startDate",
        scheduled(startDate="2026-01-02T00:00:00Z", endDate="2026-01-02T00:00:00+01:00"),
    ),
)

ACCEPTED = (
    Accepted(
        "parts of a Secret, and where they lead",
        {"databaseRef": {"secretRef": {"name": "acid-shop", "parts": {}}, "host": "acid-shop", "dbname": "shop"}},
    ),
    Accepted(
        "parts of the operator's Secret alone",
        {
            "databaseRef": {
                "secretRef": {"name": "s"},
                "operatorSecretRef": {"name": "o", "parts": {"username": "user"}},
                "port": 6432,
            }
        },
    ),
    Accepted(
        "certificates and no rollouts",
        {"databaseRef": {"secretRef": {"name": "s"}, "caSecretRef": {"name": "ca"}, "onSecretChange": "Ignore"}},
    ),
    Accepted(
        "client certificates",
        {
            "databaseRef": {
                "secretRef": {"name": "s"},
                "clientCertificateSecretRef": {"name": "tls"},
                "operatorClientCertificateSecretRef": {"name": "operator.tls"},
            }
        },
    ),
    Accepted("the least", {}),
    Accepted("mode Fixed at zero", {"scaling__mode": "Fixed", "replicas": 0}),
    Accepted("a deadline at the drain", {"jobDeadlineSeconds": 60, "worker__drainTimeoutSeconds": 60}),
    Accepted("busy pods that may be moved", {"worker__disruptionPolicy": "None"}),
    Accepted("one consumer", {"worker__concurrency": 1}),
    Accepted("demand far above the consumers", {"worker__concurrency": 3, "worker__maxDemand": 100}),
    Accepted("minDemand one below", {"worker__concurrency": 5, "worker__minDemand": 4}),
    Accepted("a longer grace period", {"worker__template": pod(WORKER, terminationGracePeriodSeconds=3600)}),
    Accepted(
        "a Deployment of its own kind",
        {
            "worker__deployment": {
                "labels": {"team": "a"},
                "annotations": {"note": "x y"},
                "minReadySeconds": 5,
                "progressDeadlineSeconds": 60,
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "10%"}},
            },
            "worker__labels": {"cost-center": "7", "example.com/empty": ""},
        },
    ),
    Accepted("one pod at a time", {"worker__deployment": {"strategy": {"type": "Recreate"}}}),
    Accepted(
        "another container's URL",
        {"worker__template": pod(WORKER, {"name": "s", "image": "s:1", "env": [{"name": "PENSTOCK_DATABASE_URL"}]})},
    ),
    Accepted("minimum at maximum", {"scaling__minReplicas": 10}),
    Accepted(
        "a budget that just fits", {"scaling__minReplicas": 2, "scaling__connectionBudget": {"maxConnections": 8}}
    ),
    Accepted("steps that touch", {"scaling__steps": [{"above": 5, "change": 1}, {"below": 5, "change": -1}]}),
    Accepted(
        "the table of three lines",
        {
            "scaling__steps": [
                {"above": 1000, "change": 2},
                {"above": 100, "change": 1},
                {"below": 10, "change": -1},
            ]
        },
    ),
    Accepted("a schedule in a zone", scheduled(timeZone="America/Argentina/Buenos_Aires")),
    Accepted("a shortcut", scheduled(cron="@daily")),
    Accepted("wide columns and lists", scheduled(cron="*/5   0-6,12 1,15  JAN *")),
    Accepted(
        "an interval with everything",
        scheduled(
            cron=None,
            everySeconds=90,
            args={"day": 1, "deep": {"a": [1, None]}},
            suspend=True,
            missed="All",
            missedLimit=3,
            overlap="Queue",
            jitterSeconds=5,
            leadSeconds=60,
            priority=0,
            maxAttempts=1,
            startDate="2026-01-01T00:00:00Z",
            endDate="2026-01-01T01:00:00.5+01:00",
        ),
    ),
    Accepted(
        "a hundred of the longest expressions",
        {"schedules": [{**NIGHTLY, "name": f"s{n}", "cron": "1,2,3,4,5,6,7,8,9 " * 4 + "1" * 128} for n in range(100)]},
    ),
    Accepted("a constant pause as long as the longest", {"retry__backoff__baseSeconds": 3600}),
)

CHANGES = (
    Change("a rename", {"queueName": "a"}, {"queueName": "b"}, ["spec.queueName"]),
    Change("a name that comes", {}, {"queueName": "b"}, ["spec.queueName"]),
    Change("a name that goes", {"queueName": "a"}, {}, ["spec.queueName"]),
    Change("a name that stays", {"queueName": "a"}, {"queueName": "a"}, []),
    Change("from Fixed to Auto", {"scaling__mode": "Fixed", "replicas": 3}, {"scaling__mode": "Auto"}, []),
)
