"""Report errors to Sentry. Loaded only if a setting or a handler of the ini file names it (O-MON-33)."""

import logging
from typing import Any, Final

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import EventHandler, LoggingIntegration, ignore_logger
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.types import Event, Hint

from backends.logs import REQUEST_LOGGERS
from backends.logs.secrets import redact, redact_headers

_OMITTED_FIELDS: Final = ("data", "cookies", "env")


class _LogIntegration(LoggingIntegration):
    """Turns log lines into breadcrumbs and, from *events_level* on, into events."""

    def __init__(self, breadcrumbs_level: int, events_level: int | None) -> None:
        super().__init__(level=breadcrumbs_level, event_level=events_level, sentry_logs_level=None)
        self.events_level = events_level


class SentryHandler(EventHandler):
    """A handler for ini files that sends log records, in place of raven's handler of that name.

    *dsn* is used if the setting `sentry_dsn` is not set; other arguments of raven are ignored.
    """

    def __init__(self, dsn: str = "", *_: Any, **__: Any) -> None:
        super().__init__()
        self.dsn = dsn

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record, unless the integration of the setting sends it already."""
        integration = sentry_sdk.get_client().get_integration(_LogIntegration)
        events_level = integration.events_level if isinstance(integration, _LogIntegration) else None
        if events_level is None or record.levelno < events_level:
            super().emit(record)


def start(
    dsn: str, environment: str | None, release: str, breadcrumbs_level: int, events_level: int | None = None
) -> None:
    """Send log lines from *events_level* on as events (None: no lines), for the whole process. Raises ValueError.

    No private data of clients is sent: no bodies, credentials or cookies, no values of variables.
    """
    # The log line of a request is no event: there would be one for every request.
    for name in REQUEST_LOGGERS:
        ignore_logger(name)
    sentry_sdk.init(
        dsn,
        environment=environment,
        release=release,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            FlaskIntegration(),
            SqlalchemyIntegration(),
            _LogIntegration(breadcrumbs_level, events_level),
            # Waits for pending events at exit; without the callback it would print to standard error.
            AtexitIntegration(callback=lambda _pending, _timeout: None),
        ],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        auto_session_tracking=False,
        before_send=_remove_secrets,
    )


def send_message(text: str) -> None:
    """Send a message of level info, which shows an operator that sending works."""
    sentry_sdk.capture_message(text, "info")


def _remove_secrets(event: Event, _hint: Hint) -> Event:
    """Remove from an event the data that log lines omit too."""
    safe_event: Any = redact(event)
    safe_event.pop("user", None)
    request = safe_event.get("request", {})
    for name in _OMITTED_FIELDS:
        request.pop(name, None)
    if "headers" in request:
        request["headers"] = redact_headers(request["headers"])
    result: Event = safe_event
    return result
