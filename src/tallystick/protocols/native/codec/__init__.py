"""Bytes of the native protocol to typed values and back (docs/protocol.md). Pure."""
