"""What this service adds to the servers that run it. Nothing here knows the application."""
