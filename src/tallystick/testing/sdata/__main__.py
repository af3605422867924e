"""The SData conformance checklist (spec/sdata.md 16), for any provider.

    python -m tallystick.testing.sdata http://host:5493/sdata/app/contract/-/accounts
    python -m tallystick.testing.sdata URL --write --user anna --password-env SDATA_PASSWORD --json

Without ``--write`` nothing but jobs is made, and those are deleted. ``--write`` adds checks that change sync states,
links and the digest of the provider: point them at a test dataset. Exit code 1 says that a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from tallystick.protocols.sdata.transport import Credentials, HttpTransport
from tallystick.testing.sdata import Finding, Verdict, run_checks


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the provider that the command line names; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tallystick.testing.sdata", description="SData conformance checks.")
    parser.add_argument("url", help="the collection URL of a resource kind")
    parser.add_argument("--write", action="store_true", help="also run checks that change the provider")
    parser.add_argument("--user")
    parser.add_argument("--password-env", metavar="NAME", help="the environment variable with the password")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    credentials = Credentials(given.user, os.environ.get(given.password_env or "", "")) if given.user else None
    transport = HttpTransport(given.url, credentials)
    try:
        told = None if given.json else _tell
        findings = run_checks(given.url, transport, write=given.write, told=told)
    finally:
        transport.close()
    counts = {verdict.value: sum(found.verdict is verdict for found in findings) for verdict in Verdict}
    if given.json:
        print(json.dumps({"url": given.url, **counts, "checks": [found._asdict() for found in findings]}, indent=2))
    else:
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
    return 1 if counts[Verdict.FAILED] else 0


def _tell(finding: Finding) -> None:
    detail = f": {finding.detail}" if finding.detail else ""
    print(f"{finding.verdict.value:8}{finding.number}  {finding.name}{detail}")


if __name__ == "__main__":
    sys.exit(main())
