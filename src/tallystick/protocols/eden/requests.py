"""HTTP messages as values, for both sides of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tallystick.protocols.eden.codec.replies import failure
from tallystick.protocols.eden.errors import DocumentError

TEXT = "text/html; charset=UTF-8"
JSON = "application/json"
REPLY = "text/html"
"""What a real site calls its JSON replies to a push."""
XML = "text/xml"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the provider.

    ``path`` is relative to where the provider is mounted, without a leading slash; ``query`` is raw; header names are
    in lower case. ``user`` and ``password`` are those of the Basic credentials, None where there were none.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: str | None = None
    password: str | None = None


@dataclass(slots=True)
class Response:
    """An answer; ``body`` may be read once. An iterator that is not read to its end means the peer went away."""

    status: int
    content_type: str
    body: bytes | Iterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)


def text(status: int, message: str) -> Response:
    """An answer for humans, as the framework of a real site gives it."""
    return Response(status, TEXT, message.encode())


def failed(status: int, message: str | None = None, *, http_status: int | None = None) -> Response:
    """A JSON failure. ``http_status`` differs where a real site answers 200 all the same."""
    body = failure(status, message)
    return Response(http_status or status, REPLY if http_status == 200 else JSON, body)


def not_allowed(*allowed: str) -> Response:
    """405 with the methods that are taken."""
    response = failed(405, "Unsupported method!")
    response.headers["Allow"] = ", ".join(allowed)
    return response


# Bodies --------------------------------------------------------------------------------------------------------


def documents_in(content_type: str, body: bytes) -> list[bytes]:
    """The documents that a push carries: its body, or the ``.xml`` parts of a multipart body.

    The Content-Type of a document itself says nothing: real Eden sends XML as a form. Raises DocumentError for a
    multipart body without a document.
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return [body]
    boundary = _parameters(parameters).get("boundary")
    if not boundary or len(boundary) > 200:
        raise DocumentError("the multipart body has no boundary")
    found = [part for name, part in _parts(body, boundary.encode()) if name.lower().endswith((".xml", ".s3json"))]
    if not found:
        raise DocumentError("the multipart body holds no document named *.xml")
    return found


def _parts(body: bytes, boundary: bytes) -> Iterable[tuple[str, bytes]]:
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        if piece.startswith(b"--"):
            return
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                yield _parameters(value).get("filename", ""), content


def _parameters(parameters: str) -> dict[str, str]:
    """``name=value; name="value"`` as a mapping."""
    found = {}
    for piece in parameters.split(";"):
        name, separator, value = piece.partition("=")
        if separator:
            found[name.strip().lower()] = value.strip().strip('"')
    return found
