"""A fresh site seen through the compatibility face, and an importer that writes down what it is told."""

import pytest

from tallystick.compat import kopano


class Recorder:
    """Writes down callbacks: ``U subject new``, ``D sourcekey soft``, ``R subject True``."""

    def __init__(self):
        self.told = []
        self.objects = []

    def update(self, item, flags):
        self.told.append(("U", item.subject, flags))
        self.objects.append(item)

    def delete(self, item, flags):
        self.told.append(("D", item.sourcekey, flags))
        self.objects.append(item)

    def read(self, item, status):
        self.told.append(("R", item.sourcekey, status))
        self.objects.append(item)


@pytest.fixture
def server(site_url):
    with kopano.server(server_socket=site_url) as opened:
        yield opened


@pytest.fixture
def store(server):
    return server.create_user("user1").store


@pytest.fixture
def folder(store):
    return store.create_folder("f")


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture
def told():
    """What a synchronization tells and the state it gives."""

    def run(scope, state=None, **options):
        importer = Recorder()
        new = scope.sync(importer, state, **options)
        return importer.told, new

    return run
