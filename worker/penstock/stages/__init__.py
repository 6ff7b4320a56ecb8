"""Demand-driven stages for asyncio: consumers ask, producers emit at most that much.

It owns the semantics of GenStage in Python: three stage types, demand windows, dispatchers, buffers, cancel modes. It
must import nothing but the standard library: the folder can be lifted out and used alone. The manual is
`docs/reference/stages.md`. Surprising: sends never block; what bounds every queue is demand.
"""

from .backoff import Backoff
from .broadcast import BroadcastDispatcher
from .buffer import Buffer
from .children import Child, ChildStatus, Restart, Strategy
from .demand import DemandDispatcher
from .dispatcher import Dispatcher
from .errors import (
    AlreadyStarted,
    BadOption,
    BadReturn,
    CallCycle,
    NoProducer,
    RestartsExceeded,
    StageEnded,
    StageError,
    SubscriptionRefused,
)
from .iterables import IterableProducer, Stream, from_iterable, stream
from .kinds import Consumer, Producer, ProducerConsumer
from .names import Names
from .partition import PartitionDispatcher, stable_hash
from .per_event import TaskPerEvent
from .pipeline import Acknowledger, BatchInfo, CallerAcknowledger, DummyProducer, Envelope, Pipeline, RateLimit
from .polling import Poller
from .reasons import KILLED, NORMAL, SHUTDOWN, Cancel, Cancellation, Dropped, Exit, Shutdown, is_quiet
from .release import release
from .shipped import Enrich, Filter, Reservoir, Throttle
from .stage import Stage
from .status import InletStatus, OutletStatus, StageStatus, State
from .subscription import ConsumerPort, ProducerPort, Role, Subscription, SubscriptionOptions
from .supervisor import Supervisor
from .window import DemandWindow

__all__ = [
    "KILLED",
    "NORMAL",
    "SHUTDOWN",
    "Acknowledger",
    "AlreadyStarted",
    "Backoff",
    "BadOption",
    "BadReturn",
    "BatchInfo",
    "BroadcastDispatcher",
    "Buffer",
    "CallCycle",
    "CallerAcknowledger",
    "Cancel",
    "Cancellation",
    "Child",
    "ChildStatus",
    "Consumer",
    "ConsumerPort",
    "DemandDispatcher",
    "DemandWindow",
    "Dispatcher",
    "Dropped",
    "DummyProducer",
    "Enrich",
    "Envelope",
    "Exit",
    "Filter",
    "InletStatus",
    "IterableProducer",
    "Names",
    "NoProducer",
    "OutletStatus",
    "PartitionDispatcher",
    "Pipeline",
    "Poller",
    "Producer",
    "ProducerConsumer",
    "ProducerPort",
    "RateLimit",
    "Reservoir",
    "Restart",
    "RestartsExceeded",
    "Role",
    "Shutdown",
    "Stage",
    "StageEnded",
    "StageError",
    "StageStatus",
    "State",
    "Strategy",
    "Stream",
    "Subscription",
    "SubscriptionOptions",
    "SubscriptionRefused",
    "Supervisor",
    "TaskPerEvent",
    "Throttle",
    "from_iterable",
    "is_quiet",
    "release",
    "stable_hash",
    "stream",
]
