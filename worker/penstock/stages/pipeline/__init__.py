"""Pipelines: source, process, batch, in a few lines on top of stages.

It owns the common case: events that are handled one by one or in batches, acknowledged when they are finished,
drained in order. It must use nothing of stages that a user could not use. See `Pipeline`.
"""

from .batcher import Batcher, Batching, BatchWorker
from .builder import Pipeline
from .doubles import CallerAcknowledger, DummyProducer, Outcome
from .envelope import Acknowledger, Batch, BatchInfo, Envelope, NoAcknowledger, acknowledge, acknowledge_now
from .rate_limit import RateLimit
from .running_pipeline import RunningPipeline

__all__ = [
    "Acknowledger",
    "Batch",
    "BatchInfo",
    "BatchWorker",
    "Batcher",
    "Batching",
    "CallerAcknowledger",
    "DummyProducer",
    "Envelope",
    "NoAcknowledger",
    "Outcome",
    "Pipeline",
    "RateLimit",
    "RunningPipeline",
    "acknowledge",
    "acknowledge_now",
]
