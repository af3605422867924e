"""The entry point: lazy subcommands, exit codes, errors without tracebacks."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from tallystick.cli.standard_output import flushed, install
from tallystick.errors import InternalError, TallystickError, UsageError
from tallystick.version import VERSION

COMMANDS = {
    "sync": "Bring two ends into agreement.",
    "verify": "Prove that two ends agree, or show what differs.",
    "repair": "Heal what verify found.",
    "link": "Link equal records of two SData providers.",
    "contexts": "Keep named trees of files at a site.",
    "mount": "Run a command with a context in a directory.",
    "serve": "Serve a site over HTTP.",
    "track": "Track tables of a database.",
    "untrack": "Stop tracking; without names remove every trace.",
    "status": "Show what a site tracks and what waits.",
    "changes": "Show changes of a site, once or live.",
    "import-mail": "Take mail from a maildir, an mbox or an IMAP server into a store.",
    "conflicts": "List, show and decide conflicts.",
    "parked": "List, retry and drop parked changes.",
    "peers": "Add, change, list, register and test peers.",
    "tasks": "Add, change and run tasks.",
    "datasets": "Host public data sets for Eden sites.",
    "run": "Run the tasks of a site as they come due.",
    "log": "Show what was synchronized, and how it went.",
    "webhooks": "Add, list and remove addresses that are sent what changes.",
    "users": "Add, list and remove users of a served site.",
    "purge": "Forget old deletions and closed conflicts.",
}
"""Subcommands and their short help; each lives in ``cli/<name>.py`` as ``command``."""


_COLLECTED = 20_000
"""New objects after which Python looks for garbage. Modules make thousands and leave none."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"tallystick.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="tallystick")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """Name two ends; tallystick brings them into agreement, and can prove it.

    \b
    Examples:
      tallystick sync clinic.db https://hub.example.org/
      tallystick sync a.db postgresql://localhost/b --dry-run
      tallystick verify a.db b.db

    \b
    Exit codes: 0 done; 1 done, but conflicts or parked changes wait; 2 usage;
    3 a peer cannot be reached or refuses, or something cannot be written; 4 a guard stopped
    the run; 5 internal error.
    """
    context.obj = {"debug": debug}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    gc.set_threshold(_COLLECTED, 10, 10)
    given = list(sys.argv[1:] if arguments is None else arguments)
    ours = given[: given.index("--")] if "--" in given else given  # what follows belongs to the command that mount runs
    debug = "--debug" in ours
    if debug:
        given.remove("--debug")
        given.insert(0, "--debug")
    try:
        code = group.main(given, prog_name="tallystick", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort as stopped:
        asked = not isinstance(stopped.__cause__, KeyboardInterrupt)
        _fail("stopped" if asked else "stopped; what was applied stays applied, run it again to go on", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except TallystickError as error:
        _fail(str(error), error.exit_code, debug)
    except OSError as error:
        if error.filename is None:
            _fail(_unforeseen(error), InternalError.exit_code, debug)
        _fail(f"{error.filename}: {error.strerror}; check the path, and your rights there", UsageError.exit_code, debug)
    except Exception as error:
        _fail(_unforeseen(error), InternalError.exit_code, debug)


def _unforeseen(error: Exception) -> str:
    return f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"


def _fail(message: str, code: int, debug: bool = False) -> None:
    """Say what happened and leave; with ``debug`` after the traceback of the error at hand. The code stays the same."""
    if debug:
        import traceback

        traceback.print_exc()
    from tallystick.cli.output import shown  # a message may come from a peer

    click.echo("tallystick: " + "\n".join(map(shown, message.split("\n"))), err=True)
    sys.exit(code)


def run() -> None:
    """The command as a process of its own: it does not wait until Python has taken every module and object apart."""
    install()
    try:
        main()
    except SystemExit as done:
        code = flushed(done.code) if isinstance(done.code, int) else done.code
        threads = sys.modules.get("threading")
        if not isinstance(code, int) or (threads is not None and threads.active_count() > 1):
            raise SystemExit(code) from None
        atexit._run_exitfuncs()
        os._exit(flushed(code))


if __name__ == "__main__":
    run()
