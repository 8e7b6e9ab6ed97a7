"""Tell Sentry what goes wrong. Loaded only where a setting or a handler of the ini file asks for it (O-MON-33)."""

import logging
from typing import Any, Final

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import EventHandler, LoggingIntegration, ignore_logger
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.types import Event, Hint

from backends.logs import REQUEST_LOGGERS
from backends.logs.secrets import redacted, shown_headers

_NOT_SENT: Final = ("data", "cookies", "env")


class _Lines(LoggingIntegration):
    """Makes breadcrumbs and events of log lines; knows from which level on a line is an event."""

    def __init__(self, breadcrumbs_level: int, events_level: int | None) -> None:
        super().__init__(level=breadcrumbs_level, event_level=events_level, sentry_logs_level=None)
        self.events_level = events_level


class SentryHandler(EventHandler):
    """Send the records that a logger of an ini file hands over, in place of raven's handler of that name.

    *dsn* counts where the setting `sentry_dsn` gives none; other arguments of raven mean nothing here.
    """

    def __init__(self, dsn: str = "", *_: Any, **__: Any) -> None:
        super().__init__()
        self.dsn = dsn

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record, unless the setting sends it already."""
        lines = sentry_sdk.get_client().get_integration(_Lines)
        sent_from = lines.events_level if isinstance(lines, _Lines) else None
        if sent_from is None or record.levelno < sent_from:
            super().emit(record)


def start(
    dsn: str, environment: str | None, release: str, breadcrumbs_level: int, events_level: int | None = None
) -> None:
    """Send log lines from *events_level* on as events, none where it is None. For the whole process; raises ValueError.

    Nothing is sent that a client meant for us alone: no bodies, credentials and cookies, no values of variables.
    """
    # The line of a request is no event: there would be one for every request.
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
            _Lines(breadcrumbs_level, events_level),
            # Waits for what is not sent yet, without telling of it on standard error.
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        auto_session_tracking=False,
        before_send=_without_secrets,
    )


def send_message(text: str) -> None:
    """Send a message of level info, by which an operator sees that it works."""
    sentry_sdk.capture_message(text, "info")


def _without_secrets(event: Event, hint: Hint) -> Event:
    """Take out of an event what no log line tells either."""
    shown: Any = redacted(event)
    shown.pop("user", None)
    request = shown.get("request", {})
    for name in _NOT_SENT:
        request.pop(name, None)
    if "headers" in request:
        request["headers"] = shown_headers(request["headers"])
    kept: Event = shown
    return kept
