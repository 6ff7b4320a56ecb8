"""Demand-driven stages for asyncio: consumers ask, producers emit at most that much.

It owns the semantics of GenStage in Python: three stage types, demand windows, dispatchers, buffers, cancel modes. It
must import nothing but the standard library: the folder can be lifted out and used alone. The manual is
`docs/reference/stages.md`. Sends never block; demand bounds every queue.
"""

from .core.base import Consumer, Producer, ProducerConsumer
from .core.buffer import Buffer
from .core.stage import Stage
from .core.subscription import ConsumerPort, ProducerPort, Role, Subscription, SubscriptionOptions
from .core.window import DemandWindow
from .dispatchers.base import Dispatcher
from .dispatchers.broadcast import BroadcastDispatcher
from .dispatchers.demand import DemandDispatcher
from .dispatchers.partition import PartitionDispatcher, stable_hash
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
from .exponential_backoff import ExponentialBackoff
from .library.iterables import IterableProducer, Stream, from_iterable, stream
from .library.operators import Enrich, Filter, Reservoir, Throttle
from .library.poller import Poller
from .names import Names
from .pipeline import Acknowledger, BatchInfo, CallerAcknowledger, DummyProducer, Envelope, Pipeline, RateLimit
from .reasons import KILLED, NORMAL, SHUTDOWN, Cancellation, CancelMode, Dropped, Exit, Shutdown, is_quiet
from .release import release
from .status import InletStatus, OutletStatus, StageStatus, State
from .supervision.child_spec import Child, ChildStatus, Restart, Strategy
from .supervision.supervisor import Supervisor
from .supervision.task_supervisor import TaskSupervisor

__all__ = [
    "KILLED",
    "NORMAL",
    "SHUTDOWN",
    "Acknowledger",
    "AlreadyStarted",
    "BadOption",
    "BadReturn",
    "BatchInfo",
    "BroadcastDispatcher",
    "Buffer",
    "CallCycle",
    "CallerAcknowledger",
    "CancelMode",
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
    "ExponentialBackoff",
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
    "TaskSupervisor",
    "Throttle",
    "from_iterable",
    "is_quiet",
    "release",
    "stable_hash",
    "stream",
]
