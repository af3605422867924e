"""The page for people at the base address, and the list of versions for tools."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from tallystick.protocols.native.requests import Reply
from tallystick.version import VERSION

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tallystick</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}
code {{ background: #8882; padding: .1rem .3rem }}</style></head>
<body><h1>Tallystick</h1>
<p>This is a site of <b>Tallystick {version}</b>: name two ends, it brings them into agreement, and can prove it.</p>
<p>To synchronize a database of yours with it:</p>
<p><code>tallystick sync your.db {address}</code></p>
<ul>{listed}</ul>
<p><a href="openapi.json">openapi.json</a> · <a href="versions">versions</a> · <a href="metrics">metrics</a></p>
</body></html>
"""
_POLICY = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")


def home(protocols: Sequence[tuple[str, str, str]], address: str) -> Reply:
    """The page. ``protocols`` are (name, version, path); ``address`` is how the client calls this place."""
    listed = "".join(
        f"<li>{escape(name)} {escape(version)} below <code>{escape(path)}</code></li>"
        for name, version, path in protocols
    )
    body = _PAGE.format(version=escape(VERSION), address=escape(address), listed=listed).encode()
    return Reply(200, "text/html; charset=utf-8", body, (_POLICY,))


def versions(protocols: Sequence[tuple[str, str, str]]) -> Reply:
    """The protocols that are served here, as JSON."""
    listed = [{"name": name, "version": version, "path": path} for name, version, path in protocols]
    return Reply(
        200, "application/json", msgspec.json.encode({"software": f"tallystick {VERSION}", "protocols": listed})
    )
