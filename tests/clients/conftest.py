"""A served instance with all plugins that `make serve` switches on, and users with accounts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.support import services

PASSWORD = "tr0ub4dor"
USERS = ("alice", "bob")


@pytest.fixture(scope="session")
def served_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a served instance with accounts for alice and bob."""
    settings = {
        "kinto.storage_url": f"sqlite:///{tmp_path_factory.mktemp('kinto')}/kinto.sqlite",
        "kinto.includes": " ".join(
            f"kinto.plugins.{name}" for name in ("accounts", "default_bucket", "history", "admin")
        ),
        "kinto.userid_hmac_secret": "secret",
        "kinto.default_bucket_hmac_secret": "salt",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.account_bcrypt_rounds": 4,
        "kinto.bucket_create_principals": "system.Authenticated",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    }
    with services.serve(settings) as url:
        for name in USERS:
            created = requests.put(f"{url}/accounts/{name}", json={"data": {"password": PASSWORD}}, timeout=60)
            assert created.status_code == 201, created.text
        yield url
