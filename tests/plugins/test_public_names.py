"""What a plugin may use: one list of names, each explained in docs/writing-plugins.md (plugins contract, 1)."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from types import ModuleType

import pytest

import blueprints.plugins
from app.service import Service
from blueprints.plugins import Context, Kind, KindHooks, Listener, PluginTables
from tests.support.services import ROOT

TEXT = (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")

NAMES = {
    *(
        "Alias",
        "ApiError",
        "Forbidden",
        "Invalid",
        "NoSuchUrl",
        "Problem",
        "Unauthenticated",
        "Unknown",
        "UnknownParent",
    ),
    *("Context", "Event", "Impact", "Listener"),
    *(
        "ClientRequest",
        "DescribedPolicy",
        "EVERYONE",
        "Identity",
        "Policy",
        "PolicySettings",
        "Reader",
        "RequestPolicy",
    ),
    *("Data", "Filter", "Kind", "KindHooks", "NameGenerator", "Page", "Route", "rename"),
    *("Body", "Effect", "Operation", "Outcome", "list_objects", "perform", "with_locked_bucket"),
    *("dumps", "embedded_document", "public_document"),
    *("BackendError", "Json", "PluginTables", "Selection", "Snapshot", "Stored", "Transaction"),
    *("bucket_of", "list_of", "read_bucket"),
    *("Breaker", "LoadStep", "Metrics", "Service", "SettingError", "Settings"),
    *("boolean", "number", "text", "whole", "words"),
    *(
        "Reply",
        "add_log_fields",
        "add_view",
        "authenticate_and_verify",
        "authenticate_with_groups",
        "compute_once",
        "is_batch_member",
        "origin_of_urls",
        "prefix",
        "stream",
        "to_response",
    ),
}
METHODS = {
    *(
        "add_alias",
        "add_capability",
        "add_flush_step",
        "add_migration_step",
        "add_heartbeat",
        "add_identity_kind",
        "add_kind",
        "add_listener",
        "add_openapi",
    ),
    *(
        "add_load_step",
        "add_policy",
        "add_policy_class",
        "add_public_setting",
        "add_setting",
        "add_rule",
        "add_start_check",
        "add_tables",
        "add_user_info",
    ),
}


def _exported() -> set[str]:
    exported = vars(blueprints.plugins).items()
    return {name for name, value in exported if not name.startswith("_") and not isinstance(value, ModuleType)}


def test_a_plugin_may_use_these_names_and_no_other() -> None:
    assert _exported() == NAMES
    assert {name for name in vars(Service) if name.startswith("add_")} == METHODS


MEMBERS = {
    *(name for kind in (Context, KindHooks) for name in vars(kind) if not name.startswith("_")),
    *(field.name for kind in (Kind, Listener, PluginTables) for field in fields(kind)),
}


@pytest.mark.parametrize("name", sorted(NAMES | METHODS | MEMBERS))
def test_the_documentation_explains(name: str) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", TEXT))

    assert re.search(rf"\b{name}\b", code)


def test_the_plugin_in_the_documentation_needs_no_other_module_of_the_service() -> None:
    example = ast.parse(re.findall(r"^```python\n(.+?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0])

    modules = {node.module for node in ast.walk(example) if isinstance(node, ast.ImportFrom)}

    assert modules == {"flask", "blueprints.plugins"}


def test_openid_needs_no_other_module_of_the_service() -> None:
    """What it does, a plugin from outside can do."""
    files = sorted((ROOT / "blueprints" / "plugins" / "openid").glob("*.py"))
    modules = {
        node.module or ""
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
    }

    ours = {name for name in modules if name.split(".")[0] in ("app", "backends", "blueprints", "measuring")}
    assert {name for name in ours if not name.startswith("blueprints.plugins.openid")} == {"blueprints.plugins"}
