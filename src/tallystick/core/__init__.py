"""The rules of agreement: pure functions and values, no I/O, no clock, no randomness, no globals."""
