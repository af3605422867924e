"""Tallystick: name two ends; it brings them into agreement, and can prove it."""
