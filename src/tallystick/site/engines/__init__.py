"""The databases that a site can live in, behind one port."""
