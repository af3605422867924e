"""Working sessions: contexts mounted in directories under policies, from create to release (spec contexts A.3, B)."""
