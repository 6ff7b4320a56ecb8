"""Fixtures of the scenarios: one release of the operator for all of their namespaces, one database.

fleet      of a scenario that runs at the same time as others (see `at_once.py`)
alone      a fleet for a test of a fault that all namespaces feel: the scenarios that run at once are over by then
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import psycopg
import pytest

from tests.cluster.conftest import Release, image_values
from tests.cluster.faults.at_once import Scenarios
from tests.cluster.faults.fleet import Fleet
from tests.cluster.faults.ledger_jobs import TABLE
from tests.cluster.faults.site import Site
from tests.support.cluster.cluster import RESTRICTED, Cluster
from tests.support.cluster.database import PodPostgres

ALONE = 10
"""Namespaces for tests that run alone; each has its own, because deleting one takes a while."""


@pytest.fixture(scope="session")
def shared_database(postgres: PodPostgres) -> Iterator[str]:
    """URL of a database with the scenarios' ledger; each scenario has a queue of its own."""
    with postgres.database() as found:
        with psycopg.connect(found.owner, autocommit=True) as connection:
            connection.execute(TABLE.encode())
        yield found.owner


@pytest.fixture(scope="session")
def site(
    cluster: Cluster, images: Mapping[str, str], installed_chart: Release, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """The operator in a namespace under Pod Security `restricted`, watching the scenarios' namespaces."""
    run = secrets.token_hex(2)
    names = [getattr(getattr(item, "function", None), "scenario", "") for item in request.session.items]
    watched = [Scenarios.namespace(name, run) for name in names if name]
    watched += [f"alone-{number}-{run}" for number in range(ALONE)]
    operator = f"penstock-{run}"
    for namespace in (operator, *watched):
        cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": RESTRICTED}})
    site = Site(
        cluster=cluster,
        namespace=operator,
        worker_image=images["worker"],
        values=image_values(images),
        watched=watched,
    )
    try:
        site.install()
        yield site
    finally:
        site.cluster.helm("uninstall", "penstock", "--namespace", operator, "--ignore-not-found", "--wait")
        for namespace in (operator, *watched):
            cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def scenarios(site: Site, shared_database: str, request: pytest.FixtureRequest) -> Iterator[Scenarios]:
    """Those that were collected, running."""
    names = [getattr(getattr(item, "function", None), "scenario", "") for item in request.session.items]
    run = site.namespace.rpartition("-")[2]
    running = Scenarios(
        [name for name in names if name],
        lambda name: Fleet(site=site, name=Scenarios.namespace(name, run), url=shared_database),
    )
    yield running
    running.close()


@pytest.fixture
def alone(site: Site, shared_database: str, scenarios: Scenarios, alone_names: Iterator[str]) -> Iterator[Fleet]:
    """A fleet, when no scenario runs any more."""
    scenarios.wait()
    fleet = Fleet(site=site, name=next(alone_names), url=shared_database)
    fleet.create()
    yield fleet
    fleet.delete()


@pytest.fixture(scope="session")
def alone_names(site: Site) -> Iterator[str]:
    """Namespaces that were made for them."""
    return iter([name for name in site.watched if name.startswith("alone-")])
