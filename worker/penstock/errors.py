"""Every error that Penstock raises on purpose.

    PenstockError
    ├── ConfigurationError        a setting, an option or a manifest breaks a rule
    │   └── ManifestError         a JobQueue manifest: names file, document and field
    ├── TaskError                 the registry and the arguments of tasks
    │   ├── InvalidTask           a definition breaks a rule: signature, options, a name that is taken
    │   ├── UnknownTask           no task of that name on this App
    │   ├── InvalidArguments      arguments that do not fit the task's signature
    │   ├── UnencodableArgument   an argument that has no JSON form
    │   └── UnencodableResult     a returned value that has no JSON form
    ├── PayloadTooLarge           arguments, headers or result above the limit
    ├── JobNotFound               no job of that id, live or ended
    ├── ResultTimeout             a result was waited for longer than asked
    ├── JobFailed                 the result of a dead letter was asked for
    ├── JobCancelled              the result of a cancelled job was asked for
    ├── Fenced                    this attempt is no longer ours: its claim was taken back
    ├── TaskTimeout               an attempt took longer than its task may
    ├── ChildCrashed              the child process that ran an attempt ended
    └── StoreError                the database, mapped once at `penstock.store`
        ├── DatabaseUnavailable   cannot connect, connection lost, shutting down
        │   ├── LoginRefused      wrong password, no such role, NOLOGIN, expired, or no line for it in pg_hba.conf
        │   ├── NoSuchDatabase    the server is there, the database is not
        │   ├── TooManyConnections  a limit of the server, of the database or of the login is reached
        │   ├── PoolExhausted     every connection of the App's own pool was in use for as long as a call waits
        │   ├── ServerShutdown    starting up, shutting down, or an administrator ended the connection
        │   └── SessionTimedOut   the server ended a session that was idle, or in one transaction, for too long
        ├── InvalidDatabaseURL    not a usable URL (the URL itself is never printed)
        ├── InvalidClientCertificate  key and certificate cannot be used together, or not now
        ├── WrongDatabase         two URLs that belong together lead to different databases
        ├── SchemaMissing         `penstock migrate` has not been run
        ├── SchemaMismatch        the schema is older or newer than this version knows
        ├── StatementRefused      a statement is wrong for this database
        │   └── MissingRights     this login lacks a right; the message has the SQL that grants it
        ├── ReadOnlyServer        a standby, or a server set read-only
        ├── RejectedByDatabase    a value that the database does not accept
        ├── PartitionMissing      no partition of outcome covers this moment, and none could be made yet
        ├── TooManyQueues         a new queue that nobody declared, and as many exist as may
        ├── RowLocked             another transaction holds a row that is needed, and does not end
        ├── TransactionRolledBack  the server undid the transaction; repeated as a whole it may succeed
        │   ├── DeadlockDetected  it waited for another that waited for it
        │   └── SerializationFailure  another one committed a change that it needed, above READ COMMITTED
        ├── TransactionAborted    an earlier statement of the caller's transaction failed
        ├── StatementTimeout      statement_timeout, or somebody canceled the statement
        ├── OutOfResources        the server lacks memory or room for temporary files
        │   └── DiskFull          its disk is full
        ├── ServerFault           an internal error of the server, a damaged file or index
        ├── UniqueConflict        another live job holds the unique key
        ├── ClaimRefused          the worker is not running with a live lease
        └── MigrationFailed       a migration file does not match, or did not apply

A message names the thing, the rule and what was given; none carries a password. Exceptions of libraries are mapped
where they enter, with `raise ... from`.
"""


class PenstockError(Exception):
    """Root of all errors that Penstock raises on purpose."""


class ConfigurationError(PenstockError):
    """A setting, an option or a manifest breaks a rule."""


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
    """What a task returned has no JSON form; the message names the task."""


class PayloadTooLarge(PenstockError):  # noqa: N818
    """Arguments, headers or result are larger than the limit."""


class JobNotFound(PenstockError):  # noqa: N818
    """No job of that id exists, live or ended."""


class ResultTimeout(PenstockError, TimeoutError):  # noqa: N818
    """The job had not ended when the wait for its result ran out."""


class JobFailed(PenstockError):  # noqa: N818
    """The job is a dead letter and has no result."""


class JobCancelled(PenstockError):  # noqa: N818
    """The job was cancelled and has no result."""


class Fenced(PenstockError):  # noqa: N818
    """The attempt's claim was taken back; nothing that it writes is accepted any more."""


class TaskTimeout(PenstockError, TimeoutError):  # noqa: N818 - reads as the sentence it is
    """An attempt took longer than its task's timeout, or was killed at its hard timeout."""


class ChildCrashed(PenstockError):  # noqa: N818
    """The child process that ran the attempt ended: by a signal, out of memory, or by leaving the interpreter."""


class StoreError(PenstockError):
    """The database refused or could not be used."""


class DatabaseUnavailable(StoreError):  # noqa: N818
    """The server cannot be reached, or the connection was lost."""


class LoginRefused(DatabaseUnavailable):
    """The server refused the login: wrong or expired password, no such role, NOLOGIN, or no line in pg_hba.conf."""


class NoSuchDatabase(DatabaseUnavailable):
    """The server answered, and has no database of that name."""


class TooManyConnections(DatabaseUnavailable):
    """The connection limit of the server, of the database or of the login is reached."""


class PoolExhausted(DatabaseUnavailable):
    """Every connection of the App's own pool was in use for `pool_wait` seconds; nothing was sent."""


class ServerShutdown(DatabaseUnavailable):
    """The server is starting up, in recovery or shutting down, or an administrator ended the connection."""


class SessionTimedOut(DatabaseUnavailable):
    """The server ended the session by one of its timeouts: idle, idle in a transaction, or one transaction too long."""


class InvalidDatabaseURL(StoreError, ConfigurationError):  # noqa: N818
    """The database URL is not usable. Its text is never part of the message."""


class InvalidClientCertificate(StoreError, ConfigurationError):  # noqa: N818
    """The client certificate for the database cannot be used: malformed, encrypted, not valid now, or of two pairs."""


class WrongDatabase(StoreError):  # noqa: N818
    """Two URLs that belong together lead to different databases."""


class SchemaMissing(StoreError):  # noqa: N818
    """The schema `penstock` is not there: `penstock migrate` has not been run on this database."""


class SchemaMismatch(StoreError):  # noqa: N818
    """The schema is older or newer than this version of Penstock knows."""


class StatementRefused(StoreError):  # noqa: N818
    """The server refused a statement itself (SQLSTATE class 42): a right, a function or a type does not fit."""


class MissingRights(StatementRefused):
    """The login lacks a right in this database; where the right is known, the message has the SQL that grants it."""


class ReadOnlyServer(StoreError):  # noqa: N818
    """The server accepts no writes: a standby, or set read-only."""


class RejectedByDatabase(StoreError):  # noqa: N818
    """The database refused a value: a constraint, a type, a size."""


class PartitionMissing(StoreError):  # noqa: N818
    """No partition of `penstock.outcome` covers this moment, so no outcome can be stored; nothing was written.

    A worker makes the partition and repeats the outcome. In a transaction of your own, roll back and repeat it.
    """


class TooManyQueues(StoreError):  # noqa: N818
    """No JobQueue declares the queue, and as many undeclared queues exist as may; nothing was written."""


class RowLocked(StoreError):  # noqa: N818
    """Another transaction holds a row that the statement needs and did not end in time; nothing was written."""


class TransactionRolledBack(StoreError):  # noqa: N818
    """The server undid the whole transaction (SQLSTATE class 40); nothing of it was written, and it may be repeated."""


class DeadlockDetected(TransactionRolledBack):
    """The transaction waited for another one that waited for it."""


class SerializationFailure(TransactionRolledBack):
    """Above READ COMMITTED: another transaction has committed a change that this one needed."""


class TransactionAborted(StoreError):  # noqa: N818
    """An earlier statement of the caller's transaction failed, so it accepts nothing but ROLLBACK."""


class StatementTimeout(StoreError):  # noqa: N818
    """The server canceled the statement: statement_timeout, or somebody's pg_cancel_backend; nothing was written."""


class OutOfResources(StoreError):  # noqa: N818
    """The server lacks memory, room for temporary files or another resource; nothing was written."""


class DiskFull(OutOfResources):
    """The server's disk is full; nothing was written."""


class ServerFault(StoreError):  # noqa: N818
    """The server failed inside: an error of its operating system, a damaged table or index, a defect."""


class UniqueConflict(StoreError):  # noqa: N818
    """Another live job of the queue holds the unique key, and `on_conflict="raise"` was asked for."""


class ClaimRefused(StoreError):  # noqa: N818
    """The worker asked for jobs while it is cordoned, lost or past its lease."""


class MigrationFailed(StoreError):  # noqa: N818
    """A migration does not match what was applied before, or did not apply."""
