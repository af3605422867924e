"""Contexts over HTTP: the provider that a site serves, and the host that a client sees (docs/protocol.md)."""
