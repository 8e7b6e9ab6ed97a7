"""Credentials of people who have a name and a password: processes that only send requests import nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac

SECRET = "golden-secret"


def basic(name: str, password: str = "secret") -> str:
    """Return the `Authorization` of a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def user_id(name: str, password: str = "secret") -> str:
    """Return the user id of basic authentication."""
    return "basicauth:" + hmac.new(SECRET.encode(), f"{name}:{password}".encode(), hashlib.sha256).hexdigest()
