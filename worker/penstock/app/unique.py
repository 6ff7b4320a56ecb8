"""`Unique`: the option that allows at most one live job with the same key.

Pure. A key applies to one task in one queue: two tasks may use the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from ..errors import ConfigurationError, shown
from ..job import UniqueKey
from ..outcomes import checked_seconds

MAX_KEY: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """At most one live job with this key, or with these arguments, of one task in one queue.

    Attributes:
        key: 1 to 200 characters without NUL; exactly one of `key` and `by_args` is given.
        by_args: the arguments are the key; equal arguments give equal keys, however the call is written.
        until: "start": the key is free again when the job is claimed; "finish" (default): when it has finished, as a
            dead letter too.
        on_conflict: "ignore" (default) returns the job that has the key; "raise" raises UniqueConflict.
        expires: seconds or a timedelta after which the key is free in any case; default never.

    Raises:
        ConfigurationError: a value is invalid.
    """

    key: str | None = None
    by_args: bool = False
    until: Literal["start", "finish"] = "finish"
    on_conflict: Literal["ignore", "raise"] = "ignore"
    expires: float | timedelta | None = None

    def __post_init__(self) -> None:
        if (self.key is None) is not self.by_args:
            raise ConfigurationError("unique: give exactly one of key= and by_args=True")
        if self.key is not None and (not 1 <= len(self.key) <= MAX_KEY or "\0" in self.key):
            raise ConfigurationError(
                f"unique: key must have 1 to {MAX_KEY} characters and no NUL, got {shown(self.key)}"
            )
        if self.until not in {"start", "finish"}:
            raise ConfigurationError(f"unique: until must be 'start' or 'finish', got {shown(self.until)}")
        if self.on_conflict not in {"ignore", "raise"}:
            raise ConfigurationError(f"unique: on_conflict must be 'ignore' or 'raise', got {shown(self.on_conflict)}")
        if self.expires is not None:
            try:
                object.__setattr__(self, "expires", checked_seconds(self.expires, of="unique: expires"))
            except (TypeError, ValueError) as error:
                raise ConfigurationError(str(error)) from error

    def of(self, task: str, by_args: Callable[[], str]) -> UniqueKey:
        """The key of a job of `task`; `by_args` is called for the key of its arguments if needed."""
        text = self.key if self.key is not None else by_args()
        expires = None if self.expires is None else float(self.expires)  # type: ignore[arg-type]
        return UniqueKey(key=f"{task}:{text}", until=self.until, expires=expires, on_conflict=self.on_conflict)
