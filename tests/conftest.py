"""What every test may count on: a small, repeatable hypothesis profile; PostgreSQL where one can be reached."""

import os
import socket
import uuid
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow]
settings.register_profile("default", max_examples=100, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.load_profile(os.environ.get("TALLYSTICK_TEST_PROFILE", "default"))


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a PostgreSQL server on which tests may create databases; skips where none answers."""
    psycopg = pytest.importorskip("psycopg")
    url = os.environ.get("TALLYSTICK_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at TALLYSTICK_TEST_POSTGRESQL or 127.0.0.1:5432: {error}")
    return url


@pytest.fixture
def postgresql_database(postgresql_server):
    """The URL of an empty PostgreSQL database that nobody else has, dropped afterwards."""
    import psycopg

    name = f"tally_test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(postgresql_server)._replace(path="/" + name).geturl()
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgresql_pool(postgresql_server):
    """Hands out empty databases that are used again once they are emptied: making one costs a second."""
    import psycopg

    idle, made = [], []
    with psycopg.connect(postgresql_server, autocommit=True) as server:

        def take():
            if idle:
                return idle.pop()
            made.append(f"tally_test_{uuid.uuid4().hex}")
            server.execute(f'CREATE DATABASE "{made[-1]}" TEMPLATE template0')
            return urlsplit(postgresql_server)._replace(path="/" + made[-1]).geturl()

        def give(url):
            name = urlsplit(url).path[1:]
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET client_min_messages = warning; DROP SCHEMA IF EXISTS tally CASCADE")
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            idle.append(url)

        yield take, give
        for name in made:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["redis://127.0.0.1:6379", "nats://127.0.0.1:4222"])
def carrier_url(request):
    """The URL of each server that carries hints; skips where none answers."""
    scheme, _, address = request.param.partition("://")
    pytest.importorskip(scheme)
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError as error:
        pytest.skip(f"no {scheme} server at {address}: {error}")
    return request.param


def pytest_generate_tests(metafunc):
    """Whoever asks for ``site_url`` runs on every engine, or on those that its module names in ENGINES."""
    if "site_url" in metafunc.fixturenames:
        engines = getattr(metafunc.module, "ENGINES", ("sqlite", "postgresql"))
        metafunc.parametrize("site_url", engines, indirect=True)


@pytest.fixture
def site_url(request, tmp_path_factory):
    """The path or URL of a database that is not a site yet, on each engine in turn."""
    if request.param == "sqlite":
        yield str(tmp_path_factory.mktemp("site") / "site.db")
        return
    take, give = request.getfixturevalue("postgresql_pool")
    url = take()
    yield url
    give(url)
