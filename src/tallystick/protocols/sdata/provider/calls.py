"""One request and its answer, as the handlers see them; errors as statuses and diagnoses (spec 3, 12 *Errors*)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tallystick.errors import (
    AccessDenied,
    AuthenticationRequired,
    FilterError,
    LimitExceeded,
    StorageError,
    TallystickError,
    UnknownField,
    UnknownResource,
    ValueRejected,
)
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, SDataCode, Severity, write_diagnoses
from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.codec.documents import Limits
from tallystick.protocols.sdata.codec.entries import Entry, read_entry_message, write_entry_message
from tallystick.protocols.sdata.codec.feeds import Feed, ResultsTold, check_results, read_feed, results_told, write_feed
from tallystick.protocols.sdata.codec.json_form import (
    Shape,
    read_digest_object,
    read_entry_json,
    read_feed_json,
    read_json,
    write_diagnoses_json,
    write_digest_json,
    write_entry_json,
    write_feed_json,
    write_tracking_json,
)
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.media_types import Form, body_form
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, FEED_TYPE, JSON_TYPE, SYNC_DIGEST, XML_TYPE
from tallystick.protocols.sdata.codec.stamps import stamp_of_milliseconds
from tallystick.protocols.sdata.codec.tracking import Tracking, write_tracking
from tallystick.protocols.sdata.codec.urls import Arguments, Target
from tallystick.protocols.sdata.errors import BadUrl, MalformedMessage
from tallystick.protocols.sdata.provider.authentication import Principal
from tallystick.protocols.sdata.store import LinkTaken, NoResource, SDataStore, StaleETag

log = logging.getLogger("tallystick.sdata")

RETRY_AFTER: Final = 5
"""Seconds after which a busy provider asks to be tried again."""


class Refusal(TallystickError):
    """A request refused with an HTTP status of its own; ``headers`` go with the answer."""

    code = "sdata-refused"

    def __init__(
        self,
        status: int,
        message: str,
        *,
        sdata: SDataCode = SDataCode.APPLICATION_DIAGNOSIS,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.sdata = sdata
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: status, headers, body."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed: what it names, what it says, who sent it, and how the answer shall look.

    ``now`` is in Unix seconds; ``page_size`` and ``largest_page`` are entries of a page by default and at most.
    """

    method: str
    target: Target
    arguments: Arguments
    headers: Mapping[str, str]
    body: bytes
    principal: Principal
    form: Form
    limits: Limits
    store: SDataStore
    kind: Kind
    author: str
    now: float
    page_size: int
    largest_page: int

    @property
    def stamp(self) -> str:
        """The present moment, for Atom's ``updated``."""
        return stamp_of_milliseconds(int(self.now * 1000))

    @property
    def endpoint(self) -> str:
        """The collection URL of the kind."""
        return self.store.endpoint(self.kind)

    @property
    def contract(self) -> Contract:
        """The contract that the kind belongs to."""
        return self.store.contract

    def expect(self, *methods: str) -> None:
        """Raise a Refusal with 405 and Allow when the method is none of ``methods``."""
        if self.method not in methods:
            raise method_refused(self.method, *methods)

    def require(self, role: str) -> None:
        """Raise AccessDenied when the caller has not ``role`` (read, write, sync, admin) for this kind."""
        if not self.principal.allows(role, self.kind.name):
            raise AccessDenied(f"{self.principal.name} may not {role} {self.kind.name}")

    # Reading the body ---------------------------------------------------------------------------------------------

    @property
    def posted_form(self) -> Form:
        """How the body is written. Raises a Refusal with 415 for a type that SData does not use."""
        form = body_form(self.headers.get("content-type", ""))
        if form is None:
            raise Refusal(415, f"a body of type {self.headers['content-type'][:80]!r} cannot be read")
        return form

    def shape(self) -> Shape:
        """What JSON bodies of this kind do not say themselves."""
        items = {}
        for found in self.kind.properties:
            related = self.contract.kind(found.kind) if found.kind else None
            if related is not None:
                items[found.name] = related.element
        return Shape(self.kind.element, self.contract.namespace, items, self.limits.depth)

    def entry(self) -> Entry:
        """The entry in the body. Raises MalformedMessage or LimitExceeded."""
        if self.posted_form is Form.JSON:
            return read_entry_json(read_json(self.body, self.limits.size), self.shape())
        return read_entry_message(self.body, self.limits)

    def results(self) -> ResultsTold:
        """The page of results in the body. Raises MalformedMessage or LimitExceeded."""
        return results_told(self.feed()) if self.posted_form is Form.JSON else check_results(self.body, self.limits)

    def feed(self) -> Feed:
        """The feed in the body. Raises MalformedMessage or LimitExceeded."""
        if self.posted_form is Form.JSON:
            return read_feed_json(read_json(self.body, self.limits.size), self.shape(), self.limits.entries)
        return read_feed(self.body, self.limits)

    def digest(self) -> Digest:
        """The digest in the body. Raises MalformedMessage."""
        if self.posted_form is Form.JSON:
            return read_digest_object(read_json(self.body, self.limits.size))
        return read_digest_message(self.body)

    # Writing the answer -------------------------------------------------------------------------------------------

    def answer_entry(self, entry: Entry, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer that consists of ``entry``."""
        if self.form is Form.JSON:
            return _answer(status, JSON_TYPE, write_entry_json(entry, self.contract.types(self.kind)), headers)
        return _answer(status, ENTRY_TYPE, write_entry_message(entry), headers)

    def answer_feed(self, feed: Feed) -> Answer:
        """An answer that consists of ``feed``."""
        if self.form is Form.JSON:
            return _answer(200, JSON_TYPE, write_feed_json(feed.head, feed.entries, self.contract.types(self.kind)))
        return _answer(200, FEED_TYPE, write_feed(feed.head, feed.entries))

    def answer_digest(self, digest: Digest, updated: str) -> Answer:
        """An answer that consists of ``digest``."""
        if self.form is Form.JSON:
            return _answer(200, JSON_TYPE, write_digest_json(digest, f"{digest.origin}/{SYNC_DIGEST}", updated))
        title = f"{self.kind.name} synchronization digest"
        return _answer(200, ENTRY_TYPE, write_digest_message(DigestMessage(digest, title, updated, self.author)))

    def answer_tracking(self, tracking: Tracking, location: str) -> Answer:
        """202 with Location and tracking body."""
        headers = {"Location": location}
        if self.form is Form.JSON:
            return _answer(202, JSON_TYPE, write_tracking_json(tracking), headers)
        return _answer(202, XML_TYPE, write_tracking(tracking), headers)


def _answer(status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": content_type, **(headers or {})}, body)


def method_refused(method: str, *allowed: str) -> Refusal:
    """405 with Allow."""
    shown = ", ".join(allowed)
    return Refusal(405, f"{method} is not offered here", hint=f"use {shown}", headers={"Allow": shown})


def answer_diagnoses(status: int, diagnoses: list[Diagnosis], form: Form, headers: Mapping[str, str]) -> Answer:
    """An error answer: diagnoses, wrapped."""
    if form is Form.JSON:
        return _answer(status, JSON_TYPE, write_diagnoses_json(diagnoses), headers)
    return _answer(status, XML_TYPE, write_diagnoses(diagnoses), headers)


def answer_error(error: Exception, form: Form) -> Answer:
    """The answer to a request that raised ``error``: never a stack trace, always a diagnosis."""
    if not isinstance(error, TallystickError):
        log.exception("a request failed", exc_info=error)
        diagnosis = Diagnosis(Severity.FATAL, message="the provider failed; its log says why")
        return answer_diagnoses(500, [diagnosis], form, {})
    status, code = status_of_error(error)
    headers = dict(error.headers) if isinstance(error, Refusal) else {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    severity = Severity.TRANSIENT if status == 503 else Severity.ERROR
    diagnosis = Diagnosis(severity, code, str(error), application_code=error.code)
    return answer_diagnoses(status, [diagnosis], form, headers)


def status_of_error(error: TallystickError) -> tuple[int, SDataCode]:
    """The HTTP status and SData code of a named error."""
    plain = SDataCode.APPLICATION_DIAGNOSIS
    if isinstance(error, Refusal):
        return error.status, error.sdata
    if isinstance(error, RequestError):
        return error.status, plain
    if isinstance(error, NoResource):
        return (410 if error.gone else 404), plain
    if isinstance(error, StaleETag):
        return 412, plain
    if isinstance(error, LinkTaken):
        return 409, plain
    if isinstance(error, BadUrl):
        return 400, SDataCode.BAD_URL_SYNTAX
    if isinstance(error, FilterError):
        return 400, SDataCode.BAD_WHERE_SYNTAX
    if isinstance(error, UnknownResource):
        return 404, SDataCode.RESOURCE_KIND_NOT_FOUND
    if isinstance(error, LimitExceeded):
        return 413, plain
    if isinstance(error, AuthenticationRequired):
        return 401, plain
    if isinstance(error, AccessDenied):
        return 403, plain
    if isinstance(error, MalformedMessage | ValueRejected | UnknownField):
        return 400, plain
    return (503 if error.transient else 500), (
        SDataCode.DATASET_UNAVAILABLE if isinstance(error, StorageError) else plain
    )
