"""Tests: the web console in headless Chromium, served by gunicorn from SQLite."""
