"""The context service for programs that await: the same calls, each in a thread of its own one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tallystick.contexts.results import (
    ClearContextResult,
    Context,
    ContextFileListResult,
    ContextListParams,
    ContextListResult,
    ContextResult,
    FileUrlResult,
    OperationResult,
)
from tallystick.contexts.service import ContextService

R = TypeVar("R")


class AsyncContextService:
    """See ``ContextService``: every call of it, awaited. ``opening`` makes the service in its thread."""

    def __init__(self, opening: Callable[[], ContextService]) -> None:
        self._opening = opening
        self._service: ContextService | None = None
        self._thread = ThreadPoolExecutor(1, "tally-context-service")

    async def _do(self, call: Callable[[ContextService], R]) -> R:
        def work() -> R:
            if self._service is None:
                self._service = self._opening()
            return call(self._service)

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def aclose(self) -> None:
        """Close the host and end the thread."""
        if self._service is not None:
            await self._do(lambda service: service.host.close())
        self._thread.shutdown()

    async def get(self, name: str | None = None, create: bool = False, context_id: str | None = None) -> ContextResult:
        """See ``ContextService.get``."""
        return await self._do(lambda service: service.get(name, create, context_id))

    async def create(self, name: str) -> ContextResult:
        """See ``ContextService.create``."""
        return await self._do(lambda service: service.create(name))

    async def list(self, params: ContextListParams | None = None) -> ContextListResult:
        """See ``ContextService.list``."""
        return await self._do(lambda service: service.list(params))

    async def update(self, context: Context) -> OperationResult:
        """See ``ContextService.update``."""
        return await self._do(lambda service: service.update(context))

    async def delete(self, context: Context) -> OperationResult:
        """See ``ContextService.delete``."""
        return await self._do(lambda service: service.delete(context))

    async def get_file_upload_url(self, context_id: str, file_path: str) -> FileUrlResult:
        """See ``ContextService.get_file_upload_url``."""
        return await self._do(lambda service: service.get_file_upload_url(context_id, file_path))

    async def get_file_download_url(self, context_id: str, file_path: str) -> FileUrlResult:
        """See ``ContextService.get_file_download_url``."""
        return await self._do(lambda service: service.get_file_download_url(context_id, file_path))

    async def list_files(
        self,
        context_id: str,
        parent_folder_path: str,
        page_number: int = 1,
        page_size: int = 50,
        max_results: int | None = None,
        next_token: str | None = None,
    ) -> ContextFileListResult:
        """See ``ContextService.list_files``."""
        given = (context_id, parent_folder_path, page_number, page_size, max_results, next_token)
        return await self._do(lambda service: service.list_files(*given))

    async def delete_file(self, context_id: str, file_path: str) -> OperationResult:
        """See ``ContextService.delete_file``."""
        return await self._do(lambda service: service.delete_file(context_id, file_path))

    async def clear_async(self, context_id: str) -> ClearContextResult:
        """See ``ContextService.clear_async``."""
        return await self._do(lambda service: service.clear_async(context_id))

    start_clear = clear_async

    async def get_clear_status(self, context_id: str) -> ClearContextResult:
        """See ``ContextService.get_clear_status``."""
        return await self._do(lambda service: service.get_clear_status(context_id))

    async def clear(self, context_id: str, timeout: float = 60, poll_interval: float = 2.0) -> ClearContextResult:
        """See ``ContextService.clear``."""
        return await self._do(partial(_clear, context_id=context_id, timeout=timeout, poll_interval=poll_interval))


def _clear(service: ContextService, context_id: str, timeout: float, poll_interval: float) -> ClearContextResult:
    return service.clear(context_id, timeout, poll_interval)
