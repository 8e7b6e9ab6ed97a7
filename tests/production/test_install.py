"""The commands of the guide that install the service and what monitors it, on a clone of this repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.production.guide import blocks
from tests.services import ROOT


def test_the_guide_installs_the_command_and_what_monitors(tmp_path: Path) -> None:
    place = tmp_path / "kinto"
    (commands,) = blocks("Install the service", "sh", repository=str(ROOT))

    script = commands.replace("/srv/kinto", str(place))
    subprocess.run(["bash", "-euc", script], check=True, capture_output=True, timeout=300)
    version = [place / ".venv/bin/kinto", "version"]
    said = subprocess.run(version, check=True, capture_output=True, text=True, cwd=tmp_path)

    assert said.stdout == "1.0.0\n"
    assert (place / ".venv/bin/gunicorn").exists()

    (command,) = blocks("Monitoring", "sh")
    subprocess.run(["bash", "-euc", command], check=True, capture_output=True, timeout=300, cwd=place)
    imports = [place / ".venv/bin/python", "-c", "import newrelic.agent, prometheus_client, sentry_sdk, statsd"]
    subprocess.run(imports, check=True)
