"""The world of the suites: one database per job, cloned from one that was filled once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from shared.integrations import files
from shared.jobs.registry import AnyJob, Registry, load_registry
from tests.builders.pictures import resolver
from tests.conftest import as_login, with_database
from tests.suites import counts
from tests.suites.lab import Lab
from tests.suites.marks import acme, globex
from tests.suites.store import Store
from tests.suites.vendors import Vendors
from tests.suites.world import World, build, schemas

JOBS = sorted(load_registry().jobs)
TENANT_JOBS = sum(job.tenants != "system" for job in load_registry())
"""Jobs that run for a tenant."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for `lab` runs once per declared job."""
    if "lab" in metafunc.fixturenames:
        metafunc.parametrize("lab", JOBS, indirect=True, scope="session")


@pytest.fixture(scope="session")
def vendors() -> Iterator[Vendors]:
    vendors = Vendors.start()
    yield vendors
    vendors.stop()


@pytest.fixture(scope="session")
def filled(server_url: str, template: str, registry: Registry, vendors: Vendors) -> World:
    """The world, made once; its database is FILLED."""
    name = filled_name()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}"')
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    url = with_database(server_url, name)
    with psycopg.connect(url, autocommit=True) as admin:
        return build(admin, as_login(url), registry, vendors)


def filled_name() -> str:
    return f"cgk_filled_{os.getpid()}"


OpenLab = Callable[[AnyJob], AbstractContextManager[Lab]]


@pytest.fixture(scope="session")
def open_lab(server_url: str, filled: World, vendors: Vendors) -> OpenLab:
    """open_lab(job): the job in a database of its own, dropped at the end of the block."""

    @contextmanager
    def opened(job: AnyJob) -> Iterator[Lab]:
        name = f"cgk_lab_{os.getpid()}_{job.id.replace('-', '_')}"[:60]
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{filled_name()}" STRATEGY FILE_COPY')
        url = with_database(server_url, name)
        with psycopg.connect(url, autocommit=True) as admin:
            ids = {side.slug: side.organization_id for side in filled.sides}
            world = World(acme(ids["acme"]), globex(ids["globex"]), filled.sown)
            made = Lab(job, Store.open(admin, schemas(world.sides)), world, vendors, as_login(url))
            yield made
            made.close()
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    return opened


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, open_lab: OpenLab, registry: Registry) -> Iterator[Lab]:
    """The job in a database of its own, which every case puts back. All tests of a job follow one another."""
    with open_lab(registry.jobs[request.param]) as made:
        yield made


@pytest.fixture(autouse=True)
def offline(vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names resolve without asking anybody, and the platform's bucket is in memory."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver({}))
    monkeypatch.setattr(files, "_s3", lambda: vendors.bucket)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> counts.Count:
    """count("crash points", 12): for the lines at the end of the session."""
    return counts.Count(request.node.user_properties)
