"""The store: Postgres as the only message bus, and the only package that imports psycopg.

Code that runs in the database is in `functions/` and `migrations/`, statements are in `sql/`. This package sends
statements, maps errors and returns frozen values; it makes no decision about a job.
"""

from .dead_letters import DeadCount, DeadFilter, DeadLetter, DeadLetterInfo, DeadLetters, Redriven
from .enqueue.client import AsyncClient, SyncClient, enqueue_on, enqueue_on_async
from .enqueue.lookup import cancel_on, cancel_on_async, info_on, info_on_async
from .listen import CONTROL, DEPTH, WORK, Listener
from .maintenance import Maintenance, MaintenanceStats
from .registration import MovedRenewal, Registration, Renewal, WorkerRegistry
from .rows import AckConflict, Promotion, QueueState, Rescue
from .schema.drift import schema_drift
from .schema.handshake import check_login_and_schema
from .schema.migrate import Migrated, check_schema, latest_version, migrate, migration_sql
from .schema.on_connection import check_schema_on, delete_jobs_on, migrate_on
from .schema.rights import check_rights
from .schema.roles import grants_sql, roles, roles_sql
from .store import Store
from .transaction import JobTransaction, complete_on, complete_on_async
from .worker_store import Depth, UnreportedDeadLetter, WorkerStore

__all__ = [
    "CONTROL",
    "DEPTH",
    "WORK",
    "AckConflict",
    "AsyncClient",
    "DeadCount",
    "DeadFilter",
    "DeadLetter",
    "DeadLetterInfo",
    "DeadLetters",
    "Depth",
    "JobTransaction",
    "Listener",
    "Maintenance",
    "MaintenanceStats",
    "Migrated",
    "MovedRenewal",
    "Promotion",
    "QueueState",
    "Redriven",
    "Registration",
    "Renewal",
    "Rescue",
    "Store",
    "SyncClient",
    "UnreportedDeadLetter",
    "WorkerRegistry",
    "WorkerStore",
    "cancel_and_wait",
    "cancel_on",
    "cancel_on_async",
    "check_login_and_schema",
    "check_rights",
    "check_schema",
    "check_schema_on",
    "complete_on",
    "complete_on_async",
    "delete_jobs_on",
    "enqueue_on",
    "enqueue_on_async",
    "grants_sql",
    "info_on",
    "info_on_async",
    "latest_version",
    "migrate",
    "migrate_on",
    "migration_sql",
    "roles",
    "roles_sql",
    "schema_drift",
]
