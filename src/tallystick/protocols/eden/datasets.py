"""Public data sets as a source: tasks from the peer, the first pull from an archive (spec: section 15)."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote, urlsplit

from tallystick.errors import PeerProtocolError
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.elements import Document, Resource
from tallystick.protocols.eden.codec.encoding import given
from tallystick.protocols.eden.codec.times import format_time, next_second, parse_time
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.errors import DocumentTooLarge, TimeFormatError
from tallystick.protocols.eden.settings import read_task
from tallystick.protocols.eden.store import Dataset, EdenStore, Repository, Task

ARCHIVE_BYTES = 512 * 1024 * 1024
MEMBERS = 1000


def refresh(
    store: EdenStore, peer: EdenPeer, repository: Repository, new_uuid: Callable[[], str], now: datetime
) -> Repository:
    """Brings the tasks of the repository's data sets up to date; gives the repository with its new ``last_refresh``.

    Everything is asked for again where a data set is named of which no task is known. Raises what ``EdenPeer`` raises;
    nothing is changed then.
    """
    known = {task.uuid: task for task in store.tasks() if task.repository == repository.uuid and task.dataset}
    told = {task.dataset for task in known.values()} >= set(repository.datasets)
    codes = quote(",".join(repository.datasets), safe=",")
    since = f"&msince={format_time(repository.last_refresh)}" if repository.last_refresh and told else ""
    fresh = peer.get(f"sync/task.xml?~.dataset_id$code={codes}{since}")
    gone: list[Resource] = []
    if since:
        gone = peer.get(f"sync/task.xml?include_deleted=True&~.deleted=True{since}").resources
    for uuid in _ended(known, fresh, repository, whole=not since):
        store.remove_task(uuid)
    for resource in fresh.resources:
        if resource.name == "sync_task" and not resource.deleted and resource.uuid:
            before = known.get(resource.uuid)
            task = read_task(resource, repository.uuid, before, new_uuid, now)
            store.save_task(_asked_anew(replace(task, dataset=_dataset_of(resource, fresh)), resource, before))
    for resource in gone:
        if resource.name == "sync_task" and resource.deleted and resource.uuid in known:
            store.remove_task(resource.uuid)
    times = [parse_time(one.modified_on) for one in (*fresh.resources, *gone) if one.modified_on]
    newest = max(times, default=None)
    last = repository.last_refresh if newest is None else next_second(newest)
    return store.save_repository(replace(repository, last_refresh=last))


def _ended(known: Mapping[str, Task], fresh: Document, repository: Repository, *, whole: bool) -> list[str]:
    """Tasks of data sets that are not wanted any more, and those that an answer with everything does not hold."""
    there = {one.uuid for one in fresh.resources}
    return [
        uuid for uuid, task in known.items() if task.dataset not in repository.datasets or (whole and uuid not in there)
    ]


def _asked_anew(task: Task, resource: Resource, before: Task | None) -> Task:
    """The task as the peer describes it: without filters there are none, and what other ones hid is asked for."""
    filtered = any(one.name == "sync_resource_filter" for one in resource.components)
    task = task if filtered else replace(task, filters=())
    if before is None or (task.filters, task.resource) == (before.filters, before.resource):
        return task
    return replace(task, last_pull=None, state=None)


def _dataset_of(task: Resource, document: Document) -> str | None:
    """The code of the data set that a task belongs to."""
    uuids = next((one.uuids for one in task.references if one.field == "dataset_id"), ())
    for resource in document.resources:
        if resource.name == "sync_dataset" and resource.uuid in uuids:
            return next((one.text for one in resource.data if one.field == "code"), None)
    return None


def find_dataset(peer: EdenPeer, code: str) -> Dataset | None:
    """The data set of that code at the peer, or None."""
    document = peer.get(f"sync/dataset.xml?~.code={quote(code)}&mcomponents=None")
    resource = next((one for one in document.resources if one.name == "sync_dataset" and one.uuid), None)
    if resource is None:
        return None
    values = {one.field: given(one) for one in resource.data}
    url = values.get("archive_url")
    return Dataset(
        resource.uuid or "",
        code,
        str(values.get("name") or code),
        str(url) if url else None,
        values.get("use_archive") is True,
        modified_on=_time(resource.modified_on),
    )


def _time(text: str | None) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except TimeFormatError:
        return None


def read_archive(peer: EdenPeer, dataset: Dataset) -> dict[str, Document]:
    """The documents of a data set's archive, by the uuid of their task; empty when it has none.

    A relative URL is fetched from the peer with credentials. Any other is refused unless it names the peer's own host:
    no peer makes us fetch what it chose (section 17). Raises PeerProtocolError and DocumentTooLarge.
    """
    if not dataset.use_archive or not dataset.archive_url:
        return {}
    relative = dataset.archive_url.startswith("/") and not dataset.archive_url.startswith("//")
    url = peer.url + dataset.archive_url if relative else dataset.archive_url
    if not relative and urlsplit(url).netloc != urlsplit(peer.url).netloc:
        raise PeerProtocolError(
            f"the archive of {dataset.code} lies on another host, {urlsplit(url).hostname}",
            hint="download it yourself and import it, or switch the archive off at the peer",
        )
    return archive_documents(peer.download(url, ARCHIVE_BYTES, credentials=relative), peer)


def archive_documents(body: bytes, peer: EdenPeer) -> dict[str, Document]:
    """The ``<task uuid>.xml`` members of a ZIP archive. Sizes are checked as they are unpacked, not as announced."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(body))
    except zipfile.BadZipFile as error:
        raise PeerProtocolError(f"the archive cannot be read: {error}") from None
    names = [name for name in archive.namelist() if name.endswith(".xml") and "/" not in name]
    if len(names) > MEMBERS:
        raise DocumentTooLarge(f"the archive holds {len(names)} documents, {MEMBERS} are accepted")
    found, left = {}, peer.limits.document_bytes
    for name in names:
        content = _member(archive, name, left + 1)
        left -= len(content)
        if left < 0:
            raise DocumentTooLarge(f"the archive unpacks to more than {peer.limits.document_bytes} bytes")
        found[name.removesuffix(".xml")] = read_xml(content, peer.limits)
    return found


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        with archive.open(name) as member:
            return member.read(limit)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise PeerProtocolError(f"{name} in the archive cannot be read: {error}") from None


def archive_of(documents: Mapping[str, Iterable[bytes]]) -> bytes:
    """The ZIP archive of a hosted data set, from its documents by task uuid, each read piece by piece."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for uuid, pieces in documents.items():
            with archive.open(f"{uuid}.xml", "w") as member:
                for piece in pieces:
                    member.write(piece)
    return written.getvalue()
