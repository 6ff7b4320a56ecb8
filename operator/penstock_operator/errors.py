"""Every error that the operator raises on purpose.

    OperatorError
    ├── SettingsError        an environment variable breaks its rule
    ├── NotLeader              another replica may lead; nothing was written
    └── ClusterError         the API server, mapped once at `cluster`
        ├── Unreachable      no answer: away, too slow, connection lost
        ├── Forbidden        401 or 403: the roles lack a verb, or the token is bad
        ├── NotFound         404
        ├── Conflict         409: the object has changed since it was read
        └── Refused          400, 422 and the rest: the request was rejected
            ├── InvalidName  not sent at all: no object can have that name
            ├── NameTaken    an object of that name has another owner
            └── ChangesUndone  another writer undoes each write of an owned object

    StoreError               of penstock.errors; those stay as they are
    └── DatabaseMisbehaves   a server exceeded what one database may cost, or gave answers that Penstock does not give

No message carries a credential.
"""

from __future__ import annotations

from penstock.errors import StoreError


class OperatorError(Exception):
    """Root of all errors that the operator raises on purpose."""


class SettingsError(OperatorError):
    """An environment variable breaks its rule; the message names variable, rule and value."""


class NotLeader(OperatorError):  # noqa: N818 - reads as the sentence it is
    """This replica does not lead; its decision was not written."""


class ClusterError(OperatorError):
    """A call to the API server failed; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(ClusterError):  # noqa: N818
    """No answer came."""


class Forbidden(ClusterError):  # noqa: N818
    """The operator's roles do not allow the call."""


class NotFound(ClusterError):  # noqa: N818
    """The object is not there."""


class Conflict(ClusterError):  # noqa: N818
    """The object has changed since it was read."""


class Refused(ClusterError):  # noqa: N818
    """The API server rejected the request."""


class InvalidName(Refused):
    """A name that no object can have; nothing was sent."""


class DatabaseMisbehaves(StoreError):  # noqa: N818
    """A server exceeded what one database may cost the operator, or answered what Penstock's schema does not."""


class NameTaken(Refused):
    """An object of that name belongs to another owner; it was not written."""


class ChangesUndone(Refused):
    """Another writer undoes each write of an owned object; it is not written for a while."""
