"""Which HTTP client carries the native protocol: http.client or urllib3, in one run against one server. Prints JSON."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

PIECE = 350_000
PIECES = 400
SMALL = b"z" * 400
LARGE = os.urandom(400_000)
HEADERS = {"Content-Type": "application/octet-stream"}


async def app(scope, receive, send):
    """Answers 300 bytes, or a long stream below /stream."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": b"x" * PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": b"y" * 300})


def median(call: Callable[[], object], times: int) -> float:
    """Median microseconds of a call."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1e6, 1)


def drained(read: Callable[[int], bytes]) -> int:
    """Bytes of a stream, read as the protocol reads: a header, then a payload."""
    size = 0
    while head := read(12):
        size += len(head) + len(read(PIECE - 12))
    return size


def main() -> None:
    """Measure both."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", os.path.dirname(os.path.abspath(__file__))]
    server = subprocess.Popen([*command, "transport:app", "--port", str(port), "--log-level", "error"])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        started = time.perf_counter()
        import urllib3

        found: dict[str, dict[str, float]] = {"urllib3": {"import_ms": round((time.perf_counter() - started) * 1e3, 1)}}
        plain = http.client.HTTPConnection("127.0.0.1", port)
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1)

        def by_http_client(path: str, body: bytes) -> http.client.HTTPResponse:
            plain.request("POST", path, body, HEADERS)
            return plain.getresponse()

        def by_urllib3(path: str, body: bytes) -> urllib3.BaseHTTPResponse:
            return pool.urlopen("POST", path, body, headers=HEADERS, preload_content=False)

        for name, send in (("http.client", by_http_client), ("urllib3", by_urllib3)):

            def whole(body: bytes, send: Callable[..., object] = send) -> None:
                answer = send("/", body)
                answer.read()
                if hasattr(answer, "release_conn"):
                    answer.release_conn()

            measured = found.setdefault(name, {})
            measured["request_us"] = median(lambda whole=whole: whole(SMALL), 500)
            measured["upload_400kB_us"] = median(lambda whole=whole: whole(LARGE), 200)
            started = time.perf_counter()
            answer = send("/stream", SMALL)
            size = drained(answer.read)
            measured["stream_MB_per_s"] = round(size / (time.perf_counter() - started) / 1e6)
            if hasattr(answer, "release_conn"):
                answer.release_conn()
        print(json.dumps(found, indent=2))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
