"""The composition root: URLs become ends, ends agree (DESIGN.md 3 *api*).

``tallystick.open(url)`` gives a ``Site``; ``site.sync(other)`` brings two ends into agreement.
"""

from tallystick.api.agreeing import as_plain, logged_agree
from tallystick.api.ends import both_ends, end, is_directory, is_replica, replica, replicas
from tallystick.api.opening import context_host, ends, open, sessions
from tallystick.api.resource import Resource
from tallystick.api.site import Site

__all__ = [
    "Resource",
    "Site",
    "as_plain",
    "both_ends",
    "context_host",
    "end",
    "ends",
    "is_directory",
    "is_replica",
    "logged_agree",
    "open",
    "replica",
    "replicas",
    "sessions",
]
