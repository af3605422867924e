"""The native protocol: sites over HTTP (docs/protocol.md)."""
