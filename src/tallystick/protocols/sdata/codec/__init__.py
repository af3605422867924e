"""SData messages: bytes to typed values and back. Pure."""
