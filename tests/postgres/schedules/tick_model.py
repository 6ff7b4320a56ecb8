"""Which ticks of one schedule fire, by a walk over minutes: it knows the rules of the docs and nothing of the product.

Times are whole minutes since 1970. A recurrence is a predicate on a minute. The caller says when the clock moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Recurrence = Callable[[int], bool]
DAYS = 2 * 1440
"""Each recurrence comes at least once in so many minutes."""


@dataclass
class Decision:
    """What a caller has read: it may use it late, or twice."""

    generation: int
    seen: int
    ticks: list[int]
    next: int


@dataclass
class TickModel:
    """The rules. `fired` are the ticks that have a job, `live` counts live jobs, `ended` those not yet settled.

    `limit` is how many missed ticks count: one, but for the policy All.
    """

    now: int
    recurs: Recurrence
    missed: str
    overlap: str
    limit: int
    paused: bool = False
    generation: int = 1
    last: int = -1
    live: int = 0
    ended: int = 0
    fired: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    next: int = field(init=False)

    def __post_init__(self) -> None:
        self.next = self.first_after(self.now)

    def first_after(self, minute: int) -> int:
        return next(m for m in range(minute + 1, minute + DAYS) if self.recurs(m))

    def redeploy(self, recurs: Recurrence, missed: str, overlap: str, limit: int, *, same: bool) -> None:
        """Another recurrence starts from now on, once what is due by the old one has fired; the same one keeps it."""
        if same and (missed, overlap, limit) == (self.missed, self.overlap, self.limit):
            return
        if not same and (due := self.read()) is not None:
            self.fire(due)
        self.recurs, self.missed, self.overlap, self.limit = recurs, missed, overlap, limit
        self.generation += 1
        if not same:
            self.next = self.first_after(self.now)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Ticks of the pause never fire."""
        if self.paused:
            self.paused, self.next = False, self.first_after(self.now)

    def read(self) -> Decision | None:
        """What is due now."""
        if self.paused or self.next > self.now:
            return None
        ticks = [m for m in range(self.next, self.now + 1) if self.recurs(m)]
        return Decision(self.generation, self.next, ticks[-self.limit :], self.first_after(self.now))

    def fire(self, one: Decision) -> None:
        """Only what is still as it was read, and not ahead of the clock."""
        if self.paused or (one.generation, one.seen) != (self.generation, self.next):
            return
        if one.seen > self.now or any(tick > self.now for tick in one.ticks):
            return
        fires = one.ticks[-self.limit :]
        if self.missed == "Skip":
            fires = [tick for tick in fires if tick >= self.now - 1]
        fires = [tick for tick in fires if tick > self.last]
        if self.overlap == "Skip":
            fires = [] if self.live else [tick for tick in fires if tick == one.ticks[-1]]
        if self.overlap == "Queue":
            self.waiting += fires
            fires = []
        self.last, self.next = max([self.last, *one.ticks]), one.next
        self.start(fires)

    def start(self, fires: list[int]) -> None:
        """The newest wait; the first of them starts once no job is live."""
        self.waiting = sorted(self.waiting)[-self.limit :]
        if self.waiting and not self.live:
            fires = [self.waiting.pop(0), *fires]
        self.fired += fires
        self.live += len(fires)

    def end_jobs(self) -> None:
        self.ended, self.live = self.ended + self.live, 0

    def settle(self) -> None:
        if self.waiting and (self.ended or not self.live):
            self.start([])
        self.ended = 0
