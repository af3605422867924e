"""The port on a site: managed records in its ledger, and beside it what the ledger does not say.

Objects are managed records of three kinds of resources: ``stores.directory`` (companies, users, groups, stores),
``stores.KEY.items`` (folders and items of one store) and ``stores.KEY.bodies`` (their bulk parts, in pieces). Folders
are no resources of their own: ten thousand of them would have to be looked at in every pass; the tree is in the
records. Tables of this room hold the same objects the way lists and synchronizations ask for them, and the log of
``changelog.py``. They are derived: what other sites changed is worked into them before anybody reads.
"""

from __future__ import annotations

from tallystick.stores.records.site import SiteRecords

__all__ = ["SiteRecords"]
