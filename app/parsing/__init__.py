"""Parse what a request says into values; nothing here needs more than the errors."""
