"""Change streams: importers, deliveries, live notifications and the hints that wake them (docs/streams.md)."""
