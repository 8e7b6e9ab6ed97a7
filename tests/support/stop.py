"""End the PostgreSQL server that the tests keep for their next run, if an interrupted run left it: `make stop`."""

from __future__ import annotations

import os
import signal

from tests.support.services import EMBEDDED_FOLDER


def main() -> None:
    """Ask the server to end its sessions and stop."""
    pid_file = EMBEDDED_FOLDER / "postgresql" / "postmaster.pid"
    if not pid_file.exists():
        print("No PostgreSQL server of the tests is running.")
        return
    pid = int(pid_file.read_text().split()[0])
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        print("The PostgreSQL server of the tests has ended.")
    else:
        print(f"The PostgreSQL server of the tests (process {pid}) stops.")


if __name__ == "__main__":
    main()
