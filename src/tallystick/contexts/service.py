"""The context service: contexts and their files by name and key, for programs (spec contexts A.2).

Works on every host of contexts: a site on this machine, or a served one. Failures are returned with their code in
``error_message``; a host that cannot be reached raises where the specification says so.
"""

from __future__ import annotations

import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeVar

from tallystick.contexts.archives import archive_at
from tallystick.contexts.entries import DIRECTORY, packed, unpacked
from tallystick.contexts.host import ContextHost, ContextInfo, Listed
from tallystick.contexts.keys import normal
from tallystick.contexts.problems import ClearanceTimeoutError, FileNotHeld
from tallystick.contexts.publishing import ANY
from tallystick.contexts.results import (
    ClearContextResult,
    Context,
    ContextFileEntry,
    ContextFileListResult,
    ContextListParams,
    ContextListResult,
    ContextResult,
    FileUrlResult,
    OperationResult,
    Result,
)
from tallystick.errors import PeerUnreachable, TallystickError, UsageError, ValueRejected

PAGE_SIZE = 10
R = TypeVar("R", bound=Result)


class ContextService:
    """Contexts of one host. ``bound`` gives the identifiers of contexts that a session has bound.

    ``wait`` sleeps that many seconds: ``clear`` polls with it.
    """

    def __init__(
        self,
        host: ContextHost,
        bound: Callable[[str], frozenset[str]] = lambda session: frozenset(),
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.host = host
        self._bound = bound
        self._wait = wait

    # Contexts ---------------------------------------------------------------------------------------------------------

    def get(self, name: str | None = None, create: bool = False, context_id: str | None = None) -> ContextResult:
        """The context of a name or identifier; ``create`` makes one of that name where there is none.

        Raises UsageError without either, or when one is to be created by identifier.
        """
        if not name and not context_id:
            raise UsageError("Either 'name' or 'context_id' must be provided", hint="give one of them")
        if create and context_id:
            raise UsageError("Cannot create context using context_id", hint="give a name")

        def found() -> ContextResult:
            info = self.host.create(str(name)) if create else self._found(name, context_id)
            return ContextResult(context_id=info.id, context=_context(info))

        return _answered(ContextResult, found)

    def _found(self, name: str | None, identifier: str | None) -> ContextInfo:
        info = self.host.find(str(name or identifier))
        if (name and info.name != name) or (identifier and info.id != identifier):
            from tallystick.contexts.problems import ContextNotFound

            raise ContextNotFound.of(str(name or identifier))
        return info

    def create(self, name: str) -> ContextResult:
        """The context of this name, made now when there is none."""
        return self.get(name, create=True)

    def list(self, params: ContextListParams | None = None) -> ContextListResult:
        """A page of contexts, by creation, then identifier."""
        asked = params or ContextListParams()

        def found() -> ContextListResult:
            infos = self.host.contexts()
            if asked.session_id is not None:
                bound = self._bound(asked.session_id)
                infos = [info for info in infos if info.id in bound]
            most = PAGE_SIZE if asked.max_results is None else asked.max_results
            if most < 1:
                raise UsageError("a page holds at least one context", hint="ask for more, or leave max_results unset")
            start = _position(asked.next_token, "contexts")
            page = infos[start : start + most]
            token = _token("contexts", start + most) if start + most < len(infos) else ""
            return ContextListResult(
                contexts=[_context(info) for info in page], next_token=token, max_results=most, total_count=len(infos)
            )

        return _answered(ContextListResult, found)

    def update(self, context: Context) -> OperationResult:
        """Give a context the name that it has here. Raises PeerUnreachable."""
        return _answered(
            OperationResult, lambda: _done(self.host.rename(context.id, context.name)), raises=PeerUnreachable
        )

    def delete(self, context: Context) -> OperationResult:
        """Remove a context with its files and history. Raises PeerUnreachable."""
        return _answered(OperationResult, lambda: self._deleted(context.id), raises=PeerUnreachable)

    def _deleted(self, context_id: str) -> OperationResult:
        self.host.delete(context_id)
        return OperationResult()

    # Files ------------------------------------------------------------------------------------------------------------

    def get_file_upload_url(self, context_id: str, file_path: str) -> FileUrlResult:
        """A URL that takes one plain PUT of the file's content, for an hour."""
        return _answered(FileUrlResult, lambda: self._url(context_id, file_path, "PUT"))

    def get_file_download_url(self, context_id: str, file_path: str) -> FileUrlResult:
        """A URL that answers plain GETs, with Range, for an hour. Unsuccessful for a file that is not there."""

        def found() -> FileUrlResult:
            if archive_at(self.host, context_id, _key(file_path)) is None:
                self._file(context_id, file_path)
            return self._url(context_id, file_path, "GET")

        return _answered(FileUrlResult, found)

    def _url(self, context_id: str, file_path: str, method: str) -> FileUrlResult:
        made = self.host.signed_url(context_id, _key(file_path), method)
        return FileUrlResult(url=made.url, expire_time=made.expire_time)

    def _file(self, context_id: str, file_path: str) -> str:
        key = _key(file_path)
        entry = self.host.entries(context_id, [key]).get(key)
        if entry is None or entry.kind == DIRECTORY:
            raise FileNotHeld(f"[FileNotFound] the context holds no file {unpacked(key)!r}")
        return key

    def list_files(
        self,
        context_id: str,
        parent_folder_path: str,
        page_number: int = 1,
        page_size: int = 50,
        max_results: int | None = None,
        next_token: str | None = None,
    ) -> ContextFileListResult:
        """One level of a context, in code-point order; an absent folder is an empty one.

        A token or maximum selects paging by token, else pages count from 1.
        """

        def found() -> ContextFileListResult:
            folder = _folder(parent_folder_path)
            by_token = max_results is not None or next_token is not None
            most = page_size if not by_token else PAGE_SIZE if max_results is None else max_results
            if most < 1 or page_number < 1:
                raise UsageError("pages count from 1 and hold at least one entry", hint="ask for page 1")
            start = _position(next_token, folder) if by_token else (page_number - 1) * page_size
            level = self.host.folder(context_id, folder, start, most)
            more = by_token and start + most < level.count
            return ContextFileListResult(
                entries=[_file_entry(context_id, item) for item in level.entries],
                count=level.count,
                next_token=_token(folder, start + most) if more else "",
            )

        return _answered(ContextFileListResult, found)

    def delete_file(self, context_id: str, file_path: str) -> OperationResult:
        """Remove one file; unsuccessful for a folder and for what is not there."""

        def work() -> OperationResult:
            key = self._file(context_id, file_path)
            return _done(self.host.publish(context_id, ANY, [(key, None)]))

        return _answered(OperationResult, work)

    # Clearing ---------------------------------------------------------------------------------------------------------

    def clear_async(self, context_id: str) -> ClearContextResult:
        """Begin to empty a context, which keeps its identifier and name. Raises PeerUnreachable."""

        def work() -> ClearContextResult:
            self.host.clear(context_id)
            return ClearContextResult(status="clearing", context_id=context_id)

        return _answered(ClearContextResult, work, raises=PeerUnreachable)

    start_clear = clear_async

    def get_clear_status(self, context_id: str) -> ClearContextResult:
        """How far clearing is; ``available`` when it is done."""
        return _answered(
            ClearContextResult,
            lambda: ClearContextResult(status=self.host.find(context_id).status, context_id=context_id),
        )

    def clear(self, context_id: str, timeout: float = 60, poll_interval: float = 2.0) -> ClearContextResult:
        """Empty a context and wait until that is done. Raises ClearanceTimeoutError, PeerUnreachable."""
        started = self.clear_async(context_id)
        if not started.success:
            return started
        for _ in range(int(timeout / poll_interval)):
            found = self.get_clear_status(context_id)
            if not found.success or found.status == "available":
                return found
            self._wait(poll_interval)
        raise ClearanceTimeoutError(f"[ClearanceTimeout] clearing {context_id} timed out after {timeout} seconds")


def _answered(kind: type[R], work: Callable[[], R], raises: type[TallystickError] | tuple[()] = ()) -> R:
    """The result of work, or of its failure."""
    request = uuid.uuid4().hex
    try:
        result = work()
        result.success = True
    except raises:
        raise
    except TallystickError as problem:
        result = kind(error_message=message_of(problem))
    result.request_id = request
    return result


def message_of(problem: TallystickError) -> str:
    """``[Code] Message`` of an error, wherever it was raised."""
    _, bracket, rest = problem.message.partition("[")
    return f"[{rest}" if bracket and rest.startswith(f"{problem.code}]") else f"[{problem.code}] {problem.message}"


def _done(_: object) -> OperationResult:
    return OperationResult()


def _context(info: ContextInfo) -> Context:
    return Context(info.id, info.name, _moment(info.created_at), _moment(info.last_used_at))


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _file_entry(context_id: str, item: Listed) -> ContextFileEntry:
    path = unpacked(item.key)
    return ContextFileEntry(
        file_id=sha256(f"{context_id}\0{item.key}".encode()).hexdigest()[:32],
        file_name=path.rpartition("/")[2],
        file_path=path,
        file_type="FOLDER" if item.kind == DIRECTORY else "FILE",
        gmt_create=_moment(item.created_at),
        gmt_modified=_moment(item.modified_at),
        size=item.size,
    )


def _key(path: str) -> str:
    key = _folder(path)
    if not key:
        raise ValueRejected("[InvalidPath] a file path is needed", code="InvalidPath", hint="like /folder/file")
    return key


def _folder(path: str) -> str:
    return packed(normal(path if path.startswith("/") else f"/{path}"))


def _token(what: str, position: int) -> str:
    """An opaque token: where the next page of a listing begins."""
    return urlsafe_b64encode(f"{position}:{sha256(what.encode()).hexdigest()[:16]}".encode()).decode()


def _position(token: str | None, what: str) -> int:
    """Where the page of a token begins. Raises ValueRejected for one that is none of this listing."""
    if not token:
        return 0
    try:
        position, _, mark = urlsafe_b64decode(token.encode()).decode().partition(":")
        if mark == sha256(what.encode()).hexdigest()[:16] and position.isdigit():
            return int(position)
    except (Base64Error, ValueError):
        pass
    raise ValueRejected("[InvalidToken] this is no token of this listing", code="InvalidToken", hint="start again")
