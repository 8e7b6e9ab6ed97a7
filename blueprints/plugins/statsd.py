"""StatsD: works as soon as `statsd_url` is set; including this only insists on it (P-STATSD-1)."""

from __future__ import annotations

from flask import Flask

from app.service import Service


def attach(app: Flask, service: Service) -> None:
    """Add nothing: no URL, no capability. Settings refuse this plugin without the URL of a server."""
