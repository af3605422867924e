"""Contexts on a site: in SQLite and PostgreSQL on this machine, and behind HTTP."""

import time
import uuid
from contextlib import ExitStack
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tallystick import api
from tallystick.content.bundles import bundles_of
from tallystick.content.chunking import chunks_of
from tallystick.content.directory import DirectoryStore
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.entries import FILE, FileEntry, packed_parts
from tallystick.contexts.http.client import RemoteHost
from tallystick.contexts.local import LocalHost
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.reading import digest_of
from tallystick.trees.state import State
from tallystick.web.server import running


@pytest.fixture
def site(tmp_path):
    with api.open(tmp_path / "site.db", create=True) as found:
        yield found


@pytest.fixture
def local(site):
    host = LocalHost(site.ledger, "here", DirectoryStore(f"{site.ledger.engine.path}.content", durable=False))
    yield host
    host.close()


@pytest.fixture(scope="session")
def shared_database(postgresql_server):
    """The URL of an empty PostgreSQL database for all tests of contexts."""
    import psycopg

    name = f"tally_test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(postgresql_server)._replace(path="/" + name).geturl()
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session", params=("sqlite", "postgresql", "http"))
def hosting(request, tmp_path_factory):
    """Makes hosts of one site, which all tests share: each has contexts of its own."""
    place = tmp_path_factory.mktemp("contexts")
    with ExitStack() as stack:
        url = request.getfixturevalue("shared_database") if request.param == "postgresql" else str(place / "site.db")
        opened = stack.enter_context(api.open(url, create=True))
        LocalHost(opened.ledger, "here").close()
        if request.param == "postgresql":
            with opened.ledger.write():
                opened.ledger.put_meta("contexts.store", str(place / "content"))
        if request.param == "http":
            address = stack.enter_context(running(url))
            yield lambda: RemoteHost(address, wait=lambda _: None)
        else:
            yield lambda: LocalHost(opened.ledger, "here")


@pytest.fixture
def host(hosting):
    found = hosting()
    yield found
    found.close()


@pytest.fixture
def name():
    """A name that no other test gives a context."""
    return f"ws {uuid.uuid4().hex}"


@pytest.fixture
def context(host, name):
    return host.create(name)


def send(host, context, content):
    """Send content; gives (digest, chunks)."""
    cut = list(chunks_of(content))
    if cut:
        host.send(context.id, bundles_of(cut))
    return digest_of(content), packed_parts([(chunk.hash, len(chunk.data)) for chunk in cut])


def file_of(host, context, content, mode=0o644):
    """The entry of a file whose content was sent."""
    digest, chunks = send(host, context, content)
    return FileEntry(FILE, mode, len(content), 0, digest, chunks)


def tree(host, context, since="", prefix=""):
    """key -> entry of a manifest."""
    return {key: entry for page in host.manifest(context.id, since, prefix).pages for key, entry in page}


def mounted(tmp_path, hosting, name, context, prefix=""):
    """A directory and how to synchronize it with a context."""
    root = tmp_path / name
    root.mkdir(exist_ok=True)

    def run(**options):
        ends = DirectoryEnd(str(root), time.time_ns), ContextEnd(hosting(), context, prefix)
        pair = Pair(*ends, State(tmp_path / f"{name}.state"), time.time_ns)
        try:
            return pair.run(Options(durable=False, **options))
        finally:
            pair.close()

    return SimpleNamespace(root=root, run=run)


def shown(root):
    """path -> content, target or None (a directory) of a tree on this machine."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = path.readlink()
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found
