"""examples/search_index.py: an index that is killed and goes on equals one that was built afresh."""

import importlib.util
import mailbox
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tallystick
from tallystick.stores.mail import import_mail, open_source

EXAMPLE = Path(__file__).parent.parent / "examples" / "search_index.py"
MAIL = "From: Anna <anna{0}@example.org>\nSubject: Order {0}\nMessage-ID: <{0}@example.org>\n\nSend {0} barrels\n"


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("search_index", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def site(site_url, tmp_path):
    box = mailbox.Maildir(str(tmp_path / "Maildir"), create=True)
    for number in range(60):
        box.add(MAIL.format(number))
    old = box.add_folder("Old")
    old.add(MAIL.format(1000))
    old.close()
    box.close()
    with tallystick.open(site_url, create=True) as opened:
        import_mail(opened.server().create_user("anna").store, open_source(f"maildir:{tmp_path}/Maildir"))
        yield opened


@pytest.fixture
def store(site):
    return site.server().user("anna").store


def rebuilt(example, store):
    index = example.SearchIndex(":memory:")
    index.update(store)
    return index.content()


def test_it_finds_mail_by_its_text(example, store):
    index = example.SearchIndex(":memory:")
    index.update(store)
    assert index.search("barrels AND 42") == [("Order 42", "Anna <anna42@example.org>")]


def test_it_follows_everything_that_happens(example, store):
    index = example.SearchIndex(":memory:")
    assert index.update(store) >= 61
    assert index.update(store) == 0
    items = list(store.inbox.items())
    items[0].subject = "changed"
    items[1].delete()
    items[2].move(store.folder("Old"))
    items[3].read = not items[3].read
    assert index.update(store) > 0
    assert index.content() == rebuilt(example, store)
    store.subtree.delete(store.folder("Old"))
    index.update(store)
    assert index.content() == rebuilt(example, store)


def test_an_index_that_fails_on_the_way_goes_on_where_it_was(example, store, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "PAGE", 7)
    path = str(tmp_path / "index.db")
    for patience in (3, 20, 33):
        index = example.SearchIndex(path)
        add, count = index.add, iter(range(patience))

        def dying(item, folder, add=add, count=count):
            if next(count, None) is None:
                raise KeyboardInterrupt
            add(item, folder)

        index.add = dying
        with pytest.raises(KeyboardInterrupt):
            index.update(store)
        index.database.close()
        next(iter(store.inbox.items())).delete()
    index = example.SearchIndex(path)
    index.update(store)
    assert index.content() == rebuilt(example, store)


def test_a_killed_process_loses_nothing(example, site, store, tmp_path):
    path = str(tmp_path / "index.db")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, str(EXAMPLE), site.name, "anna", path, "--follow"], env=environment)
    _wait_for_rows(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    next(iter(store.inbox.items())).delete()
    store.inbox.create_item(subject="meanwhile", text="text")
    index = example.SearchIndex(path)
    index.update(store)
    assert index.content() == rebuilt(example, store)


def _wait_for_rows(path):
    for _ in range(600):
        try:
            connection = sqlite3.connect(path)
            found = connection.execute("SELECT count(*) FROM place").fetchone()[0]
            connection.close()
            if found:
                return
        except sqlite3.OperationalError:
            connection.close()
        time.sleep(0.05)
    pytest.fail("nothing was indexed in half a minute")
