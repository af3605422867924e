"""Namespaces, element names, media types and constants of SData 1.1 (spec 1)."""

from __future__ import annotations

from typing import Final

ATOM: Final = "http://www.w3.org/2005/Atom"
SDATA: Final = "http://schemas.sage.com/sdata/2008/1"
HTTP: Final = "http://schemas.sage.com/sdata/http/2008/1"
SYNC: Final = "http://schemas.sage.com/sdata/sync/2008/1"
SME: Final = "http://schemas.sage.com/sdata/sme/2007"
OPENSEARCH: Final = "http://a9.com/-/spec/opensearch/1.1/"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
XSD: Final = "http://www.w3.org/2001/XMLSchema"
XML: Final = "http://www.w3.org/XML/1998/namespace"
TALLY: Final = "urn:tallystick:sync:1"
"""Our extension: an entry's full causal knowledge, base64, which foreign software ignores (docs/sdata.md)."""

CATEGORIES: Final = "http://schemas.sage.com/sdata/categories"
RELATIONS: Final = "http://schemas.sage.com/sdata/link-relations/"

ENTRY_TYPE: Final = "application/atom+xml; type=entry"
FEED_TYPE: Final = "application/atom+xml; type=feed"
XML_TYPE: Final = "application/xml"
JSON_TYPE: Final = "application/json"

DEFAULT_PORT: Final = 5493
"""The recommended intranet port."""

FIRST_TICK: Final = 1
"""The initial tick that we write; 0 is read as well (Q5)."""

STRONGEST_PRIORITY: Final = 1
WEAKEST_PRIORITY: Final = 9
MISSING_PRIORITY: Final = 10
"""What a missing conflict priority is read as: weaker than any that can be written (5.1)."""

SYNC_DIGEST: Final = "$syncDigest"
SYNC_SOURCE: Final = "$syncSource"
SYNC_TARGET: Final = "$syncTarget"
SYNC_RESULTS: Final = "$syncResults"
LINKED: Final = "$linked"
SCHEMA: Final = "$schema"
BATCH: Final = "$batch"
SERVICE: Final = "$service"
TEMPLATE: Final = "$template"
