"""What the four dashboards show: titles, sentences, queries. Data; how Grafana wants it is `grafana`'s business."""

from __future__ import annotations

from typing import Final

from tools.monitoring.panels import (
    CHOSEN,
    NAMED,
    OLDEST,
    OUTCOMES,
    RATE,
    SCHEDULES,
    WAIT,
    WHY,
    Dashboard,
    Panel,
    Query,
    of_condition,
    of_queue,
    per_second,
    quantile,
    quantiles,
    stat,
)

OVERVIEW = Dashboard(
    "overview",
    "Penstock: overview",
    "All JobQueues in one view: what waits, what runs, who works, what went wrong.",
    (
        stat("Ready", f"sum({of_queue('ready')})", "Jobs that could start now."),
        stat("Oldest", f"max({of_queue('oldest_ready_seconds')})", "Wait of the oldest ready job.", unit="s"),
        stat("In flight", f"sum({of_queue('in_flight')})", "Jobs claimed by workers."),
        stat("Workers", f"sum({of_queue('replicas')})", "Worker pods that exist."),
        stat("Dead letters", f"sum({of_queue('dead')})", "Jobs that will not run again by themselves.", bad=1),
        stat(
            "Not ready",
            f"count({of_condition('Ready')} < 1) or vector(0)",
            "JobQueues whose condition Ready is not true.",
            bad=1,
        ),
        Panel(title="Depth", help="Ready jobs.", queries=(Query(of_queue("ready"), NAMED),)),
        OLDEST,
        OUTCOMES,
        Panel(title="Workers", help="Worker pods of each JobQueue.", queries=(Query(of_queue("replicas"), NAMED),)),
        WAIT,
        WHY,
    ),
)
QUEUE = Dashboard(
    "queue",
    "Penstock: queue",
    "One JobQueue from depth to outcome; choose it above.",
    (
        Panel(
            title="Jobs",
            help="Ready, claimed, and not due yet.",
            queries=tuple(
                Query(of_queue(name), f"{label} {NAMED}")
                for name, label in (("ready", "ready"), ("in_flight", "in flight"), ("deferred", "deferred"))
            ),
        ),
        OLDEST,
        Panel(
            title="Workers",
            help="Desired by the last decision, existing, ready for jobs, and draining.",
            queries=tuple(
                Query(of_queue(name), f"{label} {NAMED}")
                for name, label in (
                    ("desired_replicas", "wanted"),
                    ("replicas", "there"),
                    ("ready_replicas", "ready"),
                    ("draining_replicas", "draining"),
                )
            ),
        ),
        WHY,
        Panel(
            title="Attempts that ended, by task",
            help="Per second.",
            queries=(Query(per_second("penstock_jobs_total", "task, outcome"), "{{task}} {{outcome}}"),),
            unit="ops",
        ),
        Panel(
            title="Duration of attempts",
            help="Nineteen of twenty attempts of a task took no longer than this.",
            queries=(Query(quantile(0.95, "penstock_job_duration_seconds", "task"), "{{task}}"),),
            unit="s",
        ),
        WAIT,
        Panel(
            title="Dead letters",
            help="How many there are; `penstock dead` lists them with their errors.",
            queries=(Query(of_queue("dead"), NAMED),),
        ),
        Panel(
            title="Changes of the number of workers",
            help="Per minute, up and down.",
            queries=(
                Query(
                    f"60 * {per_second('penstock_queue_scalings_total', 'namespace, jobqueue, direction')}",
                    f"{{{{direction}}}} {NAMED}",
                ),
            ),
        ),
        Panel(
            title="Paused",
            help="1 while the queue gives no jobs to claims.",
            queries=(Query(of_queue("paused"), NAMED),),
        ),
        *SCHEDULES,
        Panel(
            title="Conditions that are not true",
            help="Draining, ScalingLimited and Listening may well be false; check the others.",
            queries=(Query(f"max by (namespace, jobqueue, type) (penstock_queue_condition{{{CHOSEN}}}) < 1", ""),),
            kind="table",
            width=24,
        ),
    ),
)
WORKERS = Dashboard(
    "workers",
    "Penstock: worker stages",
    "Inside the workers: demand flows up from the consumers, jobs and outcomes flow down.",
    (
        Panel(
            title="Consumers",
            help="Slots that run a job, and those that have none.",
            queries=(Query(f"sum by (jobqueue, state) (penstock_consumers{{{CHOSEN}}})", "{{jobqueue}} {{state}}"),),
        ),
        Panel(
            title="Demand",
            help="Jobs that the consumers have asked for and not received; none while there is work means saturation.",
            queries=(Query(f"sum by (jobqueue, stage) (penstock_stage_demand{{{CHOSEN}}})", "{{jobqueue}} {{stage}}"),),
        ),
        Panel(
            title="Events handed on",
            help="Per second, by stage: jobs claimed, attempts ended, outcomes acknowledged.",
            queries=(Query(per_second("penstock_stage_events_total", "jobqueue, stage"), "{{jobqueue}} {{stage}}"),),
            unit="ops",
        ),
        Panel(
            title="Buffered",
            help="What a stage holds: jobs that wait for a slot, outcomes that wait for the database.",
            queries=(
                Query(f"sum by (jobqueue, stage) (penstock_stage_buffered{{{CHOSEN}}})", "{{jobqueue}} {{stage}}"),
            ),
        ),
        Panel(
            title="Claims",
            help="Duration of a claim in the database.",
            queries=quantiles("penstock_claim_seconds"),
            unit="s",
        ),
        Panel(
            title="Acknowledgements",
            help="Duration of an acknowledgement of a batch in the database.",
            queries=quantiles("penstock_ack_seconds"),
            unit="s",
        ),
        Panel(
            title="Jobs in a claim",
            help="Mean; 0 is a claim that found no job.",
            queries=(
                Query(
                    f"{per_second('penstock_claim_size_sum', 'jobqueue')} / on (jobqueue)"
                    f" {per_second('penstock_claim_size_count', 'jobqueue')}",
                    "{{jobqueue}}",
                ),
            ),
        ),
        Panel(
            title="Event loop",
            help="How late the loop's last tick was; a task that blocks shows here.",
            queries=(Query(f"max by (jobqueue, pod) (penstock_event_loop_lag_seconds{{{CHOSEN}}})", "{{pod}}"),),
            unit="s",
        ),
        Panel(
            title="What went wrong",
            help="Per minute: outcomes fenced, claims released, lease renewals that failed.",
            queries=tuple(
                Query(f"60 * {per_second(f'penstock_{name}_total', 'jobqueue')}", f"{label} {{{{jobqueue}}}}")
                for name, label in (
                    ("fenced", "fenced"),
                    ("released", "released"),
                    ("lease_renewal_failures", "renewal failed"),
                )
            ),
        ),
        Panel(
            title="Circuits that are not closed",
            help="1 half-open, 2 open: jobs of such a task are deferred, not failed.",
            queries=(Query(f"max by (jobqueue, task) (penstock_circuit_state{{{CHOSEN}}})", "{{jobqueue}} {{task}}"),),
        ),
        Panel(
            title="Child processes",
            help="That have come up, of tasks of the executor process.",
            queries=(Query(f"sum by (jobqueue) (penstock_children{{{CHOSEN}}})", "{{jobqueue}}"),),
        ),
        Panel(
            title="Ends of child processes",
            help="Per minute, by why: a crash, a timeout or memory here explains retries there.",
            queries=(
                Query(
                    f"60 * {per_second('penstock_child_exits_total', 'jobqueue, reason')}",
                    "{{jobqueue}} {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Processor",
            help="Cores that each worker keeps busy.",
            queries=(Query(f"sum by (pod) (rate(process_cpu_seconds_total{{{CHOSEN}}}{RATE}))", "{{pod}}"),),
        ),
        Panel(
            title="Memory",
            help="Resident, of each worker.",
            queries=(Query(f"sum by (pod) (process_resident_memory_bytes{{{CHOSEN}}})", "{{pod}}"),),
            unit="bytes",
        ),
    ),
)
_SAMPLE: Final = "penstock_operator_sample_seconds_bucket"


def _of_database(name: str) -> str:
    return f"max by (namespace, secret) (penstock_database_{name})"


OPERATOR = Dashboard(
    "operator",
    "Penstock: operator",
    "The control plane and its databases.",
    (
        stat("Leaders", "sum(penstock_operator_leader)", "Replicas that lead; one.", bad=2),
        stat("Replicas", "count(penstock_operator_leader)", "Operator processes that were scraped."),
        stat("JobQueues", f"count({of_condition('Ready')})", "JobQueues that the operator reconciles."),
        stat(
            "Not sampled",
            f"count({of_condition('DatabaseReachable')} < 1) or vector(0)",
            "JobQueues whose database does not answer.",
            bad=1,
        ),
        Panel(
            title="Sample of a database",
            help="Duration of the query that counts all queues of a database.",
            queries=tuple(
                Query(
                    f"histogram_quantile({of}, sum by (le) (rate(penstock_operator_sample_seconds_bucket{RATE})))",
                    label,
                )
                for of, label in ((0.5, "p50"), (0.95, "p95"))
            ),
            unit="s",
        ),
        Panel(
            title="Age of what is known",
            help="Seconds since each queue was last seen in its database.",
            queries=(Query(of_queue("sample_age_seconds"), NAMED),),
            unit="s",
        ),
        Panel(
            title="Reconciliations",
            help="Per second, by result; `failed` is an unexpected exception, see the operator's log.",
            queries=(Query(f"sum by (result) (rate(penstock_operator_reconciles_total{RATE}))", "{{result}}"),),
            unit="ops",
        ),
        Panel(
            title="Lateness",
            help="Nineteen of twenty turns of the event loop were no later than this, and treatments took no longer.",
            queries=tuple(
                Query(
                    f"histogram_quantile(0.95, sum by (le) (rate(penstock_operator_{name}_seconds_bucket{RATE})))",
                    label,
                )
                for name, label in (("loop_lag", "event loop"), ("reconcile", "reconciliation"))
            ),
            unit="s",
        ),
        Panel(
            title="Connections",
            help="To each database server, of all its clients, and the limit.",
            queries=(
                Query(_of_database("connections"), "{{namespace}}/{{secret}}"),
                Query(
                    "max by (namespace, secret) (penstock_database_connections_limit)", "limit {{namespace}}/{{secret}}"
                ),
            ),
        ),
        Panel(
            title="Dead tuples among the live jobs",
            help="What vacuum has yet to remove from the table of live jobs; a saw-tooth is healthy.",
            queries=(Query(_of_database("dead_tuples"), "{{namespace}}/{{secret}}"),),
        ),
    ),
)
DASHBOARDS: Final = (OVERVIEW, QUEUE, WORKERS, OPERATOR)
