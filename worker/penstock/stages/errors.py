"""Every error that stages raise on purpose; a separate tree, because the folder depends on no other.

    StageError
    ├── BadOption             an option breaks a rule (also a ValueError)
    ├── BadReturn             a callback returned something that it must not (also a TypeError)
    ├── NoProducer            the producer of a subscription does not exist, or has ended
    ├── StageEnded            the stage has ended and takes no more events, calls or subscriptions
    ├── AlreadyStarted        the stage was started before, or its name is taken by a living stage
    ├── SubscriptionRefused   a dispatcher refused a subscription; carries the reason that the consumer is given
    ├── RestartsExceeded      a supervisor gave up: more restarts than allowed within its period
    └── CallCycle             stages call one another in a cycle; none can answer

A message names the stage, the option or callback, the rule and what was given.
"""


class StageError(Exception):
    """Root of all errors that stages raise on purpose."""


class BadOption(StageError, ValueError):  # noqa: N818 - reads as the sentence it is
    """An option breaks a rule."""

    @classmethod
    def of(cls, owner: object, option: str, rule: str, got: object) -> "BadOption":
        """The error for one option: who was given it, its name, the rule it breaks and its value."""
        return cls(f"{owner}: option {option} must be {rule}, got {got!r}")


class BadReturn(StageError, TypeError):  # noqa: N818
    """A callback returned something that it must not."""

    @classmethod
    def of(cls, owner: object, callback: str, rule: str, got: object) -> "BadReturn":
        """The error for one callback: whose it is, its name, what it must return and what it returned."""
        return cls(f"{owner}: {callback} must return {rule}, got {got!r}")


class NoProducer(StageError):  # noqa: N818
    """The producer of a subscription does not exist, or has ended."""


class StageEnded(StageError):  # noqa: N818
    """The stage has ended and takes no more events, calls or subscriptions."""


class AlreadyStarted(StageError):  # noqa: N818
    """The stage was started before, or its name is taken by a living stage."""


class SubscriptionRefused(StageError):  # noqa: N818
    """A dispatcher refused a subscription. `reason` is what the consumer's cancellation carries."""

    def __init__(self, message: str, reason: object = None) -> None:
        """Keep the reason; without one the error itself is the reason."""
        super().__init__(message)
        self.reason: object = self if reason is None else reason


class RestartsExceeded(StageError):  # noqa: N818
    """A supervisor gave up: more restarts than allowed within its period."""


class CallCycle(StageError):  # noqa: N818
    """Stages call one another in a cycle; none can answer."""
