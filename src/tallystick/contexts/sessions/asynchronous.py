"""Sessions for programs that await: the same calls, each carried out in a thread."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tallystick.contexts.context_sync import ContextSync
from tallystick.contexts.results import OperationResult
from tallystick.contexts.sessions.bindings import INTERVAL_MS, RETRIES, ContextManager
from tallystick.contexts.sessions.problems import SessionFailed
from tallystick.contexts.sessions.results import (
    ContextBindingsResult,
    ContextBindResult,
    ContextInfoResult,
    ContextSyncResult,
    DeleteResult,
    PlanResult,
)
from tallystick.contexts.sessions.session import RELEASE_SECONDS, CreateSessionParams, Session
from tallystick.contexts.sessions.sessions import Sessions


class AsyncContextManager:
    """See ``ContextManager``: every call of it, awaited."""

    def __init__(self, context: ContextManager) -> None:
        self._context = context

    async def bind(self, *contexts: ContextSync, wait_for_completion: bool = True) -> ContextBindResult:
        """See ``ContextManager.bind``."""
        return await asyncio.to_thread(self._context.bind, *contexts, wait_for_completion=wait_for_completion)

    async def list_bindings(self) -> ContextBindingsResult:
        """See ``ContextManager.list_bindings``."""
        return self._context.list_bindings()

    async def info(
        self, context_id: str | None = None, path: str | None = None, task_type: str | None = None
    ) -> ContextInfoResult:
        """See ``ContextManager.info``."""
        return self._context.info(context_id, path, task_type)

    async def sync(
        self,
        context_id: str | None = None,
        path: str | None = None,
        mode: str | None = None,
        max_retries: int = RETRIES,
        retry_interval: int = INTERVAL_MS,
        *,
        reconcile: str = "safe",
        confirm_deletions: bool = False,
    ) -> ContextSyncResult:
        """See ``ContextManager.sync``; awaiting it is waiting for its tasks."""
        return await asyncio.to_thread(
            self._context.sync,
            context_id,
            path,
            mode,
            max_retries,
            retry_interval,
            reconcile=reconcile,
            confirm_deletions=confirm_deletions,
        )

    async def plan(self, mode: str = "upload", context_id: str | None = None, path: str | None = None) -> PlanResult:
        """See ``ContextManager.plan``."""
        return await asyncio.to_thread(self._context.plan, mode, context_id, path)


class AsyncSession:
    """See ``Session``: create it with ``AsyncSession.create``, end it with ``delete`` or ``async with``."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.context = AsyncContextManager(session.context)

    @classmethod
    async def create(cls, sessions: Sessions, params: CreateSessionParams) -> Self:
        """A session with its contexts mounted and downloaded. Raises SessionFailed, with nothing removed anywhere."""
        result = await asyncio.to_thread(sessions.create, params)
        if result.success and result.session is not None:
            return cls(result.session)
        if result.session is not None:
            await asyncio.to_thread(result.session.context.close)
        raise SessionFailed(result.error_message)

    async def delete(
        self, sync_context: bool = False, *, force: bool = False, timeout: float = RELEASE_SECONDS
    ) -> DeleteResult:
        """See ``Session.delete``."""
        return await asyncio.to_thread(self.session.delete, sync_context, force=force, timeout=timeout)

    async def pause(self) -> OperationResult:
        """See ``Session.pause``."""
        return await asyncio.to_thread(self.session.pause)

    async def resume(self) -> OperationResult:
        """See ``Session.resume``."""
        return await asyncio.to_thread(self.session.resume)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.session.__exit__, kind, problem, trace)
