"""The engine: two ends brought into agreement."""
