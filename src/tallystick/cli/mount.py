"""``tallystick mount``: a context in a directory for as long as a command runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from tallystick.cli.output import shown
from tallystick.cli.terminal import on_terminal
from tallystick.errors import ConfigurationError, GuardStopped, StorageError, UsageError

if TYPE_CHECKING:
    from tallystick.contexts.policies import SyncPolicy
    from tallystick.contexts.sessions.session import Session
    from tallystick.contexts.sessions.tasks import ContextStatusData

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
RELEASE_SECONDS = 300.0
MAX_WARNINGS = 20
NOT_STARTED = "the command was not started; nothing was removed anywhere"
WAYS = {
    "[Root": "--accept-root unites what is there now with the context",
    "[DeletionsHeld": "look at them, then run again with --allow-deletes all or a number",
}
"""What lets through what a guard stopped."""


@click.command("mount")
@click.option("--policy", type=click.Path(), metavar="FILE", help="TOML file with the policy; without one, defaults.")
@click.option("--at", "at", metavar="PATH", help="Path of the mount in the context; by default that of DIR.")
@click.option("--password-file", type=click.Path(), help="File with the password for a served site ('-': stdin).")
@click.option("--timeout", type=float, default=RELEASE_SECONDS, show_default=True, help="Seconds for the last upload.")
@click.option(
    "--allow-deletes", metavar="N|all", help="Let so many deletions pass the guard, in the context and in DIR."
)
@click.option("--accept-root", is_flag=True, help="DIR was made anew or has gone: unite it with the context.")
@click.argument("site")
@click.argument("context")
@click.argument("directory", metavar="DIR")
@click.argument("program", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    policy: str | None,
    at: str | None,
    password_file: str | None,
    timeout: float,
    allow_deletes: str | None,
    accept_root: bool,
    site: str,
    context: str,
    directory: str,
    program: tuple[str, ...],
) -> int:
    """Bring CONTEXT of SITE into DIR, run COMMAND, store what it left there.

    SITE is a database (SQLite file, postgresql://) or a served site (http://, https://).
    The command starts when everything has arrived, and finds the directory in TALLYSTICK_MOUNT. Signals are passed on
    to it. Its exit code is kept; when it is 0 and the upload fails, the exit code is 3, and 4 when deletions were held
    back. The directory stays, so the next mount transfers only what changed. The context is made when it is missing.

    \b
    Examples:
      tallystick mount hub.db work ./work -- make test
      tallystick mount https://hub.example.org/ work ./work --at /data -- ./train.sh
      tallystick mount https://hub.example.org/ work ./work --policy policy.toml -- bash
    """
    from tallystick.cli.credentials import password
    from tallystick.cli.tree_options import allowed_deletions

    secret = password(password_file)
    allowed = allowed_deletions(allow_deletes)
    session = mounted(site, context, directory, at, read_policy(policy), secret, allowed, accept_root)
    try:
        report(session.context.info().context_status_data)
        code = run(program, directory)
    finally:
        released = session.delete(timeout=timeout)
        session.context.close()
    report(released.rows)
    if released.error_message:
        way = next((f"; {way}" for held, way in WAYS.items() if released.error_message.startswith(held)), "")
        click.echo(f"tallystick: {shown(released.error_message)}{way}", err=True)
    return code or (3 if not released.success else 4 if released.error_message else 0)


def report(rows: Sequence[ContextStatusData]) -> None:
    """Say what tasks left out, and where both versions of a file were kept."""
    for path in [path for row in rows for path in row.conflicts]:
        click.echo(f"conflict: {shown(path)}; the other version is beside it", err=True)
    warnings = [warning for row in rows for warning in row.warnings]
    for warning in warnings[:MAX_WARNINGS]:
        click.echo(f"warning: {shown(warning)}", err=True)
    if len(warnings) > MAX_WARNINGS:
        click.echo(f"warning: {len(warnings) - MAX_WARNINGS:,} more", err=True)


def read_policy(path: str | None) -> SyncPolicy | None:
    """The policy that a TOML file describes by its wire names. Raises ConfigurationError or what the policy refuses."""
    from tallystick.contexts.policies import SyncPolicy

    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except OSError as problem:
        raise ConfigurationError(f"cannot read {path}: {problem.strerror}", hint="check the path") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"{path} is not TOML: {problem}", hint="see docs/contexts.md") from problem
    return SyncPolicy.from_dict(found)


def mounted(
    site: str,
    context: str,
    directory: str,
    at: str | None,
    policy: SyncPolicy | None,
    password: str | None,
    allowed: int | None = 0,
    accept_root: bool = False,
) -> Session:
    """A session with the context in the directory, downloaded. Raises what stands in the way.

    ``allowed`` deletions pass the guards, None: any number; ``accept_root`` makes and takes a directory made anew.
    """
    from tallystick.api import context_host, sessions
    from tallystick.contexts.context_sync import ContextSync
    from tallystick.contexts.keys import InvalidBinding, binding_of, normal
    from tallystick.contexts.opening import shown as address
    from tallystick.contexts.sessions.session import CreateSessionParams
    from tallystick.trees.guards import Limits
    from tallystick.trees.opening import memory_of

    place = os.path.realpath(directory)
    path = at or place
    try:
        binding_of(context, path)
    except InvalidBinding as problem:
        raise UsageError(problem.message, hint=problem.hint) from None
    host = context_host(site, password=password)
    try:
        info = host.create(context)
    finally:
        host.close()
    if accept_root:
        make(place)
    where = address(site) if "://" in site else os.path.realpath(site)
    params = CreateSessionParams(
        [ContextSync(info.id, path, policy)],
        root="/",
        directories={normal(path): Path(place)},
        idle_seconds=None,
        maximum_seconds=None,  # it lives as long as the command
        limits=Limits(allowed=sys.maxsize if allowed is None else allowed),
        accept_root=accept_root,
        session_id=f"mount-{memory_of([where, info.id, place]).stem}",
    )
    result = sessions(site, password=password).create(params)
    if result.success and result.session is not None:
        return result.session
    if result.session is not None:
        result.session.abandon()
    for code, option in WAYS.items():
        if result.error_message.startswith(code):
            raise GuardStopped(result.error_message, hint=f"{NOT_STARTED}; {option}")
    raise StorageError(result.error_message, hint=NOT_STARTED)


def make(place: str) -> None:
    """A directory that has gone is there again. Raises ConfigurationError."""
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as problem:
        raise ConfigurationError(f"cannot make {place}: {problem.strerror}", hint="check the path") from problem


def run(program: Sequence[str], directory: str) -> int:
    """Run a command with signals passed on; its exit code, 128 and the number when a signal ended it."""
    environment = {**os.environ, "TALLYSTICK_MOUNT": os.path.realpath(directory)}
    waiting: list[int] = []
    child: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if child:
            child[0].send_signal(number)
        else:
            waiting.append(number)

    with _handling(forward):
        try:
            child.append(subprocess.Popen(list(program), env=environment))
        except OSError as problem:
            click.echo(f"tallystick: cannot run {program[0]}: {problem.strerror}", err=True)
            return 126 if isinstance(problem, PermissionError) else 127
        for number in waiting:
            child[0].send_signal(number)
        code = child[0].wait()
    return 128 - code if code < 0 else code


@contextmanager
def _handling(forward: object) -> Iterator[None]:
    """Signals go to the command; an interrupt at a terminal reaches it without us."""
    old = {}
    for number in FORWARDED:
        passed = number == signal.SIGINT and on_terminal(sys.stdin)
        old[number] = signal.signal(number, (lambda *_: None) if passed else forward)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
