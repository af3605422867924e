"""Sessions of one site: here and behind HTTP."""

import pytest

from tallystick import api
from tallystick.contexts import ContextSync, SyncPolicy
from tallystick.contexts.files import put_file
from tallystick.contexts.local import LocalHost
from tallystick.contexts.sessions.session import CreateSessionParams
from tallystick.web.server import running


@pytest.fixture
def site(tmp_path):
    with api.open(tmp_path / "site.db", create=True) as found:
        yield found


@pytest.fixture
def host(site):
    found = LocalHost(site.ledger, "here")
    yield found
    found.close()


@pytest.fixture
def context(host):
    return host.create("work").id


everywhere = pytest.mark.parametrize("sessions", ("local", "served"), indirect=True)


@pytest.fixture
def sessions(request, site, tmp_path):
    """Sessions of the site here; where a test says ``everywhere``, of the served site too."""
    if getattr(request, "param", "local") == "local":
        yield site.sessions
    else:
        with running(str(tmp_path / "site.db")) as address:
            yield api.sessions(address)


@pytest.fixture
def opened(sessions, tmp_path):
    """Makes sessions with a root each; all of them are ended."""
    made = []

    def create(*wanted, root=None, **given):
        number = len(made)
        params = CreateSessionParams(
            wanted, root=root or tmp_path / f"root{number}", memory=tmp_path / f"memory{number}", durable=False, **given
        )
        result = sessions.create(params)
        assert result.session is not None, result.error_message
        made.append(result.session)
        return result.session

    yield create
    for session in made:
        session.context.close()


def sync_of(context, path="/data", **parts):
    """A ContextSync under a policy of these parts; the rest are defaults."""
    return ContextSync(context, path, SyncPolicy(**parts) if parts else None)


def put(host, context, key, content):
    """Store a file as a program would."""
    put_file(host, context, key, [content], 1_700_000_000_000_000_000)


def keys(host, context):
    """key -> kind of all that a context holds."""
    return {key: entry.kind for page in host.manifest(context).pages for key, entry in page if entry is not None}


def files(host, context):
    """The keys of all files of a context."""
    return sorted(key for key, kind in keys(host, context).items() if kind != 3)


def write(session, path, content):
    """Write a file in a session."""
    target = session.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def last(session, task_type=None):
    """The newest row."""
    return session.context.info(task_type=task_type).context_status_data[-1]
