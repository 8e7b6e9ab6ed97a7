"""Parse the texts of a request into values."""
