"""`spec.worker.deployment`: the Deployment around the pods. What is None is the operator's default, or Kubernetes'."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from .resource_names import Annotations, IntOrPercent, Labels
from .spec_part import Part


class StrategyType(enum.StrEnum):
    """How a rollout replaces pods."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class RollingUpdate(Part, frozen=True):
    """How many pods a rollout replaces at a time."""

    max_surge: IntOrPercent | None = None
    max_unavailable: IntOrPercent | None = None


class DeploymentStrategy(Part, frozen=True):
    """How a rollout replaces pods."""

    type: StrategyType = StrategyType.ROLLING_UPDATE
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Part, frozen=True):
    """The Deployment around the pods."""

    labels: Labels | None = None
    annotations: Annotations | None = None
    strategy: DeploymentStrategy | None = None
    min_ready_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] | None = None
    progress_deadline_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] | None = None
