"""Directory trees: names, scanning, planning and writing (DESIGN.md 4.10, spec contexts D)."""
