"""Sahana Eden's synchronization protocol, as the active and as the passive side (docs/eden.md)."""
