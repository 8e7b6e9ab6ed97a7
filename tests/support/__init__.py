"""Hold what tests share and what is no test."""
