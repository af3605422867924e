"""``tallystick serve``."""

from __future__ import annotations

import click


@click.command("serve")
@click.argument("site")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5493, show_default=True, type=click.IntRange(0, 65535))
def command(site: str, host: str, port: int) -> int:
    """Serve SITE over HTTP. An address other than loopback needs users (tallystick users add).

    \b
    Examples:
      tallystick serve clinic.db
      tallystick serve postgresql://localhost/hub --host 0.0.0.0
    """
    from tallystick.web import serve

    serve(site, host, port)
    return 0
