"""File content: chunks, packs and the stores that hold them (DESIGN.md 4.10)."""
