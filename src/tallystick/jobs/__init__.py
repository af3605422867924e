"""Peers, tasks and runs: what is synchronized with whom, when, and how it went (docs/tasks.md)."""
