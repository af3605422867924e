"""Bytes to documents, values, filters and messages of the Eden protocol and back. Pure (docs/eden.md)."""
