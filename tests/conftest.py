"""What every test may count on: a small, repeatable hypothesis profile; PostgreSQL where one can be reached."""

import os
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
