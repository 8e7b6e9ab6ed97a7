"""Add OpenID Connect: authentication by the tokens of providers, and logins for browsers (plugins contract, 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Flask, request

from blueprints.plugins import Identity, Json, PolicySettings, Service
from blueprints.plugins.openid.policy import OpenIDConnectPolicy
from blueprints.plugins.openid.provider import Provider
from blueprints.plugins.openid.views import urls

__all__ = ["OpenIDConnectPolicy", "attach"]

POLICY: Final = "kinto.plugins.openid.OpenIDConnectPolicy"

_DOCUMENTATION: Final = "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html"


def attach(app: Flask, service: Service) -> None:
    """Add the URLs of logins, the profiles of users, and the capability, if a policy needs it (P-OID-1, P-OID-2)."""
    policies: dict[str, OpenIDConnectPolicy] = {}
    providers: dict[str, Provider] = {}
    descriptions: list[Json] = []

    def open_policy(policy: PolicySettings, service: Service) -> OpenIDConnectPolicy:
        opened = policies[policy.name] = OpenIDConnectPolicy(policy, service)
        providers[policy.name] = opened.provider
        descriptions.append(opened.provider.description)
        return opened

    def describe_user(identity: Identity) -> Mapping[str, Json]:
        policy = policies.get(identity.policy or "")
        return {"profile": (policy and policy.profile(request.headers.get("Authorization", ""))) or {}}

    service.add_policy_class(POLICY, open_policy)
    service.add_user_info(describe_user)
    if any(policy.use == POLICY for policy in service.settings.policies):
        service.add_capability("openid", "OpenID connect support.", _DOCUMENTATION, providers=descriptions)
    app.register_blueprint(urls(service, providers))
