"""Speak HTTP: one blueprint for each part of the API."""
