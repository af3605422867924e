"""Shipped for those who build on Tallystick: the contract suite, the simulator, fault injection and replay."""
