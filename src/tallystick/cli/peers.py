"""``tallystick peers``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.credentials import password
from tallystick.cli.options import as_json, check_fingerprints
from tallystick.cli.output import print_json, table
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.api import Site
    from tallystick.jobs.registry import Registry
    from tallystick.jobs.tasks import Peer


@click.group("peers")
def command() -> None:
    """Add, change, list, register and test the ends that a site synchronizes with.

    \b
    Examples:
      tallystick peers add clinic.db hub https://hub.example.org/ --user anna
      tallystick peers add clinic.db stick files+dir:/media/stick
      tallystick peers register clinic.db hub
    """


@command.command("add")
@click.argument("site")
@click.argument("name")
@click.argument("url")
@click.option("--user", help="The user to log in as; the password is asked for and kept encrypted.")
@click.option("--password-file", type=click.Path(), help="File with the password; '-' is standard input.")
@click.option(
    "--synchronise-identifiers", is_flag=True, help="Eden: take over the peer's identifiers of equal records."
)
@click.option(
    "--dataset", "datasets", multiple=True, metavar="CODE", help="Eden: a public data set to pull from there."
)
@as_json
def add(site: str, name: str, url: str, **given: Any) -> int:
    """Add a peer: any end that can be named in sync.

    \b
    Example:
      tallystick peers add clinic.db hub https://hub.example.org/ --user anna --password-file secret.txt
    """
    from tallystick.jobs.credentials import Credentials
    from tallystick.jobs.tasks import Peer

    where, user = entered(url, given["user"])
    secret = password(given["password_file"], prompt=True) if user else None
    with _open(site, tracked=False) as opened:
        registry = _registry(opened)
        credential = _credential(name) if secret else None
        identifiers, datasets = given["synchronise_identifiers"], tuple(given["datasets"])
        peer = Peer(name, where, None, user, credential, identifiers, None, datasets)
        with opened.ledger.engine.write():
            registry.add_peer(peer)
            if credential:
                Credentials(opened.ledger).save(credential, secret)
    if given["as_json"]:
        print_json(_plain(peer))
    else:
        click.echo(f"{name} is a peer; register it next: tallystick peers register {site} {name}")
    return 0


@command.command("change")
@click.argument("site")
@click.argument("name")
@click.option("--url", help="Where it is now. It is still the site that was registered.")
@click.option("--user", help="The user to log in as; the password is asked for.")
@click.option("--new-password", is_flag=True, help="Ask for a new password.")
@click.option("--password-file", type=click.Path(), help="File with the new password; '-' is standard input.")
@click.option(
    "--synchronise-identifiers/--keep-identifiers", default=None, help="Eden: take over the peer's identifiers, or not."
)
@click.option("--dataset", "datasets", multiple=True, metavar="CODE", help="Eden: the public data sets to pull.")
@as_json
def change(site: str, name: str, **given: Any) -> int:
    """Change a peer; what is not named stays, and so do its tasks and its log.

    \b
    Examples:
      tallystick peers change clinic.db hub --new-password
      tallystick peers change clinic.db hub --url https://new.example.org/
    """
    from dataclasses import replace

    from tallystick.jobs.credentials import Credentials

    asked = given["new_password"] or given["user"] is not None or given["password_file"]
    with _open(site) as opened:
        registry = _registry(opened)
        peer = registry.peer(name)
        url, user = entered(given["url"] or peer.url, given["user"])
        peer = replace(peer, url=url, user=user or peer.user)
        if given["synchronise_identifiers"] is not None:
            peer = replace(peer, synchronise_identifiers=given["synchronise_identifiers"])
        if given["datasets"]:
            peer = replace(peer, datasets=tuple(given["datasets"]))
        if asked and not peer.user:
            raise UsageError(f"the peer {name} has no user", hint="name one: --user anna")
        secret = password(given["password_file"], prompt=True) if asked else None
        with opened.ledger.engine.write():
            if secret:
                peer = replace(peer, credential=_credential(name))
                Credentials(opened.ledger).save(_credential(name), secret)
            registry.change_peer(peer)
    if given["as_json"]:
        print_json(_plain(peer))
    else:
        click.echo(f"{name} is changed; see whether it answers: tallystick peers test {site} {name}")
    return 0


def _credential(name: str) -> str:
    """Under which name the password of a peer is kept."""
    return f"peer {name}"


def entered(url: str, user: str | None) -> tuple[str, str | None]:
    """The URL of a peer as it is kept, and who logs in there: for Eden sites a user stands in the URL, too.

    Raises UsageError for a scheme that no protocol has, and for an address of an Eden site that is none.
    """
    where = absolute(url)
    if not where.startswith(("eden+http://", "eden+https://")):
        return where, user
    from tallystick.jobs.eden_repositories import parse_address

    address = parse_address(where)
    if address.password is not None:
        raise UsageError("a URL with a password would be kept as it is", hint="leave it out: it is asked for")
    return f"eden+{address.base}", user or address.user


SCHEMES = ("http", "https", "postgresql", "postgres", "sqlite", "files+dir")
FOREIGN = ("eden+http", "eden+https", "sdata+http", "sdata+https")


def absolute(url: str) -> str:
    """A URL that means the same from wherever tasks are run: paths are named from the root.

    Raises UsageError for a scheme that no protocol has.
    """
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme:
        return str(Path(url).absolute())
    if scheme not in (*SCHEMES, *FOREIGN):
        raise UsageError(
            f"{scheme}: is no protocol that peers can have", hint=f"use a path or one of {', '.join(SCHEMES + FOREIGN)}"
        )
    return f"{scheme}:{Path(rest).absolute()}" if scheme == "files+dir" and not rest.startswith("//") else url


@command.command("list")
@click.argument("site")
@as_json
def list_(site: str, as_json: bool) -> int:
    """List the peers of SITE.

    \b
    Example:
      tallystick peers list clinic.db
    """
    with _open(site) as opened:
        found = _registry(opened).peers()
    if as_json:
        print_json([_plain(peer) for peer in found])
    else:
        rows = [(peer.name, peer.protocol, peer.url, peer.identifier, peer.last_connected) for peer in found]
        table(("name", "protocol", "url", "identifier", "last connected"), rows)
    return 0


@command.command("show")
@click.argument("site")
@click.argument("name")
@as_json
def show(site: str, name: str, as_json: bool) -> int:
    """Show a peer and its tasks. Passwords are never shown.

    \b
    Example:
      tallystick peers show clinic.db hub
    """
    with _open(site) as opened:
        registry = _registry(opened)
        found = {**_plain(registry.peer(name)), "tasks": [task.name for task in registry.tasks(name)]}
        if found["protocol"] == "files":
            found |= _keys(opened)
    if as_json:
        print_json(found)
        return 0
    for key, value in found.items():
        click.echo(f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return 0


def _keys(opened: Site) -> dict[str, Any]:
    """For a directory: this site's fingerprint, and the sites that were confirmed."""
    from tallystick.jobs.bundles import signing_key
    from tallystick.protocols.bundle.codec.signing import fingerprint
    from tallystick.protocols.bundle.trust import Trust

    trusted = Trust(opened.ledger).trusted().values()
    return {
        "fingerprint": fingerprint(signing_key(opened.ledger).public),
        "confirmed": [f"{one.name} {one.site} {one.fingerprint}" for one in trusted],
    }


@command.command("register")
@click.argument("site")
@click.argument("name")
@click.option("--trust", multiple=True, metavar="FINGERPRINT", help="Confirm the site with this fingerprint.")
@as_json
def register(site: str, name: str, trust: tuple[str, ...], as_json: bool) -> int:
    """Introduce SITE to a peer, and learn who the peer is.

    For a directory this leaves SITE's card there and looks at the cards of others.

    \b
    Examples:
      tallystick peers register clinic.db hub
      tallystick peers register clinic.db stick --trust MPXM-I4KY-W5B2-24RX-Y2HB
    """
    from tallystick.cli.sync import asked

    check_fingerprints(trust)
    return _with_adapter(site, name, as_json, trust, asked(as_json), "register")


@command.command("test")
@click.argument("site")
@click.argument("name")
@as_json
def test(site: str, name: str, as_json: bool) -> int:
    """See whether a peer answers, and lets us in. Nothing is synchronized.

    \b
    Example:
      tallystick peers test clinic.db hub
    """
    return _with_adapter(site, name, as_json, (), None, "login")


def _with_adapter(site: str, name: str, json_wanted: bool, trust: tuple[str, ...], ask: Any, action: str) -> int:
    from tallystick.api import ends
    from tallystick.jobs.execution import adapter_for
    from tallystick.jobs.log import LogEntry, Result
    from tallystick.jobs.log_table import LogTable
    from tallystick.jobs.registry import Registry

    replica = (opening := ends(site, trust=trust, ask=ask)).replica()
    try:
        registry, log = Registry(replica.ledger), LogTable(replica.ledger)
        entries: list[LogEntry] = []

        def note(entry: LogEntry) -> None:
            entries.append(entry)
            log.append(entry)

        adapter = adapter_for(replica, registry.peer(name), opening, note)
        if action == "register":
            good = adapter.register()
            message = (entries[-1].message or "") if entries else ""
        else:
            probe = getattr(adapter, "probe", None)  # an Eden site has no login
            problem = probe() if probe else adapter.login() or getattr(adapter, "unreachable", None)
            good, message = problem is None, problem or "it answers"
            result = Result.SUCCESS if good else Result.ERROR
            log.append(LogEntry(registry.now(), name, None, "login", "outgoing", "test", result, not good, problem))
    finally:
        replica.close()
    if json_wanted:
        print_json({"peer": name, "success": good, "message": message})
    else:
        click.echo(f"{name}: {message}" if good else f"tallystick: {name}: {message}", err=not good)
    return 0 if good else 3


@command.command("remove")
@click.argument("site")
@click.argument("name")
def remove(site: str, name: str) -> int:
    """Remove a peer with its tasks, its log and its password. No record is touched.

    \b
    Example:
      tallystick peers remove clinic.db hub
    """
    from tallystick.jobs.credentials import Credentials

    with _open(site) as opened:
        registry = _registry(opened)
        peer = registry.peer(name)
        tasks = registry.remove_peer(name)
        if peer.credential:
            Credentials(opened.ledger).save(peer.credential, None)
    click.echo(f"{name} is removed" + (f", and its tasks {', '.join(tasks)}" if tasks else ""))
    return 0


def _open(site: str, tracked: bool = True) -> Site:
    from tallystick.api import open as open_site

    return open_site(site, tracked=tracked)


def _registry(opened: Site) -> Registry:
    from tallystick.jobs.registry import Registry

    return Registry(opened.ledger)


def _plain(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "protocol": peer.protocol,
        "url": peer.url,
        "identifier": peer.identifier,
        "user": peer.user,
        "last_connected": peer.last_connected,
        "datasets": list(peer.datasets),
    }
