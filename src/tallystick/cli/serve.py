"""``tallystick serve``."""

from __future__ import annotations

from typing import Any

import click

from tallystick.errors import UsageError


@click.command("serve")
@click.argument("site")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=5493, show_default=True, type=click.IntRange(0, 65535), help="Its port; 0 takes one that is free."
)
@click.option("--certificate", metavar="FILE", help="Serve https with this certificate (PEM); --key holds its key.")
@click.option("--key", metavar="FILE", help="The certificate's private key (PEM).")
@click.option("--sdata", is_flag=True, help="Serve the site's tables as SData resource kinds too.")
@click.option("--application", metavar="NAME", help="SData: first part of the address. Default: tallystick.")
@click.option("--contract", metavar="NAME", help="SData: second part of the address. Default: site.")
@click.option("--dataset", metavar="NAME", help="SData: third part of the address. Default: -.")
@click.option(
    "--base-url",
    metavar="URL",
    help="SData: the address in links, as https://host:5493/sdata; it names the site for ever when first synchronized.",
)
@click.option("--namespace", metavar="URI", help="SData: namespace of payloads, where a contract demands one.")
@click.option("--priority", type=click.IntRange(1, 9), help="SData: conflict priority, 1 wins over 9. Default: 5.")
@click.option("--push", multiple=True, metavar="URL", help="SData: push local changes at once to sdata+https://...")
@click.option("--nest", multiple=True, metavar="PARENT.CHILD", help="SData: rows of CHILD are lists inside PARENT.")
@click.option("--hints", metavar="URL", help="Tell of every change through nats://HOST or redis://HOST too.")
@click.option("--eden", metavar="PATH", help="Answer Sahana Eden sites at this path, as in --eden /eden.")
def command(site: str, host: str, port: int, certificate: str | None, key: str | None, **given: Any) -> int:
    """Serve SITE over HTTP. An address other than loopback needs users (tallystick users add).

    \b
    Examples:
      tallystick serve clinic.db
      tallystick serve postgresql://localhost/hub --host 0.0.0.0 --certificate hub.pem --key hub.key
      tallystick serve clinic.db --hints redis://127.0.0.1:6379
      tallystick serve field.db --eden /eden
      tallystick serve erp.db --sdata --application erp --contract crm --base-url https://erp.example.org/sdata
      tallystick serve erp.db --sdata --nest orders.order_line
      tallystick serve erp.db --sdata --push sdata+https://anna@shop.example.org/sdata/shop/crm/-
    """
    from tallystick.web.server import serve

    if key and not certificate:
        raise UsageError("--key is nothing without --certificate", hint="give both, as PEM files")
    named = f"[{host}]" if ":" in host else host
    address = f"{'https' if certificate else 'http'}://{named}:{port}"
    providers = _providers(host, port, address, **given)
    serve(site, host, port, providers=providers, certificate=certificate, key=key)
    return 0


def _providers(
    host: str, port: int, address: str, *, sdata: bool, hints: str | None, eden: str | None, **given: Any
) -> Any:
    """What is mounted, as the options ask for. Raises UsageError."""
    from tallystick.web.app import PROVIDERS

    providers = _told(hints) if hints else PROVIDERS
    if sdata:
        providers = (*providers, _sdata(host, port, address, given))
    elif any(given.values()):
        raise UsageError("these options belong to SData", hint="add --sdata")
    if eden is not None:
        from tallystick.web.eden import eden as answering

        providers = (*providers, answering(eden))
    return providers


def _told(hints: str) -> Any:
    """What is mounted by default, with changes told to a carrier of hints."""
    from functools import partial

    from tallystick.web.app import PROVIDERS
    from tallystick.web.providers import events

    return tuple(partial(events, hints=hints) if one is events else one for one in PROVIDERS)


def _sdata(host: str, port: int, address: str, given: dict[str, Any]) -> Any:
    """The SData provider that the options ask for, named by the address it is first served at."""
    from tallystick.cli.credentials import password
    from tallystick.web.bounds import is_loopback
    from tallystick.web.sdata import Service

    base = given.pop("base_url")
    if not base and not (port and is_loopback(host)):
        raise UsageError("the endpoints of SData are named by an address that stays", hint="give --base-url")
    chosen = {name: value for name, value in given.items() if value}
    secret = password(None) if given["push"] else None
    return Service(base=base or f"{address}/sdata", password=secret, **chosen)
