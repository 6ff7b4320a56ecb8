"""The operator's metrics of databases and of its own role."""

from __future__ import annotations

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from tools.monitoring import registry

from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.scaling import Bound
from penstock.store import Store
from penstock.store.inspect.database_stats import DatabaseStats, database_stats
from penstock_operator.metrics import OperatorMetrics
from penstock_operator.resources.conditions import TYPES

PLACE = ("shop", "shop-postgres")
SEEN = DatabaseStats(dead_tuples=7, live_tuples=3, connections=20, connections_limit=97)


async def test_a_database_exports_its_connections_and_its_tuples(pg_url: str):
    """One more connection is one more in the metric, and the limit leaves out what superusers keep for themselves."""
    async with Store(pg_url, lanes=1) as store:
        before = await database_stats(store)
        with psycopg.connect(pg_url) as other:
            during = await database_stats(store)
            allowed, kept = (
                int(other.execute(f"SHOW {name}").fetchone()[0])  # type: ignore[index]
                for name in ("max_connections", "superuser_reserved_connections")
            )
    assert 1 <= before.connections < during.connections
    assert during.connections_limit == allowed - kept
    assert min(during.dead_tuples, during.live_tuples) >= 0


def test_a_replica_that_follows_keeps_what_it_knew_of_queues_and_databases_to_itself():
    """Two replicas would export two values for one queue; that it does not lead is exported all the same."""
    leading = True
    metrics = OperatorMetrics(leading=lambda: leading)
    metrics.show_database(PLACE, SEEN, {"lease": 2, "poison": 0})
    text = metrics.exposition().decode()
    assert "penstock_operator_leader 1.0" in text
    assert 'penstock_database_connections{namespace="shop",secret="shop-postgres"} 20.0' in text
    assert 'penstock_database_rescued_total{namespace="shop",reason="lease",secret="shop-postgres"} 2.0' in text
    leading = False
    text = metrics.exposition().decode()
    assert "penstock_operator_leader 0.0" in text
    assert "penstock_database" not in text


def test_a_database_that_nobody_names_any_more_has_no_series():
    """Their number is bounded by the Secrets that JobQueues name."""
    metrics = OperatorMetrics()
    metrics.show_database(PLACE, SEEN, {"lease": 0, "poison": 0})
    metrics.forget_database(PLACE)
    assert "shop-postgres" not in metrics.exposition().decode()


def series(collector: Collector) -> int:
    """How many a scrape has."""
    kept = CollectorRegistry(auto_describe=False)
    kept.register(collector)
    return sum(not line.startswith("#") for line in generate_latest(kept).decode().splitlines())


def test_the_number_of_series_is_what_the_documents_say():
    """Bounded by queues and tasks: nothing in a job makes a series."""
    alone, with_a_task = (series(WorkerMetrics(queue="q", tasks=tasks, version="0")) for tasks in ([], ["t"]))
    assert 115 < alone < 135
    assert with_a_task - alone == 27
    values = {"type": len(TYPES), "bound": len(Bound), "direction": 2}
    total = 0
    for metric in registry.of_operator():
        if metric.name.startswith("penstock_queue_") and metric.name != "penstock_queue_decisions_total":
            (own,) = set(metric.labels) - {"namespace", "jobqueue"} or {""}
            total += values.get(own, 1)
    assert total < 60 - len(Bound) // 2  # a queue meets some of the bounds, each with a count of its decisions
