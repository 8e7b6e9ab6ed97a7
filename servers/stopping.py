"""Let no connection arrive at a server that stops, so that none is lost.

A system resets the connections in the queue of a listening socket that is closed: one that arrived between a worker's
last accept and its close would be lost. So the master first has Linux drop the requests for new connections (the SYN of
TCP). The workers then accept all connections in the queue, and close the sockets. The system of a client whose request
was dropped repeats it after a second, and is refused.

Not where the sockets belong to another process too: to systemd, or to the other master of an upgrade (SIGUSR2).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import time
from typing import Any, Final

_SO_ATTACH_FILTER: Final = 26
"""From asm-generic/socket.h; Python does not name it."""

_FILTER: Final = (
    (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
    (0x45, 0, 1, 0x02),  # continue if SYN is set, else skip one line
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # accept the packet
)
"""A program of BPF as (code, jump if true, jump if false, operand)."""

_HANDSHAKE_SECONDS: Final = 0.2
"""How long the workers accept further connections, whose requests had arrived before: more than a round trip."""


def stop_without_loss(server: Any) -> None:
    """Have gunicorn's *server* drop new connections before it stops gracefully.

    Where the system refuses the filter, it stops as gunicorn does by itself.
    """
    stop = server.stop

    def drop_then_stop(graceful: bool = True) -> None:  # noqa: FBT001, FBT002  # gunicorn's signature
        is_alone = server.reexec_pid == server.master_pid == 0 and not server.systemd and not server.cfg.reuse_port
        if graceful and is_alone and server.LISTENERS and sys.platform == "linux":
            try:
                for listener in server.LISTENERS:
                    drop_new_connections(listener.sock)
                time.sleep(_HANDSHAKE_SECONDS)
            except OSError as error:
                server.log.warning("Unable to drop new connections: %s", error)
        stop(graceful)

    server.stop = drop_then_stop


def drop_new_connections(listener: socket.socket) -> None:
    """Drop the requests for connections to *listener* in all processes that share it. Needs Linux."""
    if listener.family == socket.AF_UNIX:
        return  # The master removes its path before the workers close it.
    program = b"".join(struct.pack("HBBI", *line) for line in _FILTER)
    memory = ctypes.create_string_buffer(program, len(program))
    option = struct.pack("HP", len(_FILTER), ctypes.addressof(memory))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
