"""Authenticate users by name and password."""
