"""One replica on a real database."""
