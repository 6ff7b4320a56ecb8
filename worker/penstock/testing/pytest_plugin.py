"""pytest fixtures for applications that enqueue jobs: the collected jobs with assertions, without a database.

Registered by the wheel's entry point: a test only names a fixture. Owns the fixtures; `penstock.testing` collects and
compares the jobs. Must not import a database driver, because pytest loads this module in every project that has
Penstock installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..app.app import App
    from ..app.task import Task
    from ..job import NewJob
    from . import Collected


class AssertEnqueued(Protocol):
    """The type of the fixture `assert_enqueued`."""

    def __call__(
        self, expected: Task[..., Any, ..., Any] | NewJob, *, times: int | None = None, **options: object
    ) -> list[NewJob]:
        """As `Collected.assert_enqueued`."""


class AssertNotEnqueued(Protocol):
    """The type of the fixture `assert_not_enqueued`."""

    def __call__(self, expected: Task[..., Any, ..., Any] | NewJob | None = None, **options: object) -> None:
        """As `Collected.assert_not_enqueued`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`penstock_app` in pytest's configuration: where the App is."""
    parser.addini("penstock_app", "import path of the App for the fixture penstock_app, as shop.jobs:app")


@pytest.fixture
def penstock_app(request: pytest.FixtureRequest) -> App:
    """The App that the configuration's `penstock_app` names; override the fixture to choose another way."""
    from ..app.loading import load_app  # noqa: PLC0415

    path = str(request.config.getini("penstock_app"))
    if not path:
        pytest.fail('set penstock_app = "module:app" in pytest\'s configuration, or override the fixture penstock_app')
    return load_app(path)


@pytest.fixture
def enqueued(penstock_app: App) -> Iterator[Collected]:
    """Jobs enqueued in this test, oldest first: collected, not written; `penstock_app.run_inline()` runs them."""
    with penstock_app.test_mode() as collected:
        yield collected


@pytest.fixture
def assert_enqueued(enqueued: Collected) -> AssertEnqueued:
    """`assert_enqueued(send_mail.job(7))`: fails unless this test enqueued such a job."""
    return enqueued.assert_enqueued


@pytest.fixture
def assert_not_enqueued(enqueued: Collected) -> AssertNotEnqueued:
    """`assert_not_enqueued(send_mail)`: fails if this test enqueued such a job; without an argument, any job."""
    return enqueued.assert_not_enqueued
