"""Require StatsD, which the setting `statsd_url` alone switches on (P-STATSD-1)."""

from __future__ import annotations

from flask import Flask

from app.service import Service


def attach(app: Flask, service: Service) -> None:  # the signature of every plugin
    """Add nothing: no URL, no capability. The settings refuse this plugin if `statsd_url` is not set."""
