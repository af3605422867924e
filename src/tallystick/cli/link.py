"""``tallystick link``."""

from __future__ import annotations

import sys
from typing import Any

import click

from tallystick.cli.options import as_json
from tallystick.cli.output import print_json, table
from tallystick.cli.terminal import on_terminal
from tallystick.errors import UsageError


@click.command("link")
@click.argument("a")
@click.argument("b")
@click.option("--on", multiple=True, required=True, metavar="PROPERTY", help="What equal records have in common.")
@click.option("--yes", is_flag=True, help="Link what is proposed without asking.")
@click.option(
    "--winner",
    type=click.Choice(["a", "b"]),
    help="Whose link is kept where both are linked to different things already; else such pairs are left alone.",
)
@click.option("--password-file", type=click.Path(), help="File with the password ('-' is stdin).")
@as_json
def command(a: str, b: str, **given: Any) -> int:
    """Link the records of two SData providers that are the same thing, before they are first synchronized.

    A and B are kinds of two providers. Records with equal values are proposed, then those that are equal but for case,
    accents and spacing; values that several records of one end share are listed and left to you. Nothing is linked
    before you say so.

    \b
    Examples:
      tallystick link sdata+http://erp/sdata/erp/crm/-/accounts sdata+http://shop/sdata/shop/crm/-/accounts --on email
      tallystick link A B --on name --on city --yes
    """
    from tallystick.cli.credentials import password
    from tallystick.jobs.linking import Linking

    if given["yes"] is False and given["as_json"]:
        raise UsageError("--json cannot ask", hint="look first, then add --yes")
    with Linking(a, b, given["on"], password(given["password_file"])) as linking:
        proposal = linking.proposal
        if not given["as_json"]:
            _show(proposal)
        open_ = linking.open(given["winner"] or "")
        if open_ and not given["yes"] and not _agreed(len(open_)):
            return 1
        for match in open_:
            linking.link(match, given["winner"] or "")
    if given["as_json"]:
        print_json({"linked": len(open_), "ambiguous": [list(values) for values in proposal.ambiguous]})
    else:
        click.echo(f"{len(open_)} linked")
    return 1 if proposal.ambiguous or linking.contradicted else 0


def _agreed(count: int) -> bool:
    if not on_terminal(sys.stdin):
        raise UsageError("there is no terminal to ask on", hint="look at what is proposed, then add --yes")
    return click.confirm(f"Link these {count}?")


def _show(proposal: Any) -> None:
    rows = [
        (match.certainty.value, match.first.title, match.second.title, " ".join(match.first.values))
        for match in proposal.matches
    ]
    table(("match", "a", "b", "value"), rows)
    for values in proposal.ambiguous:
        click.echo(f"ambiguous, left to you: {' '.join(values)}")
