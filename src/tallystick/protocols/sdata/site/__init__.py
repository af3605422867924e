"""A Tallystick site behind the store port: its tables as resource kinds, its ledger as digests and sync states."""
