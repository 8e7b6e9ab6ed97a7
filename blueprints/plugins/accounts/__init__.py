"""Add accounts: users with a name and a password, stored as objects of the kind `account` (plugins contract, 4)."""

from __future__ import annotations

import logging
from typing import Final

import click
from flask import Flask

from app.authentication.failures import FailureLimits, Failures
from app.authentication.logins import Logins
from app.service import Service
from app.settings import SettingError, Settings
from backends import BackendError
from blueprints.plugins.accounts.administrators import (
    UNCLAIMED_ACCOUNT,
    anyone_can_sign_up,
    create_user,
    make_administrators,
    missing_accounts,
)
from blueprints.plugins.accounts.kind import KIND, account_kind
from blueprints.plugins.accounts.policy import AccountsPolicy

__all__ = ["attach", "create_user", "make_administrators"]

log: Final = logging.getLogger("kinto.plugins.accounts")

POLICY: Final = "kinto.plugins.accounts.AccountsPolicy"

_POLICY_ENDINGS: Final = ("AccountsPolicy", "AccountsAuthenticationPolicy")
_DOCUMENTATION: Final = "https://kinto.readthedocs.io/en/latest/api/1.x/accounts.html"


def attach(app: Flask, service: Service) -> None:  # noqa: ARG001  # the signature of every plugin
    """Add the kind `account`, and the policy that authenticates accounts.

    Raises SettingError for invalid settings (P-ACC-1).
    """
    settings = service.settings
    _check_settings(settings)
    logins = Logins(service.cache, settings.userid_hmac_secret, settings.account_cache_ttl_seconds)
    bounds = FailureLimits(
        settings.account_login_failures_per_account,
        settings.account_login_failures_per_address,
        settings.account_login_failures_window_seconds,
    )
    failures = Failures(service.cache, settings.userid_hmac_secret, bounds)
    service.add_kind(account_kind(logins, settings.account_bcrypt_rounds))
    service.add_identity_kind(KIND)
    service.add_policy_class(POLICY, lambda policy, service: AccountsPolicy(policy, service, logins, failures))
    service.add_start_check(lambda: _warn_of_unclaimed_accounts(service))
    service.add_capability("accounts", "Manage user accounts.", _DOCUMENTATION, validation_enabled=False)


def _check_settings(settings: Settings) -> None:
    """Raise SettingError for settings that prevent logins or that contradict each other (plugins contract, 4.1).

    Log a warning for settings that are allowed and probably wrong.
    """
    policy_settings = settings.under("multiauth.policy.").items()
    uses = [str(use).strip() for name, use in policy_settings if name.endswith((".use", "_use"))]
    if not any(use.endswith(_POLICY_ENDINGS) for use in uses):
        raise SettingError("multiauth.policies", _NO_POLICY)
    if any(policy.name == KIND and not policy.use.endswith(_POLICY_ENDINGS) for policy in settings.policies):
        raise SettingError(f"multiauth.policy.{KIND}.use", _FOREIGN_POLICY)
    listed = [policy.name for policy in settings.policies]
    names = [policy.name for policy in settings.policies if policy.use.endswith(_POLICY_ENDINGS)]
    if not names:
        log.warning("The policy of accounts is not listed in multiauth.policies: nobody can log in with an account.")
    elif "basicauth" in listed[: listed.index(names[0])]:
        text = f"'basicauth' should not be mentioned before {names[0]!r} in 'multiauth.policies' setting."
        raise SettingError("multiauth.policies", text)
    creators = settings.principals(KIND, "create") - settings.principals(KIND, "write") - {"system.Everyone"}
    if creators:
        raise SettingError("account_create_principals", f"{_CREATORS} Affected users: {sorted(creators)}")
    if settings.storage_backend == "memory":
        click.secho(_NOT_PERSISTENT, fg="red", err=True)
    if not settings.userid_hmac_secret:
        log.warning(_NO_SECRET)


_NO_POLICY: Final = (
    "Account policy missing the 'multiauth.policy.*.use' setting. See AccountsPolicy in docs "
    "https://kinto.readthedocs.io/en/stable/api/1.x/accounts.html."
)
_FOREIGN_POLICY: Final = (
    "the name is that of accounts, so a user of this policy would be the account of the same name: choose another name."
)
_CREATORS: Final = (
    "Configuration has some principals in account_create_principals but not in account_write_principals. "
    "A principal that creates accounts of other users must be allowed to write them."
)
_NOT_PERSISTENT: Final = (
    "Accounts are lost at each start: storage_backend is memory. Use sqlite or postgresql to keep them."
)
_NO_SECRET: Final = (
    "The setting userid_hmac_secret is empty: anyone who can read the cache can guess the passwords of cached logins."
)


def _warn_of_unclaimed_accounts(service: Service) -> None:
    """Log a warning for each account with rights in the settings that does not exist yet, if anyone may create it."""
    if not anyone_can_sign_up(service.settings):
        return
    try:
        names = missing_accounts(service, service.settings.all_principals())
    except BackendError as error:
        log.warning("Unable to check whether the accounts with rights in the settings exist: %s", error)
        return
    for name in names:
        log.warning(UNCLAIMED_ACCOUNT, f"account:{name}", name)
