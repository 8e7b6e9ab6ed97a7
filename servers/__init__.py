"""Extend the servers that run the application; nothing here imports the application."""
