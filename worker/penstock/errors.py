"""Every error that Penstock raises on purpose.

    PenstockError
    ├── ConfigurationError        a setting, an option or a manifest breaks a rule
    │   ├── InvalidSchedule       a schedule: its expression, time zone, dates or a bound
    │   └── ManifestError         a JobQueue manifest; names file, document and field
    ├── TaskError                 the registry and the arguments of tasks
    │   ├── InvalidTask           a definition breaks a rule: signature, options, a name that is taken
    │   ├── UnknownTask           no task of that name on this App
    │   ├── InvalidArguments      arguments that do not fit the task's signature
    │   ├── UnencodableArgument   an argument that has no JSON form
    │   └── UnencodableResult     a returned value that has no JSON form
    ├── PayloadTooLarge           arguments, headers or result above the limit
    ├── JobNotFound               no job with that id, live or ended
    ├── ResultTimeout             the job did not end within the timeout of result()
    ├── JobFailed                 result() of a job that is a dead letter
    ├── JobCancelled              result() of a job that was cancelled
    ├── Fenced                    the attempt lost its claim; its writes are refused
    ├── TaskTimeout               an attempt exceeded its task's timeout
    ├── ChildCrashed              the child process that ran an attempt exited
    └── StoreError                the database; mapped once, in `penstock.store`
        ├── DatabaseUnavailable   cannot connect, connection lost, shutting down
        │   ├── LoginRefused      wrong password, no such role, NOLOGIN, expired, or no line for it in pg_hba.conf
        │   ├── NoSuchDatabase    the server is there, the database is not
        │   ├── TooManyConnections  a limit of the server, of the database or of the login is reached
        │   ├── PoolExhausted     every connection of the App's pool stayed in use for `pool_wait` seconds
        │   ├── ServerShutdown    starting up, shutting down, or an administrator ended the connection
        │   └── SessionTimedOut   the server ended a session that was idle, or in one transaction, for too long
        ├── InvalidDatabaseURL    not a usable URL (the URL itself is never printed)
        ├── InvalidClientCertificate  certificate and key do not match, or are not valid now
        ├── WrongDatabase         the URL and the direct URL lead to different databases
        ├── SchemaMissing         `penstock migrate` has not been run
        ├── SchemaMismatch        the schema is older or newer than this version knows
        ├── StatementRefused      a statement is wrong for this database
        │   └── MissingRights     the login lacks a right; the message has the SQL that grants it
        ├── ReadOnlyServer        a standby, or a server set read-only
        ├── RejectedByDatabase    a value that the database does not accept
        ├── PartitionMissing      no partition of outcome covers the current time, and none could be made
        ├── TooManyQueues         a new undeclared queue, and the limit of undeclared queues is reached
        ├── RowLocked             another transaction locks a row and does not end in time
        ├── TransactionRolledBack  the server rolled the transaction back; retry it as a whole
        │   ├── DeadlockDetected  it was part of a deadlock
        │   └── SerializationFailure  a concurrent change conflicts with it, above READ COMMITTED
        ├── TransactionAborted    an earlier statement of the caller's transaction failed
        ├── StatementTimeout      statement_timeout, or an administrator canceled the statement
        ├── OutOfResources        the server lacks memory or room for temporary files
        │   └── DiskFull          its disk is full
        ├── ServerFault           an internal error of the server, a corrupted file or index
        ├── UniqueConflict        another live job has the unique key
        ├── ClaimRefused          the worker is not running with a live lease
        └── MigrationFailed       a migration does not match what was applied, or failed

There are many classes because the name is what a log and an alert show: each stands for something else to mend. Code
catches the groups: DatabaseUnavailable and TransactionRolledBack may be retried, ConfigurationError may not.

A message says what happened, to what, and what to do next; none contains a password. Exceptions of libraries are
mapped where they enter, with `raise ... from`.
"""

from typing import Final

_SHOWN: Final = 80  # characters of a rejected value in an error


def shown(value: object) -> str:
    """A rejected value as errors show it: its repr, cut at 80 characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - objects of an ORM refuse outside their session
        text = f"<{type(value).__name__} without a repr>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class PenstockError(Exception):
    """Root of all errors that Penstock raises on purpose."""


class ConfigurationError(PenstockError):
    """A setting, an option or a manifest breaks a rule."""


class InvalidSchedule(ConfigurationError):  # noqa: N818
    """A schedule breaks a rule; the message names the schedule, the rule and the value."""


class ManifestError(ConfigurationError):
    """A JobQueue manifest breaks a rule; the message names file, document and field."""


class TaskError(PenstockError):
    """Something about a task or its arguments is wrong."""


class InvalidTask(TaskError):  # noqa: N818
    """The definition of a task breaks a rule; the message names the task and the rule."""


class UnknownTask(TaskError):  # noqa: N818 - reads as the sentence it is
    """No task of that name is registered on this App."""


class InvalidArguments(TaskError):  # noqa: N818
    """The arguments do not fit the task's signature."""


class UnencodableArgument(TaskError):  # noqa: N818
    """An argument has no JSON form; the message names the parameter."""


class UnencodableResult(TaskError):  # noqa: N818
    """A returned value has no JSON form; the message names the task."""


class PayloadTooLarge(PenstockError):  # noqa: N818
    """Arguments, headers or result are larger than the limit."""


class JobNotFound(PenstockError):  # noqa: N818
    """No job with that id exists, live or ended."""


class ResultTimeout(PenstockError, TimeoutError):  # noqa: N818
    """The job had not ended when the wait for its result ran out."""


class JobFailed(PenstockError):  # noqa: N818
    """The job is a dead letter and has no result."""


class JobCancelled(PenstockError):  # noqa: N818
    """The job was cancelled and has no result."""


class Fenced(PenstockError):  # noqa: N818
    """The attempt lost its claim: its lease expired, or the job was cancelled. Its writes are refused."""


class TaskTimeout(PenstockError, TimeoutError):  # noqa: N818 - reads as the sentence it is
    """An attempt took longer than its task's timeout, or was killed at its hard timeout."""


class ChildCrashed(PenstockError):  # noqa: N818
    """The child process that ran the attempt exited: by a signal, out of memory, or by calling `os._exit`."""


class StoreError(PenstockError):
    """The database refused a statement or could not be used."""


class DatabaseUnavailable(StoreError):  # noqa: N818
    """The server cannot be reached, or the connection was lost."""


class LoginRefused(DatabaseUnavailable):
    """The server refused the login: wrong or expired password, no such role, NOLOGIN, or no line in pg_hba.conf."""


class NoSuchDatabase(DatabaseUnavailable):
    """The server is reachable and has no database with that name."""


class TooManyConnections(DatabaseUnavailable):
    """The connection limit of the server, of the database or of the login is reached."""


class PoolExhausted(DatabaseUnavailable):
    """Every connection of the App's pool was in use for `pool_wait` seconds; nothing was sent."""


class ServerShutdown(DatabaseUnavailable):
    """The server is starting up, in recovery or shutting down, or an administrator ended the connection."""


class SessionTimedOut(DatabaseUnavailable):
    """The server ended the session by a timeout: session idle, idle in transaction, or transaction too long."""


class InvalidDatabaseURL(StoreError, ConfigurationError):  # noqa: N818
    """The database URL cannot be used. Its text is never part of the message."""


class InvalidClientCertificate(StoreError, ConfigurationError):  # noqa: N818
    """The client certificate cannot be used: malformed, encrypted, not valid now, or its key does not match."""


class WrongDatabase(StoreError):  # noqa: N818
    """The database URL and the direct URL lead to different databases."""


class SchemaMissing(StoreError):  # noqa: N818
    """The schema `penstock` does not exist: run `penstock migrate` on this database."""


class SchemaMismatch(StoreError):  # noqa: N818
    """The schema is older or newer than this version of Penstock knows."""


class StatementRefused(StoreError):  # noqa: N818
    """The server refused a statement (SQLSTATE class 42): a right, a function or a type does not match."""


class MissingRights(StatementRefused):
    """The login lacks a right in this database; if it is known, the message has the SQL that grants it."""


class ReadOnlyServer(StoreError):  # noqa: N818
    """The server accepts no writes: a standby, or set read-only."""


class RejectedByDatabase(StoreError):  # noqa: N818
    """The database refused a value: a constraint, a type, a size."""


class PartitionMissing(StoreError):  # noqa: N818
    """No partition of `penstock.outcome` covers the current time; nothing was written.

    A worker makes the partition and sends the outcome again. In your own transaction, roll back and retry it.
    """


class TooManyQueues(StoreError):  # noqa: N818
    """No JobQueue declares the queue, and the limit of undeclared queues is reached; nothing was written."""


class RowLocked(StoreError):  # noqa: N818
    """Another transaction locks a row that the statement needs and did not end in time; nothing was written."""


class TransactionRolledBack(StoreError):  # noqa: N818
    """The server rolled the transaction back (SQLSTATE class 40); nothing was written. Retry it as a whole."""


class DeadlockDetected(TransactionRolledBack):
    """The transaction was part of a deadlock."""


class SerializationFailure(TransactionRolledBack):
    """Above READ COMMITTED: a concurrent transaction committed a change that conflicts with this one."""


class TransactionAborted(StoreError):  # noqa: N818
    """An earlier statement of the caller's transaction failed; it accepts only ROLLBACK."""


class StatementTimeout(StoreError):  # noqa: N818
    """The server canceled the statement: statement_timeout, or pg_cancel_backend; nothing was written."""


class OutOfResources(StoreError):  # noqa: N818
    """The server lacks memory, room for temporary files or another resource; nothing was written."""


class DiskFull(OutOfResources):
    """The server's disk is full; nothing was written."""


class ServerFault(StoreError):  # noqa: N818
    """The server had an internal error: its operating system, a corrupted table or index, or a bug."""


class UniqueConflict(StoreError):  # noqa: N818
    """Another live job of the queue has the unique key, and the job was enqueued with `on_conflict="raise"`."""


class ClaimRefused(StoreError):  # noqa: N818
    """The worker claimed jobs while it was cordoned or lost, or after its lease expired."""


class MigrationFailed(StoreError):  # noqa: N818
    """A migration does not match what was applied before, or failed."""
