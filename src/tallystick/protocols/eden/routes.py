"""The provider behind an ASGI server (docs/eden.md): one starlette route below the mount."""

from __future__ import annotations

import base64
import binascii

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tallystick.protocols.eden.errors import DocumentTooLarge
from tallystick.protocols.eden.provider import EdenProvider
from tallystick.protocols.eden.requests import Request, Response, failed

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


def routes(provider: EdenProvider) -> list[Route]:
    """The routes to mount where the provider's ``mount`` says."""

    async def endpoint(incoming: HttpRequest) -> HttpResponse:
        try:
            request = await read_request(incoming, incoming.path_params["path"], provider.limits.document_bytes)
        except DocumentTooLarge as error:
            return as_response(failed(413, error.message))
        except ClientDisconnect:
            return HttpResponse(status_code=400)
        return as_response(await run_in_threadpool(provider.answer, request))

    return [Route("/{path:path}", endpoint, methods=METHODS, include_in_schema=False)]


async def read_request(incoming: HttpRequest, path: str, limit: int) -> Request:
    """The request for ``path``. Raises DocumentTooLarge as soon as the body is seen to be larger than ``limit``."""
    body = bytearray()
    async for chunk in incoming.stream():
        body += chunk
        if len(body) > limit:
            raise DocumentTooLarge(f"the document is larger than {limit} bytes")
    user, password = credentials(incoming.headers.get("authorization", ""))
    return Request(
        incoming.method,
        path,
        incoming.url.query,
        dict(incoming.headers),
        bytes(body),
        user,
        password,
    )


def credentials(header: str) -> tuple[str | None, str | None]:
    """Name and password of a Basic ``Authorization`` header; None and None for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    user, separator, password = decoded.partition(":")
    return (user, password) if separator else (None, None)


def as_response(response: Response) -> HttpResponse:
    """An answer for the server."""
    headers = {**response.headers, "Content-Type": response.content_type}
    if isinstance(response.body, bytes):
        return HttpResponse(response.body, response.status, headers)
    return StreamingResponse(response.body, response.status, headers)
