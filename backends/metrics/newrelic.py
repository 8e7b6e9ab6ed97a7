"""The agent of New Relic, which wraps the application (operations contract, 5.8). The package is optional."""

from __future__ import annotations

import importlib
from typing import Any, Final

_agent: Final[Any] = importlib.import_module("newrelic.agent")


def wrap_application(application: Any, config: str, environment: str) -> Any:
    """Return the WSGI application wrapped by the agent; *environment* is a section of the file *config*."""
    _agent.initialize(config, environment)
    return _agent.WSGIApplicationWrapper(application)
