"""Bundles: sites that agree through files on a stick or share (docs/bundles.md)."""
