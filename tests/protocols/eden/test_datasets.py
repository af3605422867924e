"""Public data sets: tasks from the peer, the first pull from an archive (section 15)."""

import io
import zipfile
from dataclasses import replace

import pytest

from tallystick.core.policies import Method
from tallystick.errors import PeerProtocolError, PeerRefused
from tallystick.protocols.eden.answering import Pull, answer_pull
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.filters import parse_filter_string
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.datasets import archive_documents, archive_of, find_dataset, read_archive, refresh
from tallystick.protocols.eden.errors import DoctypeRefused, DocumentTooLarge
from tallystick.protocols.eden.store import Dataset, Mode, Repository, Task
from tallystick.protocols.eden.synchronizing import Active

ORG = "org_organisation"
T1, T2 = "urn:uuid:task-1", "urn:uuid:task-2"


@pytest.fixture
def hosted(there):
    """A site that hosts a data set of one task, with an archive made earlier."""
    there.put("urn:uuid:a", "Shelter one")
    dataset = Dataset("urn:uuid:ds", "relief", "Relief", "/default/download/relief.zip", True, 1, there.now)
    there.store.saved_datasets[dataset.uuid] = dataset
    host_task(there, T1)
    found = answer_pull(there.store, Pull(there.store.table(ORG)), "http://there/eden", there.now)
    document = b"".join(write_xml(found.attributes, found.resources))
    there.provider.archive = {"relief.zip": archive_of({T1: [document]})}.get
    return there


def host_task(site, uuid):
    site.store.save_task(
        Task(
            uuid,
            None,
            ORG,
            Mode.PULL,
            frozenset({Method.CREATE, Method.UPDATE}),
            filters=parse_filter_string(ORG, ORG, "~.name__like=S*"),
            dataset="urn:uuid:ds",
            modified_on=site.now,
        )
    )


@pytest.fixture
def source(here, hosted):
    repository = Repository(
        "urn:uuid:site-there", "there", url="http://there/eden", apitype="data", datasets=("relief",)
    )
    return here.store.save_repository(repository)


def refreshed(here, hosted, repository):
    return refresh(here.store, here.peer(hosted), repository, lambda: "urn:uuid:new", here.now)


def test_the_tasks_come_from_the_peer(here, hosted, source):
    after = refreshed(here, hosted, source)
    (task,) = here.store.tasks()
    assert (task.uuid, task.resource, task.mode, task.dataset) == (T1, ORG, Mode.PULL, "relief")
    assert task.strategy == {Method.CREATE, Method.UPDATE}
    assert task.filters == parse_filter_string(ORG, ORG, "~.name__like=S*")
    assert after.last_refresh > here.now


def test_a_second_refresh_asks_for_what_is_new_and_what_is_gone(network, here, hosted, source):
    after = refreshed(here, hosted, source)
    network.pass_time(here, hosted)
    host_task(hosted, T2)
    after = refreshed(here, hosted, after)
    assert {task.uuid for task in here.store.tasks()} == {T1, T2}
    urls = [url for _, url, _ in here.wire.requests][-2:]
    assert "&msince=" in urls[0]
    assert "include_deleted=True&~.deleted=True" in urls[1]
    assert refreshed(here, hosted, after).last_refresh == after.last_refresh


def test_the_first_pull_uses_the_archive_and_the_next_asks_from_there(network, here, hosted, source):
    refreshed(here, hosted, source)
    network.pass_time(here, hosted)
    hosted.put("urn:uuid:b", "Shelter two, after the archive was made")
    active = Active(here.store, here.peer(hosted), source, lambda: here.now)
    assert active.pull(here.store.saved_tasks[T1]).error is None
    assert here.names() == {"Shelter one"}
    assert "download" in here.wire.requests[-1][1]
    assert active.pull(here.store.saved_tasks[T1]).error is None
    assert here.names() == {"Shelter one", "Shelter two, after the archive was made"}


def test_a_data_set_without_archive_is_pulled(here, hosted, source):
    hosted.store.saved_datasets["urn:uuid:ds"].use_archive = False
    refreshed(here, hosted, source)
    active = Active(here.store, here.peer(hosted), source, lambda: here.now)
    assert active.pull(here.store.saved_tasks[T1]).error is None
    assert here.names() == {"Shelter one"}


def test_a_data_set_that_the_peer_does_not_have_is_none(here, hosted):
    assert find_dataset(here.peer(hosted), "other") is None
    assert find_dataset(here.peer(hosted), "relief").name == "Relief"


@pytest.mark.parametrize("url", ("http://evil.example/x.zip", "//evil.example/x.zip", "https://there.evil.example/x"))
def test_an_archive_elsewhere_is_not_fetched(here, hosted, url):
    dataset = replace(find_dataset(here.peer(hosted), "relief"), archive_url=url)
    before = len(here.wire.requests)
    with pytest.raises(PeerProtocolError, match="lies on another host"):
        read_archive(here.peer(hosted), dataset)
    assert len(here.wire.requests) == before


def test_an_archive_under_a_full_url_of_the_peer_is_fetched_without_credentials(here, hosted):
    dataset = replace(
        find_dataset(here.peer(hosted), "relief"), archive_url="http://there/eden/default/download/relief.zip"
    )
    with pytest.raises(PeerRefused):
        read_archive(here.peer(hosted), dataset)


def zipped(**members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", ".") if name.endswith("_xml") else name, content)
    return written.getvalue()


def test_an_archive_that_unpacks_to_too_much_is_refused(here, hosted):
    peer = here.peer(hosted)
    peer.limits = peer.limits._replace(document_bytes=100_000)
    bomb = zipped(a_xml=b"<s3xml>" + b" " * 10_000_000 + b"</s3xml>")
    assert len(bomb) < 20_000
    with pytest.raises(DocumentTooLarge, match="unpacks to more"):
        archive_documents(bomb, peer)


def test_hostile_archives_are_named_errors(here, hosted):
    peer = EdenPeer("http://there/eden", here.wire)
    with pytest.raises(PeerProtocolError, match="cannot be read"):
        archive_documents(b"no zip", peer)
    with pytest.raises(DoctypeRefused):
        archive_documents(zipped(a_xml=b"<!DOCTYPE s3xml><s3xml/>"), peer)
    damaged = bytearray(zipped(a_xml=b"<s3xml>" + b"abc" * 50 + b"</s3xml>"))
    damaged[40] ^= 0xFF
    with pytest.raises(PeerProtocolError, match="cannot be read"):
        archive_documents(bytes(damaged), peer)


def test_members_with_a_path_are_left_alone(here, hosted):
    peer = here.peer(hosted)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("../../etc/x.xml", "<s3xml/>")
        archive.writestr("t.xml", "<s3xml/>")
        archive.writestr("readme.txt", "x")
    assert list(archive_documents(written.getvalue(), peer)) == ["t"]


def test_the_recorded_archive_is_read(here, hosted):
    from pathlib import Path

    path = Path(__file__).parents[2] / "interop" / "eden" / "samples" / "passive" / "182-archive-download.res"
    documents = archive_documents(path.read_bytes().partition(b"\r\n\r\n")[2], here.peer(hosted))
    (document,) = documents.values()
    assert next(iter(documents)) == "urn:uuid:090324fc-b53e-451c-8573-592188d46503"
    assert {one.name for one in document.resources} == {"org_sector"}
    assert document.domain is None
