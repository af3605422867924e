"""``tallystick run``."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json

if TYPE_CHECKING:
    from tallystick.jobs.tasks import Run


@click.command("run")
@click.argument("site")
@click.option("--once", is_flag=True, help="Run what is due now, and end.")
@as_json
def command(site: str, once: bool, as_json: bool) -> int:
    """Run the tasks of SITE as they come due and deliver to its webhooks, until SIGTERM or Ctrl-C.

    Several workers may run beside each other, on one machine or many: no task is run twice at a time, and the tasks
    of one that died are taken over.

    \b
    Examples:
      tallystick run clinic.db
      tallystick run postgresql://db/hub --once --json
    """
    from tallystick.api import ends
    from tallystick.cli.tasks import exit_code, plain_run, run_line
    from tallystick.jobs.worker import Worker

    def told(what: Run | str) -> None:
        if isinstance(what, str):
            click.echo(f"tallystick: {what}", err=True)
        elif as_json:
            print_json(plain_run(what))
        else:
            click.echo(run_line(what))
        sys.stdout.flush()

    worker = Worker(ends(site), told)

    def stop(number: int, frame: Any) -> None:
        worker.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    from tallystick.api import open as open_site
    from tallystick.web.telling import webhook_runner

    runner = webhook_runner(lambda: open_site(site).ledger)
    runner.once() if once else runner.start()
    try:
        return exit_code(worker.run(once=once))
    finally:
        runner.close()
