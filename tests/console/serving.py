"""Serve the console, and find a browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import services

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_executable() -> str:
    """Return the path of the system's Chromium; skip the test, or fail, where there is none."""
    executable = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if executable is None:
        services.missing("Chromium")
        raise AssertionError
    return executable


def console_settings(url: str) -> dict[str, Any]:
    """Return the settings of a service on a database, with the plugins of `make serve` and with JSON Schemas."""
    includes = ("accounts", "default_bucket", "history", "admin")
    return {
        "kinto.storage_url": url,
        "kinto.includes": " ".join(f"kinto.plugins.{name}" for name in includes),
        "kinto.userid_hmac_secret": "secret",
        "kinto.default_bucket_hmac_secret": "salt",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.account_bcrypt_rounds": 4,
        "kinto.bucket_create_principals": "system.Authenticated",
        "kinto.experimental_collection_schema_validation": "true",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    }


@contextlib.contextmanager
def serve_console(folder: Path, **settings: Any) -> Iterator[str]:
    """Serve a database in *folder*, and give the URL."""
    with services.serve({**console_settings(f"sqlite:///{folder / 'kinto.sqlite'}"), **settings}) as url:
        yield url
