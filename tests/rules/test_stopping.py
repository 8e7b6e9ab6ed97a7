"""A gunicorn that stops drops new connections first, where the system lets it."""

from __future__ import annotations

import logging
import socket
from types import SimpleNamespace

import pytest

from servers.stopping import stop_without_loss


def test_a_server_stops_gracefully_also_where_the_system_refuses_the_filter(caplog: pytest.LogCaptureFixture) -> None:
    """A closed socket takes no option; an error here would end gunicorn's master, and the requests of its workers."""
    closed = socket.socket()
    closed.close()
    stops: list[bool] = []
    server = SimpleNamespace(
        stop=stops.append,
        reexec_pid=0,
        master_pid=0,
        systemd=False,
        cfg=SimpleNamespace(reuse_port=False),
        LISTENERS=[SimpleNamespace(sock=closed)],
        log=logging.getLogger("gunicorn.error"),
    )
    stop_without_loss(server)

    server.stop()

    assert stops == [True]
    assert "Unable to drop new connections" in caplog.text
