"""A site's database as the Eden protocol sees it: ``SiteStore`` over a ledger, on every engine."""
