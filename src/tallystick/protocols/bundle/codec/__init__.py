"""The files of a bundle directory: to bytes and back. Pure."""
