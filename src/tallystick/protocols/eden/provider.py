"""The passive side: what a real Eden site answers, from an ``EdenStore`` (spec: sections 4, 5, 13, 15 and 17).

Requests and responses are values, so the provider is tested and replayed without a server; ``routes`` puts it behind
one. Deviations from what live sites were observed to do are listed in docs/eden.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

from tallystick.core.policies import Method
from tallystick.errors import LimitExceeded
from tallystick.protocols.eden import requests
from tallystick.protocols.eden.answering import MIXED, UNREGISTERED, Pull, Push, answer_pull, answer_push
from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Document, Limits
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.codec.json_format import read_json, write_json
from tallystick.protocols.eden.codec.queries import SyncQuery, parse_query
from tallystick.protocols.eden.codec.replies import (
    Registration,
    RegistrationReply,
    read_registration,
    write_registration_reply,
    write_reply,
)
from tallystick.protocols.eden.codec.schema import UNSHARED_TABLES, Table, write_create, write_fields
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.deciding import PLAIN_IMPORT
from tallystick.protocols.eden.errors import DocumentError, TimeFormatError
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.requests import JSON, REPLY, XML, Request, Response
from tallystick.protocols.eden.settings import READABLE, import_settings, settings_document
from tallystick.protocols.eden.store import Clock, EdenStore, LogEntry, Repository, Result
from tallystick.sync.uncollected import uncollected

AGENT = "tallystick"
"""How the ``User-Agent`` of another Tallystick site begins; real Eden sends none."""

_WRITES = ("POST", "PUT")


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks. ``administrator`` may use the synchronization endpoints; ``may`` decides per table and method.

    ``may`` gets None as the method for reading.
    """

    name: str
    administrator: bool = False
    may: Callable[[Table, Method | None], bool] = lambda _table, _method: False

    def can(self, table: Table, method: Method | None) -> bool:
        """True when this account may read (None) or import with ``method``."""
        return self.administrator or self.may(table, method)


Authenticate = Callable[[str, str], Account | None]
"""Gives the account of a name and password, or None. Must take equally long for unknown names."""


@dataclass(slots=True)
class EdenProvider:
    """Answers requests.

    ``base`` is the URL under which the provider is reached, without a trailing slash; ``mount`` its path there.
    ``archive`` gives the downloadable archive of a data set by its file name.
    """

    store: EdenStore
    authenticate: Authenticate
    base: str
    clock: Clock
    mount: str = "/eden"
    realm: str = "eden"
    limits: Limits = DEFAULT_LIMITS
    archive: Callable[[str], bytes | None] = lambda _name: None

    def answer(self, request: Request, account: Account | None = None) -> Response:
        """The answer to any request; ``account`` is who asks where that is known already.

        Raises nothing but what the store raises.
        """
        if account is None and request.user:
            account = self.authenticate(request.user, request.password or "")
        if account is None:
            refused = requests.text(401, "Authentication Required")
            refused.headers["WWW-Authenticate"] = f'Basic realm="{self.realm}"'
            return refused
        try:
            return self._routed(request, account)
        except LimitExceeded as error:
            return requests.failed(413, error.message)
        except (DocumentError, TimeFormatError) as error:
            return requests.failed(400, error.message)

    def _routed(self, request: Request, account: Account) -> Response:
        parts = request.path.split("/")
        name, _, extension = parts[-1].rpartition(".") if "." in parts[-1] else (parts[-1], "", "")
        if request.method not in ("GET", "HEAD", *_WRITES):
            return requests.not_allowed("GET", *_WRITES)
        if parts[:2] == ["sync", "repository"] and name == "register" and len(parts) == 3:
            return self._register(request, account, extension)
        if parts[0] == "sync" and name == "sync" and len(parts) == 2:
            return self._sync(request, account, extension)
        if parts[:2] == ["default", "download"] and len(parts) == 3:
            return self._download(parts[2])
        if len(parts) == 3 and extension == "xml" and name in ("sync", "fields", "create"):
            return self._of_table(request, account, f"{parts[0]}_{parts[1]}", name)
        if len(parts) == 2 and extension in ("xml", "s3json"):
            return self._rest(request, account, f"{parts[0]}_{name}", extension)
        return requests.failed(404, "Page not found")

    # Registration (4.1, 5) -------------------------------------------------------------------------------------

    def _register(self, request: Request, account: Account, extension: str) -> Response:
        if not account.administrator:
            return requests.text(403, "Insufficient Privileges")
        if extension == "xml" and request.method == "GET":
            return self._register_classic(request, account)
        if extension != "json":
            return requests.failed(415, "Unsupported data format!")
        if request.method not in _WRITES:
            return requests.not_allowed(*_WRITES)
        return self._registered(read_registration(request.body), account)

    def _register_classic(self, request: Request, account: Account) -> Response:
        """The form of releases before 2016: everything in the URL."""
        query = parse_query(request.query)
        return self._registered(Registration(query.repository, dict(query.parameters).get("name", "")), account)

    def _registered(self, asked: Registration, account: Account) -> Response:
        sender = self.store.identity().uuid
        if asked.uuid is None:
            reply = RegistrationReply(False, 400, "No repository identifier specified", sender)
            return Response(200, JSON, write_registration_reply(reply))
        known = self.store.repository(asked.uuid)
        if known is not None and known.registered_by not in (None, account.name):
            reply = RegistrationReply(False, 403, "This identifier was registered by another account", sender)
            self._log(asked.uuid, "register", "incoming", Result.ERROR, reply.message, remote=True)
            return Response(403, JSON, write_registration_reply(reply))
        repository = known or Repository(asked.uuid, asked.name)
        name = asked.name or repository.name or asked.uuid
        self.store.save_repository(
            replace(repository, name=name, apitype=asked.apitype, registered_by=account.name, deleted=False)
        )
        message = "Registration successful" if known is None else "Registration update successful"
        self._log(asked.uuid, "register", "incoming", Result.SUCCESS, message)
        return Response(200, JSON, write_registration_reply(RegistrationReply(True, 200, message, sender)))

    def _log(
        self, repository: str, mode: str, direction: str, result: Result, message: str, *, remote: bool = False
    ) -> None:
        entry = LogEntry(self.clock(), repository, None, mode, direction, "registration", result, remote, message)
        self.store.log(entry)

    # Synchronization (5) ---------------------------------------------------------------------------------------

    def _sync(self, request: Request, account: Account, extension: str) -> Response:
        if not account.administrator:
            return requests.text(403, "Insufficient Privileges")
        if not extension:
            location = f"{self.mount}/sync/index"
            moved = requests.text(303, f'You are being redirected <a href="{location}">here</a>')
            moved.headers["Location"] = location
            return moved
        query = parse_query(request.query)
        if query.resource in (None, "", "mixed"):
            return requests.failed(400, MIXED, http_status=200)
        if "_" not in str(query.resource):
            return requests.text(400, "Invalid request")
        table = self._table(str(query.resource))
        if table is None:
            return requests.failed(400, f"No such resource: {query.resource}")
        if request.method in _WRITES:
            return self._push(request, account, query, table)
        plain = replace(query, start=None, limit=None, components=True, include_deleted=True)
        return self._pull(request, plain, table, "sync")

    def _of_table(self, request: Request, account: Account, name: str, what: str) -> Response:
        table = self._table(name)
        if table is None:
            return requests.failed(404, f"No such resource: {name}")
        if what == "sync" and request.method in _WRITES:
            if not all(account.can(table, method) for method in (Method.CREATE, Method.UPDATE)):
                return requests.text(403, "Insufficient Privileges")
            return self._push(request, account, parse_query(request.query), table)
        if not account.can(table, None):
            return requests.text(403, "Insufficient Privileges")
        if request.method in _WRITES:
            return requests.not_allowed("GET")
        if what == "sync":
            return self._pull(request, parse_query(request.query), table, "table")
        return Response(200, XML, write_fields(table) if what == "fields" else write_create(table))

    def _table(self, name: str) -> Table | None:
        return None if name in UNSHARED_TABLES else self.store.table(name)

    def _repository(self, query: SyncQuery) -> Repository | None:
        found = self.store.repository(query.repository) if query.repository else None
        return None if found is None or found.deleted else found

    def _pull(self, request: Request, query: SyncQuery, table: Table, endpoint: str) -> Response:
        ours = request.headers.get("user-agent", "").startswith(AGENT)
        pull = Pull(
            table,
            self._repository(query),
            query.msince,
            query.filters,
            query.include_deleted,
            query.components,
            query.component_names,
            query.start,
            query.limit,
            query.show_ids,
            endpoint,
            query.state or ("" if ours else None),
        )
        found = answer_pull(self.store, pull, self.base, self.clock())
        return Response(200, XML, write_xml(found.attributes, found.resources))

    def _push(self, request: Request, account: Account, query: SyncQuery, table: Table) -> Response:
        repository = self._repository(query)
        if repository is None:
            return requests.failed(403, UNREGISTERED)
        if table.restricted:
            return requests.text(403, "Insufficient Privileges")
        policies = (query.strategy, query.update, query.conflict)
        push = Push(table, repository, *policies, query.msince, account.name, permitted=account.can)
        with uncollected():
            reply = answer_push(self.store, push, self._document(request, "xml"), self.clock())
        return Response(200, REPLY, write_reply(reply))

    def _document(self, request: Request, extension: str) -> Document:
        """Everything that the body carries, as one document."""
        whole = Document()
        for body in requests.documents_in(request.headers.get("content-type", ""), request.body):
            json_body = extension == "s3json" or body.lstrip()[:1] == b"{"
            found = read_json(body, self.limits) if json_body else read_xml(body, self.limits)
            whole.attributes = whole.attributes or found.attributes
            whole.resources += found.resources
        return whole

    # Plain REST (5, 15) ----------------------------------------------------------------------------------------

    def _rest(self, request: Request, account: Account, name: str, extension: str) -> Response:
        if name in READABLE or name == "sync_repository":
            return self._settings(request, account, name)
        table = self._table(name)
        if table is None:
            return requests.failed(404, f"No such resource: {name}")
        query = parse_query(request.query, rest=True)
        if request.method in _WRITES:
            return self._import(request, account, query, table, extension)
        if not account.can(table, None):
            return requests.text(403, "Insufficient Privileges")
        pull = Pull(
            table,
            None,
            query.msince,
            query.filters,
            query.include_deleted and extension == "xml",
            query.components,
            query.component_names,
            query.start,
            query.limit,
            query.show_ids,
            "rest",
        )
        found = answer_pull(self.store, pull, self.base, self.clock())
        if extension == "xml":
            return Response(200, XML, write_xml(found.attributes, found.resources))
        return Response(200, JSON, write_json(found.attributes, found.resources))

    def _import(self, request: Request, account: Account, query: SyncQuery, table: Table, extension: str) -> Response:
        if table.restricted or not all(account.can(table, one) for one in (Method.CREATE, Method.UPDATE)):
            return requests.text(403, "Insufficient Privileges")
        options = Options(PLAIN_IMPORT, None, account.name, permitted=account.can, skip_errors=query.ignore_errors)
        with uncollected():
            document = self._document(request, extension)
            done = import_document(self.store, table, document, options, self.clock())
        return Response(200, JSON if extension == "s3json" else REPLY, write_reply(done.reply))

    def _settings(self, request: Request, account: Account, name: str) -> Response:
        if request.method in _WRITES:
            if not account.administrator or name != "sync_repository":
                return requests.text(403, "Insufficient Privileges")
            document = self._document(request, "xml")
            reply = import_settings(self.store, document, lambda: urn_of(uuid4()), self.clock())
            return Response(200, REPLY, write_reply(reply))
        if name not in READABLE:
            return requests.text(403, "Insufficient Privileges")
        found = settings_document(self.store, name, parse_query(request.query, rest=True), self.base)
        return Response(200, XML, write_xml(found.attributes, found.resources))

    def _download(self, name: str) -> Response:
        found = self.archive(name)
        if found is None:
            return requests.failed(404, "Page not found")
        return Response(200, "application/zip", found)


def body_of(response: Response) -> bytes:
    """The whole body, read to its end."""
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def chunks_of(response: Response) -> Iterator[bytes]:
    """The body as it is produced."""
    if isinstance(response.body, bytes):
        yield response.body
    else:
        yield from response.body
