"""The commands of the guide that install the service and what monitors it, on a clone of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.production.guide import blocks
from tests.support.services import ROOT

# Compiling all modules takes longer than installing them; Python compiles at the first import.
_ENVIRON = {**os.environ, "PIP_NO_COMPILE": "1"}


def test_the_guide_installs_the_command_and_what_monitors(tmp_path: Path) -> None:
    place = tmp_path / "kinto"
    (commands,) = blocks("Install the service", "sh", repository=str(ROOT))

    script = commands.replace("/srv/kinto", str(place))
    subprocess.run(["bash", "-euc", script], check=True, capture_output=True, timeout=300, env=_ENVIRON)
    version = [str(place / ".venv/bin/kinto"), "version"]
    said = subprocess.run(version, check=True, capture_output=True, text=True, cwd=tmp_path)

    assert said.stdout == "1.8.0\n"
    assert (place / ".venv/bin/gunicorn").exists()

    (command,) = blocks("Monitoring", "sh")
    subprocess.run(["bash", "-euc", command], check=True, capture_output=True, timeout=300, cwd=place, env=_ENVIRON)
    imports = [str(place / ".venv/bin/python"), "-c", "import newrelic.agent, prometheus_client, sentry_sdk, statsd"]
    subprocess.run(imports, check=True)


def test_the_guide_puts_files_where_servers_look_for_them(tmp_path: Path) -> None:
    """The commands that place files of `deploy/`, below a folder of the test."""
    for name in ("conf.d", "systemd/system", "apache2/conf-available"):
        (tmp_path / ("etc/nginx" if name == "conf.d" else "etc") / name).mkdir(parents=True)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "production.ini").write_text("[app:main]\n")
    lines = [line for block in blocks("Run the Kinto application", "sh") for line in block.splitlines()]
    script = "\n".join(line for line in lines if "install -" in line or "tee -a" in line)
    for there, here in {"sudo ": "", "-o kinto -g kinto ": "", " /etc/": " etc/", " /var/run/": " run/"}.items():
        script = script.replace(there, here)

    subprocess.run(["bash", "-euc", script], check=True, cwd=tmp_path)

    placed = {str(path.relative_to(tmp_path)) for path in (tmp_path / "etc").rglob("*") if path.is_file()}
    assert placed == {
        "etc/kinto/kinto.ini",
        "etc/systemd/system/kinto.service",
        "etc/apache2/conf-available/kinto.conf",
        "etc/nginx/kinto/proxy_params",
        "etc/nginx/kinto/uwsgi_params",
        "etc/nginx/conf.d/kinto.conf",
    }
    assert (tmp_path / "run/uwsgi").is_dir()
    ini = (tmp_path / "etc/kinto/kinto.ini").read_text(encoding="utf-8")
    assert ini.startswith("[app:main]\n")
    assert "\n[uwsgi]\n" in ini
