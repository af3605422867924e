"""The provider as an ASGI application: one route, then SData's own rules about URLs (spec 2, 3)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tallystick.errors import AccessDenied, AuthenticationRequired, TallystickError
from tallystick.protocols.sdata.codec.diagnoses import SDataCode
from tallystick.protocols.sdata.codec.discovery import Level, discovery_feed
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS, Limits
from tallystick.protocols.sdata.codec.feeds import write_feed
from tallystick.protocols.sdata.codec.json_form import write_feed_json
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.media_types import Form, answer_form
from tallystick.protocols.sdata.codec.names import (
    BATCH,
    FEED_TYPE,
    JSON_TYPE,
    LINKED,
    SCHEMA,
    SYNC_DIGEST,
    SYNC_RESULTS,
    SYNC_SOURCE,
    SYNC_TARGET,
    TEMPLATE,
    XML_TYPE,
)
from tallystick.protocols.sdata.codec.schema import write_schema
from tallystick.protocols.sdata.codec.stamps import stamp_of_milliseconds
from tallystick.protocols.sdata.codec.urls import Arguments, Part, Target, parse_path, target_of
from tallystick.protocols.sdata.errors import MessageTooLarge
from tallystick.protocols.sdata.provider import (
    batch_handlers,
    link_handlers,
    resource_handlers,
    sync_handlers,
)
from tallystick.protocols.sdata.provider.authentication import Anybody, Authenticator, Gate, Principal
from tallystick.protocols.sdata.provider.calls import Answer, Call, Refusal, answer_error, method_refused
from tallystick.protocols.sdata.provider.runner import Runner
from tallystick.protocols.sdata.store import Job, JobKind, JobState, SDataStore

log = logging.getLogger("tallystick.sdata")

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
"""What reaches us; the last two are answered 405 with a diagnosis, like every method out of place."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a provider serves. Times are seconds, sizes entries.

    ``long_poll``: how long a request for a running job is held. ``job_lifetime``: how long a job that nobody asks for
    is kept. ``author``: the name in feeds.
    """

    author: str = "tallystick"
    realm: str = "sdata"
    page_size: int = 1000
    largest_page: int = 5000
    long_poll: float = 2.0
    job_lifetime: float = 24 * 3600.0
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset at ``/{application}/{contract}/{dataset}``. Dataset ``-`` is the default one."""

    application: str
    contract: str
    dataset: str
    store: SDataStore

    @property
    def path(self) -> tuple[str, str, str]:
        """The three parts of its URL, in lower case."""
        return (self.application.lower(), self.contract.lower(), self.dataset.lower())


class Provider:
    """Serves datasets below ``base``, the configured URL of the virtual directory (``http://host:5493/sdata``).

    Without ``authenticator`` only loopback addresses are served. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        base: str,
        datasets: Sequence[Dataset],
        *,
        authenticator: Authenticator | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base = base.rstrip("/")
        self.settings = settings or Settings()
        self._depth = len([part for part in urlsplit(self.base).path.split("/") if part])
        self._datasets = {dataset.path: dataset for dataset in datasets}
        self._gate = Gate(authenticator, self.settings.realm, clock=clock) if authenticator is not None else None
        self._clock = clock
        self._runners = {path: Runner(dataset.store, clock=clock) for path, dataset in self._datasets.items()}

    # Life -----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with the jobs that a stopped provider left behind."""
        for path, dataset in self._datasets.items():
            for job in dataset.store.open_jobs():
                self._resume(path, dataset, job)

    def _resume(self, path: tuple[str, str, str], dataset: Dataset, job: Job) -> None:
        kind = dataset.store.contract.kind(job.resource_kind)
        if kind is None:
            return
        call = self._call("POST", Target(), Arguments(""), _sniffed(job.request), job.request, Anybody(), dataset, kind)
        try:
            if job.kind is JobKind.BATCH:
                batch_handlers.submit(call, job, call.feed(), self._runners[path])
            else:
                sync_handlers.resume(call, job, self._runners[path])
        except TallystickError:
            log.exception("job %s of a former start cannot be read", job.id)
            dataset.store.drop_job(job.resource_kind, job.kind, job.id)

    def expire(self) -> int:
        """Drop the jobs that nobody has asked for in a job's lifetime; how many."""
        before = self._clock() - self.settings.job_lifetime
        return sum(dataset.store.expire_jobs(before) for dataset in self._datasets.values())

    def close(self) -> None:
        """Wait for the jobs in hand."""
        for runner in self._runners.values():
            runner.close()

    # Requests -------------------------------------------------------------------------------------------------------

    async def respond(self, request: Request) -> Response:
        """The response to one HTTP request. Never raises for what the caller did."""
        raw = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
        query = request.scope["query_string"].decode("latin-1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        form = Form.XML
        try:
            arguments = Arguments(query)
            form = _form(headers, arguments)
            method = _overridden(request.method, headers)
            uri = raw.decode("latin-1") + (f"?{query}" if query else "")
            principal = await self._admitted(request, uri, headers)
            body = await self._body(request)
            parts = parse_path(raw.decode("latin-1"))[self._depth :]
            answer = await self._answer(method, parts, arguments, headers, body, principal, form)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            answer = self._refused(error, form, headers)
        return _response(answer)

    async def _admitted(self, request: Request, uri: str, headers: Mapping[str, str]) -> Principal:
        gate = self._gate
        if gate is not None and not await run_in_threadpool(lambda: gate.open):
            return await run_in_threadpool(gate.admit, request.method, uri, headers)
        if request.client is not None and not _is_loopback(request.client.host):
            raise AccessDenied("this service has no users yet and serves its own machine only")
        return Anybody()

    async def _body(self, request: Request) -> bytes:
        most = self.settings.limits.size
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise MessageTooLarge(f"the message has more than {most} bytes")
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise MessageTooLarge(f"the message has more than {most} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _refused(self, error: Exception, form: Form, headers: Mapping[str, str]) -> Answer:
        answer = answer_error(error, form)
        if not isinstance(error, AuthenticationRequired) or self._gate is None:
            return answer
        if headers.get("x-authorization-mode", "").strip().lower() == "no-challenge":
            return answer
        return replace(answer, headers={**answer.headers, "WWW-Authenticate": "\n".join(self._gate.challenges())})

    async def _answer(
        self,
        method: str,
        parts: tuple[Part, ...],
        arguments: Arguments,
        headers: Mapping[str, str],
        body: bytes,
        principal: Principal,
        form: Form,
    ) -> Answer:
        dataset = self._dataset(parts)
        if dataset is None or len(parts) <= 3:
            return self._discover(method, parts, form, principal)
        store = dataset.store
        names = frozenset(kind.name.lower() for kind in store.contract.served)
        target = target_of(parts, names)
        if not target.kind:
            return _dataset_segment(method, target, store.contract)
        kind = store.contract.kind(target.kind)
        if kind is None or kind.embedded:
            raise Refusal(
                404, f"there is no resource kind {target.kind[:60]!r}", sdata=SDataCode.RESOURCE_KIND_NOT_FOUND
            )
        call = self._call(method, target, arguments, headers, body, principal, dataset, kind, form)
        return await self._dispatch(call, self._runners[dataset.path])

    def _call(
        self,
        method: str,
        target: Target,
        arguments: Arguments,
        headers: Mapping[str, str],
        body: bytes,
        principal: Principal,
        dataset: Dataset,
        kind: Kind,
        form: Form = Form.XML,
    ) -> Call:
        return Call(
            method=method,
            target=target,
            arguments=arguments,
            headers=headers,
            body=body,
            principal=principal,
            form=form,
            limits=self.settings.limits,
            store=dataset.store,
            kind=kind,
            author=self.settings.author,
            now=self._clock(),
            page_size=self.settings.page_size,
            largest_page=self.settings.largest_page,
        )

    async def _dispatch(self, call: Call, runner: Runner) -> Answer:
        await self._held(call, runner)
        return await run_in_threadpool(_handle, call, runner)

    async def _held(self, call: Call, runner: Runner) -> None:
        """A GET of a running job waits for it a while, so that an empty pass costs no polling interval."""
        kind = _JOBS.get(_segment(call.target))
        if kind is None or call.method != "GET":
            return
        identity = sync_handlers.job_identity(call)
        job = await run_in_threadpool(call.store.job, call.kind.name, kind, identity)
        if job is not None and job.state not in (JobState.DONE, JobState.FAILED):
            await runner.wait(job, self.settings.long_poll)

    # Discovery ------------------------------------------------------------------------------------------------------

    def _dataset(self, parts: tuple[Part, ...]) -> Dataset | None:
        names = [part.name.lower() for part in parts[:3]]
        if len(names) < 3:
            return None
        found = self._datasets.get((names[0], names[1], names[2]))
        if found is None and names[2] == "-":
            found = next((known for path, known in self._datasets.items() if path[:2] == (names[0], names[1])), None)
        return found

    def _discover(self, method: str, parts: tuple[Part, ...], form: Form, principal: Principal) -> Answer:
        if method != "GET":
            raise method_refused(method, "GET")
        names = tuple(part.name.lower() for part in parts)
        below = [dataset for path, dataset in self._datasets.items() if path[: len(names)] == names[:3]]
        if len(names) == 3:
            named = self._dataset(parts)
            below = [] if named is None else [named]
        if not below or len(names) > 3:
            raise _not_found(names, set(self._datasets))
        levels = _levels(below, len(names))
        url = "/".join([self.base, *(part.name for part in parts)])
        feed = discovery_feed(url, parts[-1].name if parts else "sdata", self._stamp(), levels)
        if form is Form.JSON:
            return Answer(200, {"Content-Type": JSON_TYPE}, write_feed_json(feed.head, feed.entries, {}))
        return Answer(200, {"Content-Type": FEED_TYPE}, write_feed(feed.head, feed.entries))

    def _stamp(self) -> str:
        return stamp_of_milliseconds(int(self._clock() * 1000))


_JOBS: Final = {SYNC_SOURCE: JobKind.SOURCE, SYNC_TARGET: JobKind.TARGET, BATCH: JobKind.BATCH}


def _segment(target: Target) -> str:
    return target.segments[-1].name if target.segments else ""


def _handle(call: Call, runner: Runner) -> Answer:
    """The answer to a call on a resource kind."""
    segment = call.target.segment
    if not segment:
        if call.target.selector is not None:
            return resource_handlers.single(call)
        return resource_handlers.collection(call)
    if _segment(call.target) == BATCH:
        return batch_handlers.batch(call, runner)
    if segment == SYNC_DIGEST:
        return sync_handlers.digest(call)
    if segment == SYNC_SOURCE:
        return sync_handlers.source(call, runner)
    if segment == SYNC_TARGET:
        return sync_handlers.target(call, runner)
    if segment == SYNC_RESULTS:
        return sync_handlers.results(call)
    if segment == LINKED:
        return link_handlers.linked(call)
    if segment == TEMPLATE:
        return resource_handlers.template(call)
    if segment == SCHEMA:
        call.expect("GET")
        dataset = call.endpoint.rpartition("/")[0]
        return Answer(302, {"Location": f"{dataset}/$schema#{call.kind.name}"})
    raise Refusal(501, f"{segment[:60]} is not offered", sdata=SDataCode.BAD_URL_SYNTAX)


def _dataset_segment(method: str, target: Target, contract: Contract) -> Answer:
    if target.segment != SCHEMA:
        raise Refusal(501, f"{target.segment[:60]} is not offered here", sdata=SDataCode.BAD_URL_SYNTAX)
    if method != "GET":
        raise method_refused(method, "GET")
    return Answer(200, {"Content-Type": XML_TYPE}, write_schema(contract))


def _levels(below: Sequence[Dataset], depth: int) -> list[Level]:
    if depth == 3:
        return [Level(kind.name, kind.label or kind.name) for kind in below[0].store.contract.served]
    names = {0: "application", 1: "contract", 2: "dataset"}
    found = dict.fromkeys(getattr(dataset, names[depth]) for dataset in below)
    return [Level(name, name) for name in found]


def _not_found(names: tuple[str, ...], known: set[tuple[str, str, str]]) -> Refusal:
    codes = (SDataCode.APPLICATION_NOT_FOUND, SDataCode.CONTRACT_NOT_FOUND, SDataCode.DATASET_NOT_FOUND)
    for depth, code in enumerate(codes, 1):
        if len(names) >= depth and not any(path[:depth] == names[:depth] for path in known):
            return Refusal(404, f"there is no {'/'.join(names[:depth])[:120]!r} here", sdata=code)
    return Refusal(404, "there is nothing here", sdata=SDataCode.BAD_URL_SYNTAX)


def _form(headers: Mapping[str, str], arguments: Arguments) -> Form:
    form = answer_form(headers.get("accept", ""), arguments.text("format"))
    if form is None:
        raise Refusal(
            400, f"format={arguments.text('format')[:40]!r} is not offered", sdata=SDataCode.BAD_QUERY_PARAMETER
        )
    return form


def _overridden(method: str, headers: Mapping[str, str]) -> str:
    """The method meant: POST may stand for PUT or DELETE (spec 3), HEAD is a GET whose body nobody wants."""
    override = headers.get("x-http-method-override", "").strip().upper()
    if method == "POST" and override in ("PUT", "DELETE"):
        return override
    return "GET" if method == "HEAD" else method


def _sniffed(body: bytes) -> dict[str, str]:
    return {"content-type": JSON_TYPE if body.lstrip()[:1] == b"{" else XML_TYPE}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "testclient")


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    for name, value in answer.headers.items():
        for line in value.split("\n"):
            response.headers.append(name, line)
    return response


def sdata_application(provider: Provider) -> Starlette:
    """The ASGI application that serves ``provider``: resumes its jobs at the start, lets them expire as time goes."""

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(provider.start)
        expiring = asyncio.create_task(_expiring(provider))
        yield
        expiring.cancel()
        await run_in_threadpool(provider.close)

    return Starlette(routes=[Route("/{path:path}", provider.respond, methods=list(METHODS))], lifespan=life)


async def _expiring(provider: Provider) -> None:
    while True:
        await asyncio.sleep(min(provider.settings.job_lifetime / 4, 600))
        try:
            await run_in_threadpool(provider.expire)
        except TallystickError:
            log.exception("jobs could not be expired")
